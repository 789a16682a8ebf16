"""The parity tool must find what differs and may excuse only what is proven: synthetic outputs, one
seeded difference each. No fairseq, no elbeam."""

import contextlib
import copy
import io
import json
import pathlib
import random
import stat
import sys
import tempfile
import unittest
from unittest import mock

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))
from fairseq_bridge.parity import (  # noqa: E402
    ParityError,
    classify,
    compare,
    golden,
    output,
    proof,
    report,
    run,
)
from fairseq_bridge.parity.__main__ import main as parity_main  # noqa: E402

WORDS = ["the", "dog", "cat", "house", "sees", "a", "small", "every", "today", "runs"]


def make_output(sentences=30, nbest=3, seed=7):
    rng = random.Random(seed)
    lines = []
    order = list(range(sentences))
    rng.shuffle(order)
    for sentence in order:
        lines.append(f"S-{sentence}\tquelle {sentence}")
        lines.append(f"T-{sentence}\ttarget {sentence}")
        score = -0.5
        for _ in range(nbest):
            words = rng.choices(WORDS, k=rng.randint(1, 9))
            score -= rng.random()
            text = " ".join(words)
            lines.append(f"H-{sentence}\t{score}\t{text}")
            lines.append(f"D-{sentence}\t{score}\t{text}")
            lines.append(
                f"P-{sentence}\t" + " ".join(f"{score:.4f}" for _ in range(len(words) + 1))
            )
    lines.append("Generate test with beam=3: BLEU4 = 40.43, 1.0/1.0/1.0/1.0 (BP=1.000)")
    return "\n".join(lines) + "\n"


def edit(text, line_start, change):
    """Applies change to the fields of the first line that begins so; returns the new text."""
    lines = text.split("\n")
    place = next(i for i, line in enumerate(lines) if line.startswith(line_start + "\t"))
    fields = lines[place].split("\t")
    change(fields)
    lines[place] = "\t".join(fields)
    return "\n".join(lines)


def set_field(place, value):
    def change(fields):
        fields[place] = value

    return change


class Compare(unittest.TestCase):
    def setUp(self):
        self.text = make_output()
        self.stock = output.parse(self.text, "stock")

    def differences(self, text):
        return compare.compare(self.stock, output.parse(text, "elbeam")).differences

    def assert_only(self, text, kind, sentence, rank=None):
        found = self.differences(text)
        self.assertEqual([(d.kind, d.sentence, d.rank) for d in found], [(kind, sentence, rank)])
        self.assertEqual(found[0].verdict, "fail")

    def test_equal_outputs(self):
        comparison = compare.compare(self.stock, output.parse(self.text, "elbeam"))
        self.assertEqual(report.verdict(comparison), "equal")
        self.assertTrue(comparison.bytes_equal)
        self.assertEqual((comparison.sentences, comparison.hypotheses), (30, 90))

    def test_one_changed_word_is_found_and_named(self):
        self.assert_only(edit(self.text, "H-17", set_field(2, "wrong words")), "tokens", 17, 0)

    def test_equal_words_of_different_token_count(self):
        # --remove-bpe may print two token sequences alike; the P- line tells them apart.
        found = self.differences(edit(self.text, "P-17", set_field(1, "-1.0000")))
        self.assertEqual(found[0].kind, "tokens")

    def test_a_missing_and_an_extra_sentence(self):
        lines = [line for line in self.text.split("\n") if not line[1:].startswith("-5\t")]
        self.assert_only("\n".join(lines), "missing", 5)
        extra = self.text.replace("Generate", "S-99\tx\nH-99\t-1.0\ty\nP-99\t-1.0 -1.0\nGenerate")
        self.assert_only(extra, "extra", 99)

    def test_a_missing_hypothesis(self):
        lines = self.text.split("\n")
        place = max(i for i, line in enumerate(lines) if line.startswith("H-5\t"))
        self.assert_only("\n".join(lines[:place] + lines[place + 3 :]), "count", 5)

    def test_scores_within_and_beyond_the_tolerance(self):
        score = self.stock.sentences[4].hypotheses[0].score
        near = edit(self.text, "H-4", set_field(1, repr(score + 0.9e-5)))
        self.assertEqual(self.differences(near), [])
        self.assert_only(edit(self.text, "H-4", set_field(1, repr(score + 1.1e-5))), "score", 4, 0)
        self.assert_only(edit(self.text, "H-4", set_field(1, "nan")), "score", 4, 0)
        self.assert_only(edit(self.text, "H-4", set_field(1, "-inf")), "score", 4, 0)

    def test_positional_scores_may_differ_in_the_last_digit_only(self):
        values = self.stock.sentences[4].hypotheses[0].positional

        def shifted(by):
            changed = [f"{float(values[0]) + by:.4f}", *values[1:]]
            return edit(self.text, "P-4", set_field(1, " ".join(changed)))

        self.assertEqual(self.differences(shifted(1e-4)), [])
        self.assert_only(shifted(-2e-4), "positional", 4, 0)

    def test_the_other_lines(self):
        self.assert_only(edit(self.text, "S-3", set_field(1, "x")), "source", 3)
        self.assert_only(edit(self.text, "T-3", set_field(1, "x")), "target", 3)
        self.assert_only(edit(self.text, "D-3", set_field(2, "x")), "detokenized", 3, 0)
        self.assert_only(self.text.replace("40.43", "40.42"), "tail", None)

    def test_the_print_order(self):
        first, second = self.stock.order[:2]
        blocks = [
            "\n".join(line for line in self.text.split("\n") if line[1:].startswith(f"-{i}\t"))
            for i in (first, second)
        ]
        swapped = self.text.replace("\n".join(blocks), "\n".join(reversed(blocks)))
        self.assertNotEqual(swapped, self.text)
        self.assert_only(swapped, "order", None)

    def test_lines_that_are_no_output_are_refused(self):
        for bad in (
            "hello\n",
            "H-1\tx\ty\n",
            "P-1\t-1.0\n",
            "S-1\ta\nS-2\tb\nS-1\tc\n",
            "Q-1\tx\n",
        ):
            with self.assertRaises(ParityError):
                output.parse(bad, "elbeam")


class Classify(unittest.TestCase):
    """Stock prints two hypotheses of sentence 0; elbeam prints the same, swapped or otherwise."""

    STOCK = (
        "S-0\tq\nH-0\t-1.0\ta b\nP-0\t-1.0 -1.0 -1.0\nH-0\t-1.000001\ta c\nP-0\t-1.0 -1.0 -1.0\n"
    )

    def verdicts(self, elbeam_text, scores):
        stock, elbeam = output.parse(self.STOCK, "s"), output.parse(elbeam_text, "e")
        differences = compare.compare(stock, elbeam).differences
        classify.classify(stock, elbeam, differences, lambda sentence, h: scores[h.text])
        return [d.verdict for d in differences if d.kind == "tokens"]

    def other(self, score="-1.000002", text="x y"):
        lines = self.STOCK.split("\n")
        lines[3] = f"H-0\t{score}\t{text}"
        return "\n".join(lines)

    def test_a_tie_is_proven(self):
        self.assertEqual(self.verdicts(self.other(), {"a c": -1.000001, "x y": -1.000002}), ["tie"])

    def test_a_gap_is_semantic(self):
        scores = {"a c": -1.000001, "x y": -1.000012}
        self.assertEqual(self.verdicts(self.other(), scores), ["semantic"])

    def test_swapped_ties_are_an_ordering(self):
        lines = self.STOCK.split("\n")
        swapped = "\n".join([lines[0], *lines[3:5], *lines[1:3], ""])
        scores = {"a b": -1.0, "a c": -1.000001}
        self.assertEqual(self.verdicts(swapped, scores), ["ordering", "ordering"])

    def test_a_score_that_its_tokens_do_not_have_is_semantic(self):
        scores = {"a c": -1.000001, "x y": -1.000002}
        self.assertEqual(self.verdicts(self.other(score="-1.1"), scores), ["semantic"])
        self.assertEqual(self.verdicts(self.other(score="nan"), scores), ["semantic"])

    def test_without_a_proof_it_stays_a_failure(self):
        self.assertEqual(self.verdicts(self.other(), {"a c": -1.0, "x y": None}), ["fail"])

    def test_the_corpus_score_follows_proven_ties_only(self):
        tail = compare.Difference("tail", None, None, [], [])
        tie = compare.Difference("tokens", 0, 0, "", "", verdict="tie")
        bad = compare.Difference("tokens", 1, 0, "", "", verdict="semantic")
        for others, expected in (([tie], "tie"), ([tie, bad], "fail"), ([], "fail")):
            one = copy.copy(tail)
            classify._excuse_tail([*others, one])
            self.assertEqual(one.verdict, expected)


class Draws(unittest.TestCase):
    """Sampled outputs: the draws are judged, not the scores."""

    def verdicts(self, stock, elbeam):
        differences = [
            compare.Difference("tokens", 0, 0, "a", "b"),
            compare.Difference("tokens", 3, 0, "c", "d"),
            compare.Difference("tail", None, None, [], []),
        ]
        answer = {
            name: dict(zip(("ties", "failure"), run)) for name, run in (("stock", stock), ("elbeam", elbeam))
        }
        classify.classify_draws(differences, answer)
        return [d.verdict for d in differences], proof.count_of_ties(differences)

    def test_ties_that_differ_excuse_all(self):
        verdicts, count = self.verdicts((["one", "two"], ""), (["two", "three"], ""))
        self.assertEqual((verdicts, count), (["tie"] * 3, 2))

    def test_a_run_that_is_not_reached_excuses_nothing(self):
        verdicts, _ = self.verdicts((["one"], ""), (["two"], "step 3 of sentence 7"))
        self.assertEqual(verdicts, ["fail"] * 3)

    def test_equal_draws_excuse_nothing(self):
        self.assertEqual(self.verdicts((["one"], ""), (["one"], ""))[0], ["fail"] * 3)


class Flags(unittest.TestCase):
    def test_post_process_is_taken_out(self):
        for flags in (
            ["d", "--remove-bpe", "--beam", "4"],
            ["d", "--remove-bpe", "sentencepiece", "--beam", "4"],
            ["d", "--post-process=subword_nmt", "--beam", "4"],
            ["d", "--beam", "4", "--post-process", "letter"],
        ):
            self.assertEqual(run.without_post_process(flags), ["d", "--beam", "4"])
        self.assertIsNone(run.without_post_process(["d", "--beam", "4"]))

    def test_the_model_is_replaced(self):
        self.assertEqual(run.replace_path(["d", "--path", "a", "-s", "de"], "b")[2], "b")
        self.assertEqual(run.replace_path(["d", "--path=a"], "b"), ["d", "--path=b"])
        with self.assertRaises(ParityError):
            run.replace_path(["d"], "b")

    def test_what_cannot_be_scored_is_not_scored(self):
        self.assertEqual(
            run.fp64_scores("no-python", ["d", "--sampling"], ".", [(0, None)]), [None]
        )


class CommandLine(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.folder = pathlib.Path(scratch.name)
        (self.folder / "data-bin").mkdir()
        for name in ("dict.de.txt", "test.de-en.de.bin"):
            (self.folder / "data-bin" / name).write_text(name)
        (self.folder / "model.pt").write_bytes(b"weights")
        self.stock = make_output()
        self.flags = ["data-bin", "--path", "model.pt", "--beam", "3"]
        golden.write(
            self.folder, self.flags, self.stock, {"cpu_capability": "NONE", "fairseq": "f 1"}
        )

    def program(self, text, status=0):
        """An elbeam-generate that prints this text."""
        (self.folder / "out.txt").write_text(text)
        path = self.folder / "elbeam-generate"
        path.write_text(
            f'#!/bin/sh\necho "last words" >&2\ncat "{self.folder}/out.txt"\nexit {status}\n'
        )
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        return str(path)

    def parity(self, text, *more, status=0):
        """Returns the exit status, stdout and stderr together, and the JSON report."""
        out = self.folder / "report.json"
        arguments = ["--from-golden", str(self.folder), "--elbeam", self.program(text, status)]
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
            code = parity_main([*arguments, "--out", str(out), *more])
        return code, printed.getvalue(), json.loads(out.read_text()) if out.exists() else None

    def test_equal(self):
        code, printed, written = self.parity(self.stock)
        self.assertEqual(code, 0)
        self.assertIn("verdict     equal", printed)
        self.assertEqual(written["counts"]["hypotheses"], 90)
        self.assertEqual(written["fairseq"], "f 1")
        self.assertEqual(len(written["elbeam"]["binary"]), 64)
        self.assertEqual(list(written["model"]), ["model.pt"])

    def test_a_difference_without_reference_fails_and_says_why(self):
        with mock.patch.dict("os.environ"):
            code, printed, written = self.parity(
                edit(self.stock, "H-17", set_field(2, "wrong words")), "--reference-python", ""
            )
        self.assertEqual(code, 1)
        self.assertIn("sentence 17, hypothesis 1", printed)
        self.assertIn("ELBEAM_REFERENCE_PYTHON", printed)
        self.assertEqual(written["verdict"], "different")

    def test_a_tie_proven_by_the_reference_passes(self):
        score = output.parse(self.stock, "s").sentences[17].hypotheses[0].score
        text = edit(self.stock, "H-17", set_field(2, "wrong words"))
        for gap, expected in ((4e-6, 0), (4e-5, 1)):
            with mock.patch.object(run, "fp64_scores", lambda *_, gap=gap: [score, score + gap]):
                code, printed, written = self.parity(text, "--reference-python", "python")
            self.assertEqual(code, expected, printed)
            self.assertEqual(written["verdicts"], {"tie" if expected == 0 else "semantic": 1})

    def test_a_missing_sentence_fails(self):
        lines = [line for line in self.stock.split("\n") if not line[1:].startswith("-5\t")]
        code, printed, _ = self.parity("\n".join(lines))
        self.assertEqual(code, 1)
        self.assertIn("missing in sentence 5", printed)

    def test_a_program_that_fails_is_no_comparison(self):
        code, printed, _ = self.parity(self.stock, status=3)
        self.assertEqual(code, 3)
        self.assertIn("status 3", printed)
        self.assertIn("last words", printed)

    def test_a_golden_of_another_model_is_refused(self):
        (self.folder / "model.pt").write_bytes(b"other weights")
        code, printed, _ = self.parity(self.stock)
        self.assertEqual(code, 3)
        self.assertIn("model is not what meta.json says", printed)

    def test_a_golden_that_was_edited_is_refused(self):
        (self.folder / golden.STOCK).write_text(self.stock.replace("40.43", "50.00"))
        code, printed, _ = self.parity(self.stock)
        self.assertEqual(code, 3)
        self.assertIn("stock is not what", printed)

    def test_a_golden_is_the_same_bytes_each_time(self):
        names = (golden.STOCK, golden.META, golden.COMMAND)
        before = [(self.folder / name).read_bytes() for name in names]
        facts = {"cpu_capability": "NONE", "fairseq": "f 1"}
        golden.write(self.folder, self.flags, self.stock, facts)
        self.assertEqual(before, [(self.folder / name).read_bytes() for name in names])

    def test_usage(self):
        for arguments in (
            [],
            ["--golden", "x", "--stock", "y", "--", "data"],
            ["--reference-python", "", "--", "data"],
            ["--from-golden", "x", "--", "data"],
        ):
            with contextlib.redirect_stderr(io.StringIO()), self.assertRaises(SystemExit) as caught:
                parity_main(arguments)
            self.assertEqual(caught.exception.code, 2)


if __name__ == "__main__":
    unittest.main()
