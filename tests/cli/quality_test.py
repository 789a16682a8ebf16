"""elbeam-generate with options that are not lossless, what it measures of them, and equal sentences."""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = pathlib.Path(os.environ.get("ELBEAM_BIN_DIR", ROOT / "build" / "bin")) / "elbeam-generate"
MODEL = ROOT / "tests" / "data" / "debian_de_en"
FIGURES = r"of (\d+) sentences \((\d+) in the data\) (\d+) have the lossless output"


class Scratch(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="elbeam-quality-"))
        self.addCleanup(shutil.rmtree, self.folder)
        self.stats = self.folder / "stats.json"

    def run_tool(self, *arguments, data=MODEL / "data-bin"):
        command = [PROGRAM, data, "--path", MODEL / "checkpoint.pt", "--threads", "1", "--beam", "1"]
        return subprocess.run(
            [*map(str, command), *map(str, arguments)], capture_output=True, text=True, timeout=120
        )

    def good(self, *arguments, **options):
        result = self.run_tool(*arguments, "--stats", self.stats, **options)
        self.assertEqual(result.returncode, 0, result.stderr)
        return result

    def fails(self, status, part, *arguments, **options):
        result = self.run_tool(*arguments, **options)
        self.assertEqual((result.returncode, result.stdout), (status, ""), result.stderr)
        last = result.stderr.strip().splitlines()[-1]
        self.assertIn("elbeam-generate: error: ", last)
        self.assertIn(part, last)

    def counters(self):
        return json.loads(self.stats.read_text())

    def few_words(self):
        """A list that leaves out nearly all words of the translations."""
        lines = (MODEL / "data-bin" / "dict.en.txt").read_text().splitlines()[:30]
        path = self.folder / "few.txt"
        path.write_text("\n".join(lines) + "\n")
        return path


class Quality(Scratch):
    def test_a_sample_is_compared_before_the_run(self):
        quiet = self.good("--dtype", "int8", "--quality-sample", "0")
        self.assertNotIn("lossless output", quiet.stderr)
        self.assertNotIn("quality", self.counters())
        result = self.good("--dtype", "int8", "--quality-sample", "20")
        self.assertEqual(result.stdout, quiet.stdout)
        self.assertRegex(
            result.stderr,
            r"--dtype int8: " + FIGURES + r" \([\d.]+ %\); BLEU4 [\d.]+, lossless [\d.]+: a loss of",
        )
        quality = self.counters()["quality"]
        self.assertEqual(quality["sentences"], 20)
        self.assertGreater(quality["equal"], 10)
        self.assertGreater(quality["lossless_bleu"], 5)
        self.assertLess(abs(quality["lossless_bleu"] - quality["bleu"]), 10)

    def test_the_whole_data_gives_the_figures_of_the_closing_lines(self):
        def bleu(result):
            return float(result.stdout.split("BLEU4 = ")[1].split(",")[0])

        exact = self.good("--quiet")
        lossy = self.good("--quiet", "--dtype", "int8", "--quality-sample", "100000")
        quality = self.counters()["quality"]
        self.assertEqual(quality["sentences"], 200)
        self.assertAlmostEqual(quality["lossless_bleu"], bleu(exact), delta=0.005)
        self.assertAlmostEqual(quality["bleu"], bleu(lossy), delta=0.005)

    def test_a_loss_above_the_limit_exits_5_and_writes_nothing(self):
        results = self.folder / "results"
        few = ("--vocabulary-list", self.few_words(), "--quality-sample", "20")
        self.fails(5, "--max-quality-loss 0.5", *few, "--max-quality-loss", "0.5")
        self.fails(5, "a loss of", *few, "--max-quality-loss", "1", "--results-path", results)
        self.assertFalse(results.exists())
        self.assertIn("a loss of", self.good(*few, "--max-quality-loss", "100").stderr)

    def test_what_is_lossless_is_not_measured(self):
        for dtype in ("fp32", "fp64"):
            result = self.good("--dtype", dtype, "--max-quality-loss", "0", "--quiet")
            self.assertNotIn("lossless output", result.stderr)

    def test_without_references_agreement_only(self):
        data = self.folder / "data"
        data.mkdir()
        for path in (MODEL / "data-bin").iterdir():
            if not path.name.startswith("test.de-en.en"):
                shutil.copy(path, data)
        languages = ("-s", "de", "-t", "en", "--dtype", "int8", "--quality-sample", "10")
        result = self.good(*languages, data=data)
        self.assertRegex(result.stderr, FIGURES)
        self.assertNotIn("a loss of", result.stderr)
        self.fails(2, "needs references", *languages, "--max-quality-loss", "1", data=data)

    def test_mistakes_exit_2(self):
        int8 = ("--dtype", "int8")
        for value in ("-1", "nan", "inf"):
            self.fails(2, "--max-quality-loss", *int8, "--max-quality-loss", value)
        self.fails(2, "--quality-sample", *int8, "--quality-sample", "-1")
        self.fails(
            2, "--quality-sample", *int8, "--quality-sample", "0", "--max-quality-loss", "1"
        )
        self.fails(2, "--score-reference", *int8, "--score-reference", "--max-quality-loss", "1")


class VocabularySelection(Scratch):
    def lexicon(self):
        """Each word of the sources to the words of their translations."""
        output = self.good().stdout.splitlines()
        sources = {line.split("\t")[0][2:]: line.split("\t")[1] for line in output if line[:2] == "S-"}
        found = {line.split("\t")[0][2:]: line.split("\t")[2] for line in output if line[:2] == "H-"}
        pairs = {(t, s) for i in sources for t in found[i].split() for s in sources[i].split()}
        path = self.folder / "lex.s2t"
        path.write_text("".join(f"{t} {s} 0.5\n" for t, s in sorted(pairs)) + "NULL a 0.1\n")
        return path, output

    def test_the_whole_vocabulary_changes_nothing(self):
        whole = MODEL / "data-bin" / "dict.en.txt"  # its lines begin with the words
        plain = self.good()
        self.assertEqual(self.counters()["selected_tokens"], 0)
        result = self.good("--vocabulary-list", whole, "--quality-sample", "0")
        self.assertEqual(result.stdout, plain.stdout)
        self.assertGreater(self.counters()["selected_tokens"], 100)

    def test_words_of_the_sources_are_enough(self):
        lexicon, plain = self.lexicon()
        options = ("--lexical-shortlist", lexicon, "--shortlist-best", "1000", "--batch-size", "1")
        result = self.good(*options)
        quality = self.counters()["quality"]
        self.assertGreater(quality["equal"], 0.7 * quality["sentences"])
        self.assertLess(self.counters()["selected_tokens"], 1000)
        self.good(*options, "--shortlist-first", "0", "--quality-sample", "0")
        fewer = self.counters()["selected_tokens"]
        self.good(*options, "--shortlist-first", "50", "--quality-sample", "0")
        self.assertGreater(self.counters()["selected_tokens"], fewer)

    def test_forced_words_are_always_possible(self):
        prefix = ("--prefix-size", "2", "--quality-sample", "0")
        plain = self.good(*prefix).stdout.splitlines()
        few = self.good(*prefix, "--vocabulary-list", self.few_words()).stdout.splitlines()

        def beginnings(lines):
            return [line.split("\t")[2].split()[:2] for line in lines if line.startswith("H-")]

        self.assertEqual(beginnings(plain), beginnings(few))

    def test_wrong_files(self):
        bad = self.folder / "bad"
        for text, part in (("a b\n", "bad:1"), ("die the 0.1\nder the x\n", "bad:2"),
                           ("a b 1.5\n", "bad:1"), ("a b nan\n", "bad:1"), ("a b 0.1 c\n", "bad:1"),
                           ("qqqq wwww 0.5\n", "none of the 1 lines"), ("", "none of the 0")):  # fmt: skip
            bad.write_text(text)
            self.fails(3, part, "--lexical-shortlist", bad)
        bad.write_text("qqqq\n")
        self.fails(3, "none of the 1 words", "--vocabulary-list", bad)
        self.fails(3, "no-such-file", "--vocabulary-list", self.folder / "no-such-file")
        self.fails(2, "--shortlist-first", "--shortlist-first", "1")
        self.fails(2, "--shortlist-best", "--shortlist-best", "1", "--vocabulary-list", bad)
        self.fails(2, "--shortlist-best", "--shortlist-best", "-1", "--lexical-shortlist", bad)
        self.fails(2, "--score-reference", "--score-reference", "--vocabulary-list", bad)
        self.fails(2, "native engine", "--engine", "torchscript", "--vocabulary-list", bad)


class LexicalMap(Scratch):
    def make(self, *arguments):
        command = [sys.executable, "-m", "fairseq_bridge.lexical_map", *map(str, arguments)]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)

    def test_words_are_aligned(self):
        source, target = self.folder / "train.de", self.folder / "train.en"
        source.write_text("das haus\ndas buch\nein buch\n")
        target.write_text("the house\nthe book\na book\n")
        result = self.make(source, target, "--best", "1", "--rounds", "20")
        self.assertEqual(result.returncode, 0, result.stderr)
        best = [line.split()[:2] for line in result.stdout.splitlines()]
        self.assertEqual(best, [["book", "buch"], ["the", "das"], ["a", "ein"], ["house", "haus"]])
        target.write_text("the house\n")
        for arguments in ((source, target), (target, source), (source, self.folder / "none")):
            result = self.make(*arguments)
            self.assertEqual((result.returncode, result.stdout), (1, ""))
            self.assertIn("lexical_map: error: ", result.stderr)

    def test_it_is_a_lexical_shortlist(self):
        lexicon = self.folder / "lex.s2t"
        # Of text that is no sub-words of the model: most words are none of its dictionary.
        lexicon.write_text(self.make(MODEL / "test.de", MODEL / "test.en").stdout)
        self.good("--lexical-shortlist", lexicon, "--quality-sample", "10")


class EqualSentences(Scratch):
    def data(self):
        """40 sentences, each three times, once with another reference."""
        data = self.folder / "data"
        data.mkdir()
        for side in ("de", "en"):
            shutil.copy(MODEL / "data-bin" / f"dict.{side}.txt", data)
        lines = self.good().stdout.splitlines()
        pairs = [
            (source.split("\t")[1], target.split("\t")[1])
            for source, target in zip(lines, lines[1:])
            if source.startswith("S-") and target.startswith("T-") and "<<unk>>" not in target
        ][:40]
        shifted = [pair[1] for pair in pairs[1:] + pairs[:1]]
        pairs += pairs + [(pair[0], target) for pair, target in zip(pairs, shifted)]
        for side, name in ((0, "de"), (1, "en")):
            (data / f"test.de-en.{name}").write_text("".join(pair[side] + "\n" for pair in pairs))
        return data

    def test_results_are_those_of_each_sentence(self):
        data = self.data()
        for options, decoded in (((), 40), (("--prefix-size", "1"), 80)):
            with self.subTest(options=options):
                raw = ("--dataset-impl", "raw", *options)
                alone = self.good(*raw, "--no-shared-sources", data=data)
                self.assertEqual(self.counters()["repeated_sentences"], 0)
                self.assertEqual(self.counters()["encoded_sentences"], 120)
                shared = self.good(*raw, data=data)
                self.assertEqual(shared.stdout, alone.stdout)
                self.assertGreaterEqual(self.counters()["repeated_sentences"], 120 - decoded)
                self.assertLessEqual(self.counters()["encoded_sentences"], 80)
                workers = self.good(*raw, "--workers", "2", "--batch-size", "3", data=data)
                self.assertEqual(
                    sorted(workers.stdout.splitlines()), sorted(alone.stdout.splitlines())
                )

    def test_scored_references_share_their_sources(self):
        data = self.data()
        raw = ("--dataset-impl", "raw", "--score-reference")
        alone = self.good(*raw, "--no-shared-sources", data=data)
        self.assertEqual(self.counters()["encoded_sentences"], 120)
        shared = self.good(*raw, data=data)
        self.assertEqual(shared.stdout, alone.stdout)
        self.assertLessEqual(self.counters()["encoded_sentences"], 40)

    def test_samples_are_drawn_for_each(self):
        sampling = ("--dataset-impl", "raw", "--sampling", "--max-len-b", "20")
        data = self.data()
        alone = self.good(*sampling, "--no-shared-sources", data=data)
        shared = self.good(*sampling, data=data)
        self.assertEqual(shared.stdout, alone.stdout)
        self.assertEqual(self.counters()["repeated_sentences"], 0)
        self.assertLess(self.counters()["encoded_sentences"], 120)


if __name__ == "__main__":
    unittest.main()
