"""`import elbeam.eval`: the numbers of the references, significance, errors."""

import gzip
import json
import os
import pathlib
import unittest

import elbeam
import elbeam.eval

DATA = pathlib.Path(os.environ["ELBEAM_TEST_DATA"], "eval")


def read(name):
    with gzip.open(DATA / name, "rt", encoding="utf-8", newline="\n") as file:
        return [json.loads(line) for line in file]


class Eval(unittest.TestCase):
    def test_scores_are_those_of_the_references(self):
        segments = read("summaries.jsonl.gz")
        hypotheses = [s["hypothesis"] for s in segments]
        references = [s["reference"] for s in segments]
        with gzip.open(DATA / "expected.json.gz") as file:
            expected = json.load(file)
        entries = [e for e in expected["rouge"] if "summaries" in e]
        self.assertGreater(len(entries), 5)
        for entry in entries:
            stemmer = "--rouge-stemmer" in entry["flags"]
            metric = entry["metric"]
            found = elbeam.eval.score(
                hypotheses, references, [metric], stemmer=stemmer, segments=True
            )[metric]
            want = entry["summaries"]
            for part in ("score", "precision", "recall", "fmeasure"):
                self.assertAlmostEqual(found[part], want[part], delta=1e-9)
            self.assertEqual(len(found["segments"]), len(segments))
            for ours, theirs in zip(found["segments"], want["segments"]):
                self.assertAlmostEqual(ours, theirs, delta=1e-9)

    def test_options_and_several_references(self):
        scores = elbeam.eval.score(
            ["The cat sat"],
            [["a cat sat", "the cat sat"]],
            ["bleu", "chrf", "ter"],
            lowercase=True,
            max_order=2,
        )
        self.assertAlmostEqual(scores["bleu"]["score"], 100)
        self.assertIn("case:lc", scores["bleu"]["signature"])
        self.assertIn("nrefs:2", scores["chrf"]["signature"])
        self.assertEqual(scores["ter"]["score"], 0)

    def test_sources(self):
        source, summary = ["a b c d"], ["a b x"]
        scores = elbeam.eval.score(summary, source, ["coverage", "novelty1"], sources=source)
        self.assertAlmostEqual(scores["coverage"]["score"], 2 / 3)
        self.assertAlmostEqual(scores["novelty1"]["score"], 1 / 3)

    def test_comparison(self):
        segments = read("real.jsonl.gz")[:200]
        texts = [s["hypothesis"] for s in segments]
        worse = [" ".join(text.split()[:-2]) for text in texts]
        references = [s["reference"][0] for s in segments]
        for method in ("bootstrap", "randomization"):
            found = elbeam.eval.compare(
                {"a": texts, "b": worse}, references, method=method, samples=200
            )
            self.assertEqual(list(found), ["a", "b"])
            self.assertNotIn("p_value", found["a"]["bleu"])
            self.assertLess(found["b"]["bleu"]["p_value"], 0.05)
            self.assertEqual("low" in found["a"]["bleu"], method == "bootstrap")
        again = elbeam.eval.compare({"a": texts, "b": worse}, references, samples=200, threads=1)
        low = again["a"]["bleu"]["low"]
        self.assertLess(low, again["a"]["bleu"]["score"])

    def test_errors(self):
        def error_of(*arguments, **options):
            with self.assertRaises(elbeam.Error) as caught:
                elbeam.eval.score(*arguments, **options)
            return caught.exception

        self.assertEqual(error_of(["a"], ["a", "b"]).code, "usage")
        self.assertIn("unknown metric", str(error_of(["a"], ["a"], ["x"])))
        self.assertIn("unknown option 'tokenise'", str(error_of(["a"], ["a"], tokenise="13a")))
        self.assertIn("does not fit", str(error_of(["a"], ["a"], max_order="four")))
        self.assertIn("no reference", str(error_of(["a"], [[]])))
        self.assertIn("no segments", str(error_of([], [])))
        self.assertIn("sources", str(error_of(["a"], ["a"], ["coverage"])))
        self.assertEqual(error_of(["a"], [["b"] * 101]).code, "limit")
        with self.assertRaises(ValueError):
            elbeam.eval.compare({"a": ["a"]}, ["a"], method="t-test")


if __name__ == "__main__":
    unittest.main()
