"""The other command line tools against stored outputs of stock fairseq's: tests/data/tools/commands.json.

Usage: tools_test.py FOLDER, where the programs are. elbeam-score has to print the same bytes.
"""

import json
import os
import pathlib
import subprocess
import sys
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
DATA = ROOT / "tests" / "data"


def run(programs, case):
    """The finished process of a case, run in tests/data, where its paths begin."""
    with open(DATA / case["stdin"] if "stdin" in case else os.devnull, "rb") as stdin:
        return subprocess.run(
            [programs / f"elbeam-{case['tool']}", *case["arguments"]],
            stdin=stdin, capture_output=True, timeout=300, check=False, cwd=DATA,
        )


class Tools(unittest.TestCase):
    """One test per case, added below."""

    programs = pathlib.Path()

    def check(self, case):
        stock = (DATA / "tools" / f"{case['name']}.txt").read_bytes()
        self.assertTrue(stock)
        result = run(self.programs, case)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(result.stdout.decode(), stock.decode())


def main():
    Tools.programs = pathlib.Path(sys.argv[1]).resolve()
    cases = json.loads((DATA / "tools" / "commands.json").read_text(encoding="utf-8"))
    for case in cases:
        setattr(Tools, f"test_{case['name']}", lambda self, case=case: self.check(case))
    unittest.main(argv=[sys.argv[0]])


if __name__ == "__main__":
    main()
