"""elbeam-score --metrics as a user's shell sees it."""

import gzip
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = pathlib.Path(os.environ.get("ELBEAM_BIN_DIR", ROOT / "build" / "bin")) / "elbeam-score"
STOCK = ROOT / "tests" / "data" / "debian_de_en" / "stock_beam5.txt.gz"


class ScoreCommandLine(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="elbeam-score-"))
        self.addCleanup(shutil.rmtree, self.folder)
        self.system = self.write("out.txt", "the cat sat\non a mat\n")
        self.reference = self.write("ref.txt", "the cat sat\non the mat\n")

    def write(self, name, content):
        path = self.folder / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def run_score(self, *arguments, **options):
        return subprocess.run(
            [PROGRAM, *map(str, arguments)], capture_output=True, text=True, timeout=60, **options
        )

    def scores(self, *arguments, **options):
        result = self.run_score(*arguments, "--json", **options)
        self.assertEqual(result.returncode, 0, result.stderr)
        return json.loads(result.stdout)

    def assert_fails(self, status, *arguments, parts=()):
        result = self.run_score(*arguments)
        self.assertEqual(result.returncode, status, result.stderr)
        self.assertEqual(result.stdout, "")
        for part in parts:
            self.assertIn(str(part), result.stderr)

    def test_json_has_a_score_and_a_signature_for_each_metric(self):
        found = self.scores(
            *("--sys", self.system, "--ref", self.reference, "--ref", self.reference),
            *("--metrics", "bleu,chrf,chrf++,ter,wer,cer", "--lowercase"),
        )
        self.assertEqual(list(found), ["bleu", "chrf", "chrf++", "ter", "wer", "cer"])
        self.assertAlmostEqual(found["ter"]["score"], 100 / 6)
        self.assertEqual(
            found["bleu"]["signature"],
            "nrefs:2|case:lc|eff:no|tok:13a|smooth:exp|version:2.6.0",
        )

    def test_table(self):
        result = self.run_score(
            "--sys", self.system, "--ref", self.reference, "--metrics", "bleu,ter"
        )
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn("hyp_len = 6 ref_len = 6", result.stdout)
        self.assertIn("16.67", result.stdout)

    def test_fairseq_output_plain_text_and_standard_input_agree(self):
        flags = ["--metrics", "bleu,chrf"]
        direct = self.scores("--sys", STOCK, "--ref", STOCK, *flags)
        lines = {"D": {}, "T": {}}
        for line in gzip.open(STOCK, "rt", encoding="utf-8"):
            if line[:2] in ("D-", "T-"):
                fields = line.rstrip("\n").split("\t")
                lines[line[0]].setdefault(int(fields[0][2:]), fields[-1])
        plain = {kind: "".join(lines[kind][i] + "\n" for i in sorted(lines[kind])) for kind in "DT"}
        reference = self.write("t.txt", plain["T"])
        system = self.write("d.txt.gz", gzip.compress(plain["D"].encode()))
        self.assertEqual(self.scores("--sys", system, "--ref", reference, *flags), direct)
        with open(self.write("d.txt", plain["D"]), encoding="utf-8") as file:
            again = self.scores("--sys", "-", "--ref", reference, *flags, stdin=file)
        self.assertEqual(again, direct)

    def test_files_of_different_lengths(self):
        longer = self.write("longer.txt", "a\nb\nc\nd\n")
        self.assert_fails(
            *(3, "--sys", self.system, "--ref", longer, "--metrics", "bleu"),
            parts=(f"{self.system} has 2, {longer} has 4", "segment 3 is the first"),
        )

    def test_bad_files(self):
        empty = self.write("empty.txt", "")
        latin = self.write("latin.txt", b"ab\nc\xe9\n")
        flags = ("--metrics", "bleu")
        self.assert_fails(3, "--sys", empty, "--ref", empty, *flags, parts=("nothing to score",))
        self.assert_fails(
            *(3, "--sys", self.system, "--ref", latin, *flags), parts=(f"{latin}:2: byte 2",)
        )
        self.assert_fails(
            3, "--sys", self.system, "--ref", self.folder / "none", *flags, parts=("No such file",)
        )
        irregular = ("--rouge-stemmer", "--rouge155-exceptions", self.folder)
        self.assert_fails(
            *(3, "--sys", self.system, "--ref", self.system, "--metrics", "rouge155", *irregular),
            parts=(f"{self.folder}/adj.exc", "wordnet-base", "--rouge155-exceptions"),
        )

    def test_truncated_and_damaged_compressed_files(self):
        lines = "".join(f"{i * 7919} words\n" for i in range(20000))
        whole = gzip.compress(lines.encode())
        reference = self.write("many.txt", lines)
        half = self.write("half.gz", whole[: len(whole) // 2])
        flags = ("--ref", reference, "--metrics", "bleu")
        self.assert_fails(3, "--sys", half, *flags, parts=(half, "breaks off after line"))
        no_end = self.write("no_end.gz", whole[:-4])
        self.assert_fails(3, "--sys", no_end, *flags, parts=(no_end, "breaks off"))
        damaged = self.write("damaged.gz", whole[:-8] + bytes(4) + whole[-4:])
        self.assert_fails(3, "--sys", damaged, *flags, parts=(damaged,))

    def test_missing_references(self):
        sources = self.write("only.txt", "S-0\ta\nH-0\t-1\tb\nD-0\t-1\tb\n")
        flags = ("--sys", sources, "--metrics", "bleu")
        self.assert_fails(3, *flags, "--ref", sources, parts=(sources, "has no T- lines"))
        lines = '{"hypothesis": "a", "reference": "b"}\n{"hypothesis": "a", "reference": []}\n'
        some = self.write("some.jsonl", lines)
        self.assert_fails(
            *(3, "--sys", some, "--ref", some, "--metrics", "bleu"),
            parts=(f"{some}:2", "'reference' is empty"),
        )
        none = self.write("none.jsonl", '{"hypothesis": "a"}\n')
        self.assert_fails(
            *(3, "--sys", none, "--ref", none, "--metrics", "bleu"),
            parts=(f"{none}:1", "no field 'reference'"),
        )

    @unittest.skipIf(os.environ.get("ELBEAM_SANITIZE"), "a sanitizer keeps what was released")
    def test_memory_does_not_grow_with_the_file(self):
        def peak(make, count):
            path = self.write("big.txt", "".join(map(make, range(count))))
            code = (
                "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True,"
                " stdout=subprocess.DEVNULL);"
                "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
            )
            command = [sys.executable, "-c", code, PROGRAM, "--sys", path, "--ref", path]
            command += ["--metrics", "bleu,rouge1", "--threads", "1", "--json"]
            result = subprocess.run(command, capture_output=True, check=True, timeout=120)
            return int(result.stdout)

        line = "the quick brown fox jumps over the lazy dog"
        count = 400_000

        # Later ids first in every hundred: what is written out of order in batches.
        def fairseq(i):
            sentence = i // 100 * 100 + 99 - i % 100
            return f"T-{sentence}\t{line}\nH-{sentence}\t-0.5\t{line}\n"

        # 18 MB of text on each side; measured 0.3 and 0.9 MB more.
        for make in (lambda _: line + "\n", fairseq):
            peak(make, 1000)
            self.assertLess(peak(make, count), peak(make, count // 4) + 4000)

    def test_bad_command_lines(self):
        files = ("--sys", self.system, "--ref", self.reference)
        self.assert_fails(2, *files, "--metrics", "bleurt", parts=("unknown metric 'bleurt'",))
        self.assert_fails(2, *files, "--metrics", "", parts=())
        self.assert_fails(2, "--sys", self.system, "--metrics", "bleu", parts=("--ref",))
        self.assert_fails(2, "--ref", self.system, "--metrics", "bleu", parts=("--sys",))
        self.assert_fails(2, *files, "--metrics", "bleu", "--tokenise", "13a", parts=("tokenise",))
        bleu = (*files, "--metrics", "bleu")
        self.assert_fails(3, *bleu, "--tokenize", "flores200", parts=("--tokenizer-model",))
        self.assert_fails(3, *bleu, "--tokenize", "ja-mecab", parts=("ja-mecab", "dictionary"))
        model = ("--tokenizer-model", self.system)
        self.assert_fails(2, *bleu, *model, parts=("--tokenizer-model is for",))
        self.assert_fails(
            *(3, *bleu, "--tokenize", "flores101", *model), parts=("not a sentencepiece model",)
        )
        self.assert_fails(
            *(2, "--sys", "-", "--ref", "-", "--metrics", "bleu"), parts=("standard input",)
        )
        many = [flag for _ in range(101) for flag in ("--ref", self.reference)]
        self.assert_fails(
            3, "--sys", self.system, *many, "--metrics", "bleu", parts=("101 files", "100")
        )


if __name__ == "__main__":
    unittest.main()
