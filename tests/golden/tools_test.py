"""The other command line tools against stored outputs of stock fairseq's: tests/data/tools/commands.json.

Usage: tools_test.py FOLDER, where the programs are. elbeam-score has to print the same bytes;
elbeam-interactive the same lines in the same order, but for the last digits of scores (those of
fairseq_bridge.parity) and the times of W- lines; elbeam-eval-lm the same loss and perplexity, and the
same words with scores within 1e-5.
"""

import json
import os
import pathlib
import re
import subprocess
import sys
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
DATA = ROOT / "tests" / "data"
sys.path.insert(0, str(ROOT))

from fairseq_bridge.parity import compare, output  # noqa: E402

# elbeam-interactive is held to stock in each of these ways.
WAYS = (("--attention", "mha"), ("--attention", "el"), ("--threads", "1"))
NUMBER = re.compile(r"-?\d+\.\d+(?:e-?\d+)?")
TIMES = re.compile(r" in \d+\.\ds \(\d+\.\d\d tokens/s\)$")


def run(programs, case, flags=()):
    """The finished process of a case, run in tests/data, where its paths begin."""
    with open(DATA / case["stdin"] if "stdin" in case else os.devnull, "rb") as stdin:
        return subprocess.run(
            [programs / f"elbeam-{case['tool']}", *case["arguments"], *flags],
            stdin=stdin, capture_output=True, timeout=300, check=False, cwd=DATA,
        )


class Tools(unittest.TestCase):
    """One test per case, added below."""

    programs = pathlib.Path()

    def check(self, case):
        stock = (DATA / "tools" / f"{case['name']}.txt").read_bytes()
        self.assertTrue(stock)
        for flags in WAYS if case["tool"] == "interactive" else ((),):
            with self.subTest(flags=flags):
                result = run(self.programs, case, flags)
                self.assertEqual(result.returncode, 0, result.stderr)
                check = getattr(self, "check_" + case["tool"].replace("-", "_"))
                check(stock.decode(), result.stdout.decode())

    def check_score(self, stock, ours):
        self.assertEqual(ours, stock)

    def check_eval_lm(self, stock, ours):
        """Both without the date and the logger; the data set's line is not among the results."""
        stock = [TIMES.sub("", line) for line in stock.splitlines() if not line.endswith(" examples")]
        ours = [TIMES.sub("", line.split(" | ", 3)[3]) for line in ours.splitlines()]
        self.assertEqual([NUMBER.sub("#", line) for line in ours],
                         [NUMBER.sub("#", line) for line in stock])
        self.assertEqual(ours[-1], stock[-1])  # loss and perplexity
        for one, other in zip(stock, ours):
            for left, right in zip(NUMBER.findall(one), NUMBER.findall(other)):
                self.assertLessEqual(abs(float(left) - float(right)), 1e-5, (one, other))

    def check_interactive(self, stock, ours):
        stock, ours = output.parse(stock, "stock"), output.parse(ours, "elbeam-interactive")
        self.assertGreater(len(stock.sentences), 0)
        self.assertEqual(compare.compare(stock, ours).differences, [])
        # Beside the digits of scores: the same lines, W- and C- among them, at the same places.
        self.assertEqual([line.split("\t")[0] for line in ours.lines],
                         [line.split("\t")[0] for line in stock.lines])


def main():
    Tools.programs = pathlib.Path(sys.argv[1]).resolve()
    cases = json.loads((DATA / "tools" / "commands.json").read_text(encoding="utf-8"))
    for case in cases:
        setattr(Tools, f"test_{case['name']}", lambda self, case=case: self.check(case))
    unittest.main(argv=[sys.argv[0]])


if __name__ == "__main__":
    main()
