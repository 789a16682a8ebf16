"""elbeam-score against the scores that the reference implementations gave (tests/data/eval)."""

import gzip
import json
import os
import pathlib
import subprocess
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = pathlib.Path(os.environ.get("ELBEAM_BIN_DIR", ROOT / "build" / "bin")) / "elbeam-score"
DATA = ROOT / "tests" / "data" / "eval"
TOLERANCE = 1e-9


def score(file, metric, flags):
    """What elbeam-score says of a file that holds hypotheses and references."""
    result = subprocess.run(
        [PROGRAM, "--sys", DATA / file, "--ref", DATA / file, "--metrics", metric, *flags]
        + ["--json", "--segments"],
        capture_output=True,
        timeout=300,
        check=False,
    )
    if result.returncode != 0:
        raise AssertionError(result.stderr.decode())
    return json.loads(result.stdout)[metric]


class Golden(unittest.TestCase):
    def test_reference_scores(self):
        with gzip.open(DATA / "expected.json.gz") as file:
            entries = json.load(file)
        self.assertGreater(len(entries), 20)
        for entry in entries:
            for file in ("real", "odd"):
                with self.subTest(metric=entry["metric"], flags=entry["flags"], file=file):
                    self.compare(
                        score(f"{file}.jsonl.gz", entry["metric"], entry["flags"]), entry[file]
                    )

    def compare(self, found, expected):
        segments = expected["segments"]
        self.assertEqual(len(found["segments"]), len(segments))
        for index, (ours, theirs) in enumerate(zip(found["segments"], segments)):
            self.assertAlmostEqual(ours, theirs, delta=TOLERANCE, msg=f"segment {index}")
        self.assertAlmostEqual(found["score"], expected["score"], delta=TOLERANCE)
        for part in ("signature", "precision", "recall", "fmeasure"):
            if part in expected:
                compare = self.assertEqual if part == "signature" else self.assertAlmostEqual
                compare(found[part], expected[part])


if __name__ == "__main__":
    unittest.main()
