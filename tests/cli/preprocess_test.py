"""elbeam-preprocess against the files of stock fairseq-preprocess (tests/data/preprocess), and on
input that is not as it should be."""

import hashlib
import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = pathlib.Path(os.environ.get("ELBEAM_BIN_DIR", ROOT / "build" / "bin")) / "elbeam-preprocess"
DATA = ROOT / "tests" / "data" / "preprocess"


def run(*arguments, folder=DATA):
    return subprocess.run(
        [PROGRAM, *map(str, arguments)], capture_output=True, text=True, timeout=120, cwd=folder
    )


def hashes(folder):
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.iterdir())
        if path.name != "preprocess.log"
    }


class Preprocess(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="elbeam-preprocess-"))
        self.addCleanup(shutil.rmtree, self.folder)

    def write(self, name, content):
        (self.folder / name).write_bytes(content)

    def assert_fails(self, status, *parts, arguments):
        result = run(*arguments, folder=self.folder)
        self.assertEqual(result.returncode, status, result.stderr)
        last = result.stderr.strip().splitlines()[-1]
        self.assertTrue(last.startswith("elbeam-preprocess: error: "), last)
        for part in parts:
            self.assertIn(part, last)

    def test_files_are_those_of_fairseq(self):
        cases = json.loads((DATA / "preprocess.json").read_text())
        self.assertGreaterEqual(len(cases), 16)
        for number, case in enumerate(cases):
            with self.subTest(arguments=" ".join(case["arguments"])):
                arguments = [a.replace("{0}", str(self.folder / "0")) for a in case["arguments"]]
                destination = self.folder / str(number)
                result = run(*arguments, "--destdir", destination)
                self.assertEqual(result.returncode, 0, result.stderr)
                self.assertEqual(result.stdout, "")
                self.assertEqual(hashes(destination), case["files"])
                log = (destination / "preprocess.log").read_text().splitlines()
                self.assertEqual([line for line in log if line.startswith("[")], case["log"])
                for line in case["log"]:
                    self.assertIn(line, result.stderr)

    def test_one_line_for_each_word_is_what_was_meant(self):
        self.write("t.a", b"x y\nx\n")
        self.write("t.b", b"X Y\nX\n")
        self.write("t.al", b"0-0 1-1 0-1\n0-0\n")
        result = run("-s", "a", "-t", "b", "--trainpref", "t", "--alignfile", "t.al", folder=self.folder)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn("--compat fairseq-main", result.stderr)
        translations = self.folder / "data-bin" / "alignment.a-b.txt"
        self.assertEqual(translations.read_text(), "x X\ny Y\n")

    def test_bad_text_is_placed(self):
        self.write("t.a", b"good line\nb\xffd\n")
        self.write("t.b", b"x\ny\n")
        pair = ["-s", "a", "-t", "b", "--trainpref", "t", "--destdir"]
        self.assert_fails(3, "t.a:2", "byte 1", "not UTF-8", arguments=[*pair, "o1"])
        self.write("d.txt", b"good 1\nline 1\n")
        given = ["--only-source", "--srcdict", "d.txt", "--testpref", "t.a", "--destdir"]
        self.assert_fails(3, "t.a:2", "byte 1", "not UTF-8", arguments=[*given, "o2"])
        self.write("d.txt", b"good 1\ngood 2\n")
        self.assert_fails(3, "d.txt:2", "Duplicate", arguments=[*given, "o3"])
        self.assert_fails(3, "none", arguments=["-s", "a", "-t", "b", "--trainpref", "none"])

    def test_bad_alignments_are_placed(self):
        self.write("t.a", b"x y\n")
        self.write("t.b", b"x y\n")
        base = ["-s", "a", "-t", "b", "--trainpref", "t", "--alignfile", "t.al", "--destdir"]
        for number, (content, part) in enumerate(
            [(b"0-2\n", "word 2"), (b"0\n", "0-0 1-2"), (b"0-0-0\n", "0-0 1-2"), (b"-1-0\n", "0-0 1-2"),
             (b"0-99999999999999999999\n", "0-0 1-2"), (b"\n\n", "numbers of lines"), (b"\xff", "UTF-8")]
        ):
            self.write("t.al", content)
            self.assert_fails(3, part, arguments=[*base, f"o{number}"])

    def test_long_lines_and_many_unknown_words(self):
        self.write("t.a", b"word " * 200_000 + b"\n" + b"x" * 1_000_000)
        self.write("u.a", b"other " * 100 + b"word\n")
        result = run("-s", "a", "--only-source", "--trainpref", "t", "--testpref", "u", "--workers", 4,
                     folder=self.folder)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn("u.a: the dictionary has not got 100 of 102 tokens", result.stderr)
        self.assertNotIn("t.a: the dictionary", result.stderr)

    def test_dictionaries_are_not_overwritten(self):
        self.write("t.a", b"x\n")
        arguments = ["-s", "a", "--only-source", "--trainpref", "t"]
        self.assertEqual(run(*arguments, folder=self.folder).returncode, 0)
        self.assert_fails(3, "dict.a.txt", "exists already", arguments=arguments)

    def test_command_lines(self):
        for text, *arguments in (
            ("--trainpref must be set if --srcdict", "-s", "a", "-t", "b"),
            ("unrecognized arguments: folder", "folder"),
            ("unrecognized arguments: --wrong", "--wrong"),
            ("huffman", "--dataset-impl", "huffman"),
            ("fasta", "--dataset-impl", "fasta"),
            ("invalid choice", "--dataset-impl", "x"),
            ("invalid int value", "--workers", "x"),
            ("between 1 and 1024", "--workers", "0"),
            ("--user-dir", "--user-dir", "x"),
            ("--task cross_lingual_lm", "--task", "cross_lingual_lm"),
            ("--trainpref must be set", "--alignfile", "x", "--srcdict", "x", "--tgtdict", "y"),
        ):
            self.assert_fails(2, text, arguments=arguments)
        help_text = run("--help")
        self.assertEqual((help_text.returncode, help_text.stderr), (0, ""))
        self.assertIn("--joined-dictionary", help_text.stdout)
        self.assertTrue(run("--version").stdout.startswith("elbeam-preprocess "))


if __name__ == "__main__":
    unittest.main()
