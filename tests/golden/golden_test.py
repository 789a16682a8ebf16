"""elbeam-generate against stored outputs of stock fairseq, for every case in tests/data/*/cases.json.

A case names data, model, flags and stock's output. Sentences are compared by id, hypothesis by
hypothesis: same words, same count, scores within 1e-5, each positional score within the last printed
digit. Usage: golden_test.py PROGRAM [FLAG ...]; the flags choose engine and attention.
"""

import gzip
import json
import pathlib
import subprocess
import sys
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
DATA = ROOT / "tests" / "data"
sys.path.insert(0, str(ROOT))

from fairseq_bridge.parity import compare, output  # noqa: E402


def decode(program, case, flags):
    """Runs one case in tests/data, where its paths begin, and returns its stdout."""
    command = [program, DATA / case["data"], "--path", DATA / case["path"], *case["flags"], *flags]
    result = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=300, check=False, cwd=DATA)
    if result.returncode != 0:
        raise AssertionError(f"{case['name']}: exit {result.returncode}: {result.stderr[-500:]}")
    return result.stdout


class Golden(unittest.TestCase):
    """One test per case, added below."""

    program = ""
    flags = ()

    def check(self, case):
        stock = output.parse(gzip.open(DATA / case["stock"], "rt", encoding="utf-8").read(), case["stock"])
        ours = output.parse(decode(self.program, case, self.flags), "elbeam-generate")
        self.assertGreater(len(stock.sentences), 0)
        self.assertEqual(set(stock.sentences), set(ours.sentences))
        # Print order comes from torch's unstable sort; what is checked here is the content.
        found = [d for d in compare.compare(stock, ours).differences if d.kind != "order"]
        self.assertEqual(found, [], f"{len(found)} differences, the first: {found[:1]}")


def load_cases(archives_only):
    for index in sorted(DATA.glob("*/cases.json")):
        for case in json.loads(index.read_text(encoding="utf-8")):
            if not archives_only or case["path"].endswith(".ts.pt"):
                yield index.parent.name, case


def main():
    Golden.program, Golden.flags = sys.argv[1], tuple(sys.argv[2:])
    count = 0
    for folder, case in load_cases("torchscript" in Golden.flags):
        setattr(Golden, f"test_{folder}_{case['name']}", lambda self, case=case: self.check(case))
        count += 1
    if count == 0:
        raise SystemExit("no cases found: this test would check nothing")
    unittest.main(argv=[sys.argv[0]])


if __name__ == "__main__":
    main()
