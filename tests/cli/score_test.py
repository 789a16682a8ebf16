"""elbeam-score as a user's shell sees it."""

import os
import pathlib
import shutil
import subprocess
import tempfile
import unicodedata
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = pathlib.Path(os.environ.get("ELBEAM_BIN_DIR", ROOT / "build" / "bin")) / "elbeam-score"

SACREBLEU_LINE = (
    b"BLEU = 45.07 70.6/42.9/36.4/37.5 (BP = 1.000 ratio = 1.000 hyp_len = 17 ref_len = 17)"
)


class Score(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="elbeam-score-"))
        self.addCleanup(shutil.rmtree, self.folder)
        self.ref = self.write("ref", "a b c d\ne f g h\n".encode())

    def write(self, name, content):
        (self.folder / name).write_bytes(content)
        return str(self.folder / name)

    def run_score(self, *arguments, text=b"a b c d\ne f g h\n", **options):
        options = {"stdout": subprocess.PIPE, **options}
        return subprocess.run(
            [PROGRAM, *arguments], input=text, stderr=subprocess.PIPE, timeout=60, **options
        )

    def assert_fails(self, status, message, *arguments, **options):
        result = self.run_score(*arguments, **options)
        self.assertEqual(result.returncode, status, result.stderr)
        self.assertIn("elbeam-score: error: " + message, result.stderr.decode())

    def test_help_and_version(self):
        self.assertIn(b"--ignore-case", self.run_score("--help").stdout)
        self.assertRegex(self.run_score("--version").stdout, rb"^elbeam-score \d+\.\d+\.\d+\n$")

    def test_bad_command_lines(self):
        self.assert_fails(2, "the following arguments are required: -r/--ref")
        self.assert_fails(2, "unrecognized arguments: y", "x", "y", "-r", self.ref)
        self.assert_fails(2, "two system outputs: 'y' and 'x'", "x", "-s", "y", "-r", self.ref)
        self.assert_fails(2, "standard input (-) can be only one of", "-r", "-")
        self.assert_fails(2, "unrecognized arguments: --x", "-r", self.ref, "--x")
        for order in ("5", "9223372036854775807"):
            self.assert_fails(2, "BLEU scores for order > 4", "-r", self.ref, "-o", order)
        for order in ("0", "-1", "-9223372036854775808"):
            self.assert_fails(2, "--order must be at least 1", "-r", self.ref, "-o", order)
        for order in ("x", "nan", "1.5", "", "9223372036854775808"):
            self.assert_fails(2, "argument --order/-o: invalid int", "-r", self.ref, "-o", order)

    def test_sacrebleu(self):
        """The README's example of sacrebleu with its first reference."""
        system = "The dog bit the man.\nIt wasn't surprising.\nThe man had just bitten him.\n"
        reference = self.write(
            "dogs", b"The dog bit the man.\nIt was not unexpected.\nThe man bit him first.\n"
        )
        result = self.run_score("-r", reference, "--sacrebleu", text=system.encode())
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertRegex(result.stdout, rb"^Namespace\(sys='-', .* sacrebleu=True, ")
        self.assertEqual(result.stdout.splitlines()[1], SACREBLEU_LINE)

    def test_output_without_its_flag(self):
        """Beyond fairseq-score: elbeam-score SYS < REF, elbeam-score SYS -r REF."""
        system = self.write("sys", b"a b c d\ne f g z\n")
        wanted = self.run_score("-s", system, "-r", self.ref).stdout.splitlines()[1]
        self.assertRegex(wanted, rb"^BLEU4 = .*, syslen=8, reflen=8\)$")
        for arguments in ([system], [system, "-r", self.ref]):
            result = self.run_score(*arguments)  # standard input is what self.ref has
            self.assertEqual(result.returncode, 0, result.stderr)
            self.assertEqual(result.stdout.splitlines()[1], wanted)

    def test_bad_files(self):
        missing = str(self.folder / "missing")
        self.assert_fails(3, missing + ": cannot open", "-r", missing)
        self.assert_fails(3, missing + ": cannot open", "-r", self.ref, "-s", missing)
        self.assert_fails(3, f"{self.folder}: cannot read", "-r", str(self.folder))
        self.assert_fails(
            3, "standard input: line 2, byte 3 is not UTF-8", "-r", self.ref, text=b"a\nb \xff\n"
        )
        with open("/dev/full", "wb") as full:
            self.assert_fails(3, "standard output: cannot write", "-r", self.ref, stdout=full)

    def test_files_of_different_length(self):
        result = self.run_score("-r", self.ref, text=b"a b c d\n")
        self.assertEqual(result.returncode, 0)
        self.assertIn(b"BLEU4 = 100.00", result.stdout)
        self.assertIn(b"has more lines than standard input (1): the rest is not scored", result.stderr)

    def test_names_are_quoted_as_python_does(self):
        for name in ("it's", 'say "x"', "both ' and \"", "back\\slash", "ümlaut"):
            with self.subTest(name=name):
                reference = self.write(name, b"a b c d\n")
                first = self.run_score("-r", reference).stdout.decode().splitlines()[0]
                self.assertIn(f"sys='-', ref={reference!r}, order=4,", first)

    def test_lower_case_of_every_letter(self):
        # Python's own tables are newer or older than the library's; these letters are in both.
        letters = [chr(c) for c in range(0x110000) if unicodedata.ucd_3_2_0.category(chr(c))[0] == "L"]
        reference = self.write("letters", "".join(f"{c.lower()}\n" for c in letters).encode())
        system = self.write("LETTERS", "".join(f"{c}\n" for c in letters).encode())
        result = self.run_score("-r", reference, "-s", system, "--ignore-case", "-o", "1")
        self.assertIn(b"BLEU1 = 100.00, 100.0 ", result.stdout, result.stderr)
        self.assertIn(f"reflen={len(letters)})".encode(), result.stdout)


if __name__ == "__main__":
    unittest.main()
