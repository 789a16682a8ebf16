"""eval/recipes with the bundled model: one command to scores and report, and going on."""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(os.environ.get("ELBEAM_BIN_DIR", ROOT / "build" / "bin"))
MODEL = ROOT / "tests" / "data" / "squad_qg_bart"
SENTENCES = (
    "the panthers finished the regular season with a 15-1 record.",
    "tesla was born in 1856 in the village of smiljan .",
    "",
    "the scottish parliament meets in edinburgh 😀",
    "it was built in 1889 .",
)
QUESTIONS = (
    "what was the record of the panthers?",
    "where was tesla born?",
    "what?",
    "where does the parliament meet?",
    "when was it built?",
)


class Recipes(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="elbeam-recipes-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.source = self.write("test.source", "".join(s + "\n" for s in SENTENCES))
        self.reference = self.write("test.target", "".join(q + "\n" for q in QUESTIONS))
        self.out = self.folder / "run"

    def write(self, name, content):
        path = self.folder / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    def command(self, recipe, *arguments, **replaced):
        flags = {"source": self.source, "reference": self.reference, "out": self.out, "bin": BIN}
        flags |= {"model": MODEL / "checkpoint.pt", "shard-size": 2} | replaced
        command = [sys.executable, ROOT / "eval" / "recipes" / f"{recipe}.py"]
        command += [f"--{key}={value}" for key, value in flags.items()]
        return [*command, *map(str, arguments)]

    def run_recipe(self, recipe, *arguments, **replaced):
        return subprocess.run(
            self.command(recipe, *arguments, **replaced),
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    def assert_done(self, result):
        self.assertEqual(result.returncode, 0, result.stderr)
        for name in ("scores.json", "report.html"):
            self.assertTrue((self.out / name).is_file(), name)

    def test_questions(self):
        result = self.run_recipe("squad_questions")
        self.assert_done(result)
        scores = json.loads((self.out / "scores.json").read_text(encoding="utf-8"))
        self.assertEqual(
            list(scores), ["bleu", "meteor", "rougeL", "chrf", "distinct2", "length-ratio"]
        )
        outputs = (self.out / "hypothesis.txt").read_text(encoding="utf-8").splitlines()
        self.assertEqual(len(outputs), len(SENTENCES))
        self.assertTrue(outputs[0].endswith("?"), outputs[0])
        self.assertIn("lines 5 to 5 of 5: decoded", result.stderr)

    def test_summaries(self):
        self.write("test.target", "<t> a first . </t> <t> a second </t>\n" + "One. Two!\n" * 4)
        result = self.run_recipe("cnn_dailymail", "--limit", 2, "--generate-flags=--max-len-b 60")
        self.assert_done(result)
        references = (self.out / "reference.txt").read_text(encoding="utf-8").splitlines()
        self.assertEqual(references, ["a first .<n>a second", "One.<n>Two!"])
        scores = json.loads((self.out / "scores.json").read_text(encoding="utf-8"))
        self.assertIn("ROUGE-L", scores["rouge155"])
        # No trigram twice, by words of the BPE; 55 tokens at least.
        ids = (self.out / "shards" / "0000000" / "generate.txt").read_text(encoding="utf-8")
        tokens = [l.split("\t")[2].split() for l in ids.splitlines() if l.startswith("H-")]
        for one in tokens:
            self.assertGreaterEqual(len(one), 55)
            grams = list(zip(one, one[1:], one[2:]))
            self.assertEqual(len(grams), len(set(grams)))

    def test_goes_on_where_it_was_killed(self):
        process = subprocess.Popen(
            self.command("squad_questions"), stderr=subprocess.PIPE, stdout=subprocess.DEVNULL
        )
        first = self.out / "shards" / "0000000" / "generate.txt"
        deadline = time.monotonic() + 120
        while not first.exists() and time.monotonic() < deadline and process.poll() is None:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        self.assertTrue(first.exists())
        stamp = first.stat().st_mtime_ns
        result = self.run_recipe("squad_questions")
        self.assert_done(result)
        self.assertIn("lines 1 to 2 of 5: there already", result.stderr)
        self.assertEqual(first.stat().st_mtime_ns, stamp)
        whole = (self.out / "hypothesis.txt").read_text(encoding="utf-8")
        self.out = self.folder / "again"
        self.assert_done(self.run_recipe("squad_questions"))
        self.assertEqual((self.out / "hypothesis.txt").read_text(encoding="utf-8"), whole)

    def test_another_run_in_the_folder(self):
        self.assert_done(self.run_recipe("squad_questions", "--limit", 1))
        other = self.run_recipe("squad_questions", "--limit", 2)
        self.assertEqual(other.returncode, 3)
        self.assertIn("holds another run (different: sources, references)", other.stderr)
        self.assert_done(self.run_recipe("squad_questions", "--limit", 2, "--restart"))

    def test_scores_that_cannot_be_had_are_found_before_decoding(self):
        programs = self.folder / "bin"
        programs.mkdir()
        for program in BIN.iterdir():
            (programs / program.name).symlink_to(program)
        (programs / "elbeam-score").unlink()
        broken = self.write("bin/elbeam-score", "#!/bin/sh\necho no WordNet >&2\nexit 3\n")
        broken.chmod(0o755)
        result = self.run_recipe("squad_questions", bin=programs)
        self.assertEqual(result.returncode, 3, result.stderr)
        self.assertIn("no WordNet", result.stderr)
        self.assertNotIn("decoded", result.stderr)
        self.assertFalse((self.out / "shards").exists())

    def test_bad_input(self):
        short = self.write("short", "one\n")
        latin = self.write("latin", b"a\nb\xe9\n\n\n\n")
        empty = self.write("empty", "")
        for part, replaced in (
            (f"{short} 1: line 2 is the first", {"reference": short}),
            (f"{latin}:2: byte 2 is not UTF-8", {"source": latin}),
            ("is empty", {"source": empty, "reference": empty}),
            ("No such file", {"source": self.folder / "none"}),
            ("the model is not there", {"model": self.folder / "none.pt"}),
            ("merges (--vocab-bpe)", {"vocab-bpe": self.folder / "none"}),
            ("a dictionary (--dict)", {"dict": self.folder}),
            ("there is no program nothing-here", {"generate": "nothing-here"}),
            ("unrecognized argument", {"generate-flags": "--nonsense"}),
        ):
            with self.subTest(part=part):
                result = self.run_recipe("squad_questions", **replaced)
                self.assertEqual(result.returncode, 3, result.stderr)
                self.assertIn(part, result.stderr)
                self.assertNotIn("Traceback", result.stderr)


if __name__ == "__main__":
    unittest.main()
