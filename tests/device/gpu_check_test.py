"""bench.gpu_check on the emulated device, at tiny shapes; what it says of failures, and without a device."""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

from bench.gpu_check import checks, table

ROOT = pathlib.Path(__file__).resolve().parents[2]
LIMITS = {
    "name": "X",
    "capability": 80,
    "copy GB/s": 1000.0,
    "fp16 TFLOP/s": 200.0,
    "fp32 TFLOP/s": 20.0,
}


def gpu_check(folder, *flags):
    command = [sys.executable, "-m", "bench.gpu_check", "--json", f"{folder}/out.json", "--table", f"{folder}/out.md",
               "--build", os.environ["ELBEAM_BUILD_DIR"], *flags]  # fmt: skip
    return subprocess.run(
        command, capture_output=True, text=True, timeout=280, check=False, cwd=ROOT
    )


class WholeRun(unittest.TestCase):
    def test_emulated(self):
        with tempfile.TemporaryDirectory() as folder:
            result = gpu_check(folder, "--device", "cuda-emulated")
            self.assertEqual(result.returncode, 0, result.stderr)
            found = json.loads(pathlib.Path(folder, "out.json").read_text(encoding="utf-8"))
            self.assertEqual(
                pathlib.Path(folder, "out.md").read_text(encoding="utf-8"), result.stdout
            )
        self.assertEqual(found["failures"], [])
        self.assertGreaterEqual(found["kernels"]["tests passed"], 1)
        self.assertGreaterEqual(found["parity"][0]["hypotheses"], 8)
        kinds = {(row["kind"], row["batch"]) for row in found["cross attention"]}
        self.assertLessEqual(
            {("copied", "equal"), ("shared", "largest"), ("el", "equal"), ("el", "largest")}, kinds
        )
        bytes_of = {
            row["kind"]: row["bytes"]
            for row in found["cross attention"]
            if row["batch"] == "equal" and "bytes" in row
        }
        self.assertEqual(bytes_of["copied"], 2 * bytes_of["shared"])  # a beam of 2
        self.assertEqual(bytes_of["shared"], 2 * bytes_of["el"])
        self.assertEqual(
            {row["program"] for row in found["decoding"]}, {"elbeam, mha", "elbeam, el"}
        )
        self.assertIn("the times below say nothing", result.stdout)

    def test_no_device(self):
        with tempfile.TemporaryDirectory() as folder:
            result = gpu_check(folder, "--device", "cuda:999")
            self.assertEqual(os.listdir(folder), [])
        self.assertEqual(result.returncode, 4, result.stderr)
        self.assertRegex(result.stderr, "nothing was checked: .*--device cuda:999: ")

    def test_a_part_that_fails(self):
        """The time runs out at once: each part says so, and the exit code is 1."""
        with tempfile.TemporaryDirectory() as folder:
            result = gpu_check(folder, "--device", "cuda-emulated", "--seconds", "0")
        self.assertEqual(result.returncode, 1, result.stderr)
        self.assertIn("Failures:", result.stdout)
        self.assertRegex(result.stdout, "- parity: .*not ended after 1 s")


class Judging(unittest.TestCase):
    def parity(self, **changes):
        row = {
            "model": "m",
            "beam": 4,
            "attention": "el",
            "hypotheses": 8,
            "equal": 8,
            "largest score difference": 1e-6,
        }
        return list(
            checks.disagreements({"parity": [{**row, **changes}], "kernels": {"tests passed": 3}})
        )

    def test_agreement(self):
        self.assertEqual(self.parity(), [])

    def test_disagreements(self):
        self.assertIn("expected 8 equal hypotheses, got 7", self.parity(equal=7)[0])
        self.assertIn(
            "scores differ by 0.001", self.parity(**{"largest score difference": 1e-3})[0]
        )
        self.assertIn("no hypotheses", self.parity(hypotheses=0, equal=0)[0])
        self.assertIn(
            "no test was run", next(checks.disagreements({"kernels": {"tests passed": 0}}))
        )

    def test_hypotheses(self):
        self.assertEqual(
            checks.hypotheses(["S-1\ta", "H-1\t-0.5\tb c", "P-1\t0"]), {("H-1", "b c"): -0.5}
        )

    def test_the_table_gives_shares_of_what_was_measured(self):
        row = {"kind": "el", "batch": "equal", "sentences": 64, "attention ms": 4.0, "projections ms": 1.0, "GB/s": 500.0,
               "TFLOP/s": 50.0, "rows/s": 1234.0}  # fmt: skip
        lost = {
            "kind": "torch",
            "batch": "equal",
            "sentences": 64,
            "left out": "No module named 'torch'",
        }
        text = table.render({"device": LIMITS, "kernels": None, "parity": None, "cross attention": [row, lost],
                             "decoding": [{"program": "stock", "batch": 1, "left out": "x"}], "failures": []})  # fmt: skip
        self.assertIn("| (d) fused EL | equal | 64 | 4 | 1 | 500 (50 %) | 50 (25 %) | 1234 |", text)
        self.assertIn("left out: No module named 'torch'", text)


if __name__ == "__main__":
    unittest.main()
