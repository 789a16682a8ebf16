"""bench.gpu_prediction: its formulas at shapes whose bytes and operations are known, and the table in docs/gpu.md."""

import pathlib
import unittest

from bench import gpu_prediction as model


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


if __name__ == "__main__":
    unittest.main()
