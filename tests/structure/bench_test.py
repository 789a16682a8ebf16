"""The parts of bench/ that run nothing."""

import pathlib
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from bench import agreement, curves, data_bin, document, memory, render, workloads  # noqa: E402


def record(elbeam, peer, equal=9):
    figures = {
        "decoding s": elbeam,
        "wall s": 2 * elbeam,
        "tokens/s": 100 / elbeam,
        "peak RSS MiB": 50,
        "stats": {"isa": "avx2"},
    }
    other = {"decoding s": peer, "wall s": peer, "tokens/s": 100 / peer, "peak RSS MiB": 100}
    return {
        "workload": "w", "about": "a", "threads": 1, "dtype": "fp32", "beam": 5, "batch": 16, "flags": [],
        "commit": "c0ffee",
        "programs": {"elbeam": figures, "ctranslate2": other},
        "agreement": {"ctranslate2": {"equal": equal, "of": 10}},
    }  # fmt: skip


class Bench(unittest.TestCase):
    def test_data_bin_round_trip(self):
        sentences = [[5, 6, 2], [2], [70000, 4, 2]]
        with tempfile.TemporaryDirectory() as folder:
            prefix = pathlib.Path(folder) / "test"
            data_bin.write(prefix, sentences)
            self.assertEqual(data_bin.read(prefix), sentences)
        stored = ROOT / "tests/data/debian_de_en/data-bin/test.de-en.de"
        read = data_bin.read(stored)
        self.assertEqual(len(read), 200)
        self.assertEqual({sentence[-1] for sentence in read}, {2})

    def test_ratios_are_of_the_same_round(self):
        rounds = [record(1.0, 2.0), record(2.0, 6.0, equal=7), record(1.0, 2.5)]
        self.assertEqual(render.ratios(rounds, "ctranslate2", "decoding s"), [2.0, 3.0, 2.5])
        line = render.comparison(rounds).splitlines()[-1]
        self.assertIn("| 2.50 (2.00 - 3.00) |", line)
        self.assertIn("7 of 10", line)  # the worst round
        self.assertTrue(line.endswith("| 3 | c0ffee |"))

    def test_forced_outputs_are_compared_without_their_last_step(self):
        class Sentence:
            def __init__(self, text):
                self.hypotheses = [type("Hypothesis", (), {"text": text})]

        parsed = type("Output", (), {"sentences": {1: Sentence("a b c"), 0: Sentence("x y")}})
        self.assertEqual(agreement.with_ctranslate2(parsed, ["x y z", "a b d"], True)["equal"], 2)
        self.assertEqual(agreement.with_ctranslate2(parsed, ["x y", "a b d"], False)["equal"], 1)

    def test_formulas(self):
        # BART-large in fp16, 4 beams, of one source token: 196,608, 49,152 and 2,048 bytes.
        wanted = {"copied": 196608, "shared": 49152, "el": 2048}
        self.assertEqual(memory.expected((12, 1024, 1024), 1, 4, element=2), wanted)

    def test_a_document_has_each_place_once(self):
        text = "a\n<!-- x -->\nold\n<!-- end -->\nb\n"
        self.assertEqual(document.fill(text, {"x": "new"}), "a\n<!-- x -->\nnew\n<!-- end -->\nb\n")
        with self.assertRaises(SystemExit):
            document.fill(text, {"y": "new"})

    def test_workloads_name_their_files(self):
        for name, work in workloads.all_workloads().items():
            with self.subTest(workload=name):
                self.assertEqual(name, work.name)
                self.assertTrue(work.shape or work.data.exists())
                self.assertLessEqual(work.min_len, work.max_len)

    def test_a_curve_is_drawn(self):
        points = [
            {**curves.START, "beam": beam, "attention": kind, "decode us": 10.0 * beam}
            for beam in (1, 16)
            for kind in curves.COLORS
        ]
        svg = curves.draw({"beam": points})
        self.assertEqual(svg.count("<circle"), 4)
        self.assertTrue(svg.endswith("</svg>\n"))


if __name__ == "__main__":
    unittest.main()
