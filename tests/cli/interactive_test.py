"""elbeam-interactive as a user's shell sees it: lines as they come, bad text, closed pipes, signals."""

import json
import os
import pathlib
import pty
import re
import select
import signal
import subprocess
import tempfile
import termios
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = pathlib.Path(os.environ.get("ELBEAM_BIN_DIR", ROOT / "build" / "bin")) / "elbeam-interactive"
TOY = ROOT / "tests" / "data" / "toy"
COMMON = (TOY / "bin-ende", "--path", TOY / "ckpt" / "tf.pt", "--threads", "1", "--max-len-b", "12")
LINE = b"the big dog sees a red house ."


def run(*arguments, text=b"", **options):
    options = {"stdout": subprocess.PIPE, **options}
    return subprocess.run(
        [PROGRAM, *map(str, arguments)], input=text, stderr=subprocess.PIPE, timeout=120, **options
    )


def sources(output):
    return [line for line in output.split(b"\n") if line.startswith(b"S-")]


class Gpt2Folder(unittest.TestCase):
    def test_a_folder_of_hugging_face_needs_no_dictionary(self):
        """The model is tests/data/gpt2_tiny, the continuations are those of transformers."""
        folder = ROOT / "tests" / "data" / "gpt2_tiny"
        beams = json.loads((folder / "reference.json").read_text())["beams"]
        self.assertGreater(len(beams), 1)
        for stock in beams:
            prompt = " ".join(map(str, stock["prompt"]))
            length = len(stock["prompt"]) + len(stock["continuations"][0])
            flags = ["--beam", stock["beam"], "--nbest", stock["beam"], "--unnormalized"]
            flags += ["--min-len", length, "--max-len-b", length, "--threads", "1"]
            with self.subTest(prompt=prompt, beam=stock["beam"]), tempfile.TemporaryDirectory() as data:
                result = run(
                    *(data, "--task", "language_modeling", "--path", folder, *flags),
                    text=prompt.encode() + b"\n",
                )
                self.assertEqual(result.returncode, 0, result.stderr)
                found = re.findall(r"^H-0\t[^\t]*\t(.*)$", result.stdout.decode(), re.M)
                expected = [" ".join([prompt, *map(str, ids)]) for ids in stock["continuations"]]
                # The forced end has a score of its own: the order among beams is not compared.
                self.assertEqual(sorted(found), sorted(expected))

    def test_a_checkpoint_brings_no_dictionary(self):
        with tempfile.TemporaryDirectory() as data:
            result = run(data, "--task", "language_modeling", "--path", TOY / "ckpt" / "lm.pt")
            self.assertEqual(result.returncode, 3)
            self.assertIn(b"there is no dictionary", result.stderr)


class CommandLine(unittest.TestCase):
    def assert_fails(self, status, message, *arguments, **options):
        result = run(*arguments, **options)
        self.assertEqual(result.returncode, status, result.stderr)
        last = result.stderr.decode().strip().splitlines()[-1]
        self.assertIn("elbeam-interactive: error: " + message, last)
        return result

    def test_help_and_version(self):
        result = run("--help")
        self.assertEqual((result.returncode, result.stderr), (0, b""))
        self.assertIn(b"--buffer-size N", result.stdout)
        self.assertIn(b"fairseq-interactive's options", result.stdout)
        self.assertNotIn(b"--conv-pos", result.stdout)
        self.assertLessEqual(max(map(len, result.stdout.splitlines())), 100)
        self.assertRegex(run("--version").stdout, rb"^elbeam-interactive \d+\.\d+\.\d+\n$")

    def test_usage_errors(self):
        self.assert_fails(2, "the following arguments are required: data")
        self.assert_fails(2, "--path required for generation!", "d")
        # fairseq-generate has these, fairseq-interactive has not.
        self.assert_fails(2, "unrecognized arguments: --arch x", *COMMON, "--arch", "x")
        message = "--batch-size cannot be larger than --buffer-size"
        self.assert_fails(2, message, *COMMON, "--batch-size", "4")
        self.assert_fails(2, message, *COMMON, "--batch-size", "9", "--buffer-size", "8")
        self.assert_fails(2, "--score-reference", *COMMON, "--score-reference")
        for value in ("x", "nan", "1.5", "9223372036854775808"):
            message = "argument --buffer-size: invalid int value"
            self.assert_fails(2, message, *COMMON, "--buffer-size", value)

    def test_buffer_sizes_that_mean_one_line(self):
        expected = run(*COMMON, text=LINE).stdout
        for value in ("0", "-1", "-9223372036854775808"):
            output = run(*COMMON, "--buffer-size", value, text=LINE).stdout
            self.assertEqual(sources(output), sources(expected))
        # Nor does a buffer that cannot be had keep a short input from being translated.
        output = run(*COMMON, "--buffer-size", "9223372036854775807", text=LINE).stdout
        self.assertEqual(sources(output), sources(expected))

    def test_input_that_cannot_be_read(self):
        self.assert_fails(3, "no/such: cannot open", *COMMON, "--input", "no/such")
        self.assert_fails(3, f"{TOY}: cannot read", *COMMON, "--input", TOY)


class Lines(unittest.TestCase):
    def start(self, *arguments, **options):
        process = subprocess.Popen(
            [PROGRAM, *map(str, COMMON), *arguments],
            **{"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options},
        )
        self.addCleanup(process.kill)
        return process

    def finish(self, process):
        process.stdin.close()
        output, error = process.stdout.read(), process.stderr.read()
        status = process.wait(60)
        process.stdout.close()
        process.stderr.close()
        return status, output, error

    def test_no_input(self):
        result = run(*COMMON)
        self.assertEqual((result.returncode, result.stdout), (0, b""), result.stderr)

    def test_odd_lines(self):
        megabyte = b"the " * (1 << 18)
        text = b"\n".join([b"\0", b"a\0b dog", b" \t ", "\u2003ein\u00a0".encode(), LINE])
        result = run(*COMMON, text=text)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(
            sources(result.stdout),
            [b"S-0\t<unk>", b"S-1\t<unk> dog", b"S-2\t", b"S-3\t<unk>", b"S-4\t" + LINE],
        )
        for line in (megabyte, megabyte.replace(b" ", b"")):
            skip = ("--skip-invalid-size-inputs-valid-test", "--buffer-size", "2", "--max-tokens", "900")
            result = run(*COMMON, *skip, text=line + b"\n" + LINE)
            self.assertEqual(result.returncode, 0, result.stderr)
            self.assertEqual(sources(result.stdout)[-1], b"S-1\t" + LINE)

    def test_a_line_that_is_too_long_keeps_the_results_before_it(self):
        result = run(*COMMON, text=LINE + b"\n" + b"the " * 5000)
        self.assertEqual(result.returncode, 3)
        self.assertEqual(sources(result.stdout), [b"S-0\t" + LINE])
        self.assertIn(b"error: Size of sample #0 is invalid (=", result.stderr)

    def test_text_that_is_not_utf8_keeps_the_results_before_it(self):
        result = run(*COMMON, text=LINE + b"\nthe \xe9 dog\n" + LINE)
        self.assertEqual(result.returncode, 3)
        self.assertEqual(sources(result.stdout), [b"S-0\t" + LINE])
        self.assertIn(b"error: standard input: line 2, byte 5 is not UTF-8", result.stderr)

    def test_each_block_is_answered_before_the_next(self):
        process = self.start("--buffer-size", "2", "--batch-size", "2")
        process.stdin.write(LINE + b"\n" + b"a dog .\n")
        process.stdin.flush()
        lines = [process.stdout.readline() for _ in range(10)]  # hangs where results are held back
        self.assertEqual([line[:3] for line in lines[::5]], [b"S-0", b"S-1"])
        process.stdin.write(b"a cat .")
        status, output, error = self.finish(process)
        self.assertEqual(status, 0, error)
        self.assertEqual(sources(output), [b"S-2\ta cat ."])

    def test_a_terminal(self):
        terminal, end = pty.openpty()
        attributes = termios.tcgetattr(end)
        attributes[3] &= ~termios.ECHO
        termios.tcsetattr(end, termios.TCSANOW, attributes)
        process = self.start(stdin=end, stdout=end)
        os.close(end)
        os.write(terminal, LINE + b"\n")
        seen = b""
        while b"P-0" not in seen:
            self.assertTrue(select.select([terminal], [], [], 60)[0], seen)
            seen += os.read(terminal, 65536)
        os.write(terminal, b"\x04")  # end of input
        error = process.stderr.read()
        self.assertEqual(process.wait(60), 0, error)
        process.stderr.close()
        os.close(terminal)

    def test_interrupted_while_it_waits(self):
        for number in (signal.SIGINT, signal.SIGTERM):
            process = self.start()
            process.stdin.write(LINE + b"\n")
            process.stdin.flush()
            first = process.stdout.readline()
            for _ in range(4):
                process.stdout.readline()
            process.send_signal(number)
            self.assertEqual(process.wait(60), 128 + number)
            self.assertEqual(first, b"S-0\t" + LINE + b"\n")
            self.finish(process)

    def test_closed_output_is_an_error_and_no_signal(self):
        process = self.start()
        process.stdout.close()
        process.stdin.write(LINE + b"\n")
        process.stdin.flush()
        error = process.stderr.read()
        self.assertEqual(process.wait(60), 3, error)
        self.assertIn(b"elbeam-interactive: error: standard output: cannot write: Broken pipe", error)
        process.stdin.close()
        process.stderr.close()

    def test_lines_of_a_file_end_as_python_ends_them(self):
        with tempfile.NamedTemporaryFile() as file:
            file.write(b"a dog\ra cat\r\n\nthe house")
            file.flush()
            result = run(*COMMON, "--input", file.name)
            self.assertEqual(
                sources(result.stdout), [b"S-0\ta dog", b"S-1\ta cat", b"S-2\t", b"S-3\tthe house"]
            )
        # In standard input \r is a blank.
        self.assertEqual(sources(run(*COMMON, text=b"a dog\ra cat\r\n").stdout), [b"S-0\ta dog a cat"])


if __name__ == "__main__":
    unittest.main()
