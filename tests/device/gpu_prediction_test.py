"""bench.gpu_prediction: its formulas at shapes whose bytes and operations are known, and the table in docs/gpu.md."""

import pathlib
import tempfile
import unittest

from bench import gpu_prediction as model
from bench import gpu_refill


class Prediction(unittest.TestCase):
    def test_the_fused_floor(self):
        """H, own past and weights of BART-large at B = 320, n = 4, S = 1024, T = 70."""
        parts = model.parts(model.Shape(320, 4, 1024), "EL")
        self.assertEqual(parts["source"][0], 12 * 320 * 1024 * 1024 * 2)
        self.assertAlmostEqual(parts["source"][0] / 1e9, 8.05, places=2)
        self.assertAlmostEqual(parts["own past"][0] / 1e9, 2.2, places=2)
        self.assertAlmostEqual(parts["weights"][0] / 1e9, 0.5, places=1)
        self.assertAlmostEqual(parts["source"][1] / 1e12, 1.03, places=2)

    def test_beams_that_share(self):
        shape = model.Shape(8, 4, 100)
        source = {
            kind: model.parts(shape, kind)["source"] for kind in ("copied MHA", "shared MHA", "EL")
        }
        self.assertEqual(source["copied MHA"][0], 4 * source["shared MHA"][0])
        self.assertEqual(source["shared MHA"][0], 2 * source["EL"][0])
        self.assertEqual(source["EL"][1], 16 * source["shared MHA"][1])

    def test_bounds(self):
        """2 n h operations a byte: 128 at a beam of 4, less than an A100's 153; 256 at one of 8, more."""
        self.assertEqual(model.predict(model.Shape(64, 4, 1024), "EL", "A100-80")[2], "memory")
        self.assertEqual(model.predict(model.Shape(64, 8, 1024), "EL", "A100-80")[2], "products")
        self.assertEqual(
            model.predict(model.Shape(64, 8, 1024), "shared MHA", "A100-80")[2], "memory"
        )

    def test_the_page_has_this_table(self):
        page = (pathlib.Path(__file__).resolve().parents[2] / "docs" / "gpu.md").read_text(
            encoding="utf-8"
        )
        self.assertIn(model.table(), page)


class Refill(unittest.TestCase):
    def test_lengths_of_an_output(self):
        """A sentence takes the steps of its longest hypothesis."""
        lines = "S-3\ta b c\nH-3\t-1\tx y\nP-3\t-1 -1 -1\nP-3\t-1 -1 -1 -1\nS-7\ta\nP-7\t-1 -1\n"
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder, "out")
            path.write_text(lines, encoding="utf-8")
            self.assertEqual(gpu_refill.read_lengths(path), [(2, 2), (4, 4)])

    def test_steps_of_both_schedules(self):
        """Two at a time of 1, 4, 1, 4 steps: 4 + 4 in batches; refilled at once, 10 sentence-steps are 6 steps.
        As built the host learns a step late: the third begins in step 2, the last one in step 4."""
        sentences = [(10, 1), (10, 4), (10, 1), (10, 4)]
        batches, refilled, larger, built = gpu_refill.compare(sentences, 2, "H100", 0.5)
        self.assertEqual((batches.steps, refilled.steps, larger.steps, built.steps), (8, 6, 4, 8))
        self.assertEqual(built.passes, 0)
        self.assertLess(refilled.milliseconds, batches.milliseconds)
        alike = gpu_refill.compare([(10, 3)] * 4, 2, "H100", 0.5)
        self.assertEqual(alike[0].milliseconds, alike[1].milliseconds)

    def test_rows_are_those_that_were_captured(self):
        self.assertEqual([gpu_refill.bucket(live, 64) for live in (1, 8, 9, 64)], [8, 8, 16, 64])
        self.assertEqual([gpu_refill.bucket(live, 4) for live in (1, 4)], [1, 4])


if __name__ == "__main__":
    unittest.main()
