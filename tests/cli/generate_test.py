"""elbeam-generate as a user's shell sees it: exit codes, messages, closed pipes and signals.

The tests that decode use the bundled model.
"""

import json
import os
import pathlib
import pty
import resource
import shutil
import signal
import struct
import subprocess
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = pathlib.Path(os.environ.get("ELBEAM_BIN_DIR", ROOT / "build" / "bin")) / "elbeam-generate"
MODEL = ROOT / "tests" / "data" / "debian_de_en"
SENTENCES = 200  # of its test split
SANITIZED = bool(os.environ.get("ELBEAM_SANITIZE"))


def run(*arguments, **options):
    return subprocess.run(
        [PROGRAM, *map(str, arguments)], capture_output=True, text=True, timeout=120, **options
    )


def write_split(folder, split="test", sentences=((4, 5, 2), (5, 2))):
    """A data-bin folder of a tiny made-up language pair a-b."""
    for side in "ab":
        (folder / f"dict.{side}.txt").write_text("x 3\ny 2\nz 1\n")
        index = b"MMIDIDX\0\0" + struct.pack("<QBQ", 1, 8, len(sentences))
        index += struct.pack(f"<{len(sentences)}i", *map(len, sentences))
        offset, pointers = 0, []
        for sentence in sentences:
            pointers.append(offset)
            offset += 2 * len(sentence)
        index += struct.pack(f"<{len(sentences)}q", *pointers)
        tokens = [token for sentence in sentences for token in sentence]
        (folder / f"{split}.a-b.{side}.idx").write_bytes(index)
        (folder / f"{split}.a-b.{side}.bin").write_bytes(struct.pack(f"<{len(tokens)}H", *tokens))


class CommandLine(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="elbeam-cli-"))
        self.addCleanup(shutil.rmtree, self.folder)

    def assert_fails(self, status, result, *parts):
        self.assertEqual(result.returncode, status, result.stderr)
        self.assertEqual(result.stdout, "")
        last = result.stderr.strip().splitlines()[-1]
        self.assertTrue(last.startswith("elbeam-generate: error: "), last)
        for part in parts:
            self.assertIn(str(part), last)

    def test_help_and_version(self):
        result = run("--help")
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        self.assertIn("--post-process", result.stdout)
        self.assertLessEqual(max(map(len, result.stdout.splitlines())), 100)
        self.assertRegex(run("--version").stdout, r"^elbeam-generate \d+\.\d+\.\d+\ndevices: cpu, .*\n$")

    def test_usage_errors_exit_2(self):
        self.assert_fails(2, run(), "the following arguments are required: data")
        self.assert_fails(2, run("d"), "--path required for generation!")
        self.assert_fails(
            2, run("d", "--path", "m", "--foo", "1"), "unrecognized arguments: --foo 1"
        )
        self.assert_fails(
            2, run("d", "--path", "m", "--beam", "x"), "argument --beam: invalid int value: 'x'"
        )
        self.assert_fails(
            2, run("d", "--path", "m", "--task", "x"), "argument --task: invalid choice: 'x'"
        )
        for flag, value in (("--workers", "0"), ("--workers", "-1"), ("--memory-limit", "12X"),
                            ("--memory-limit", "0"), ("--memory-limit", "")):  # fmt: skip
            with self.subTest(flag=flag, value=value):
                self.assert_fails(2, run("d", "--path", "m", flag, value), flag, value)
        self.assert_fails(
            2, run("d", "--path", "m", "--resume"), "--resume is not supported yet"
        )
        self.assert_fails(2, run("d", "--path", "m", "--dtype", "int4"), "--dtype")
        self.assert_fails(2, run("d", "--path", "m", "--beam", "0"), "--beam")

    def test_missing_device_exits_4(self):
        self.assert_fails(4, run("d", "--path", "m", "--device", "cuda"), "--device cuda")

    def test_missing_data_exits_3(self):
        self.assert_fails(3, run(self.folder / "no", "--path", "m.pt"), self.folder / "no")
        self.assert_fails(
            2, run(self.folder, "--path", "m.pt"), "could not infer the language pair"
        )
        self.assert_fails(3, run(self.folder, "--path", "m.pt", "-s", "a", "-t", "b"), "dict.a.txt")

    def test_missing_and_wrong_model_exit_3(self):
        write_split(self.folder)
        self.assert_fails(
            3, run(self.folder, "--path", self.folder / "no.pt"), self.folder / "no.pt"
        )
        self.assert_fails(3, run(self.folder, "--path", self.folder / "dict.a.txt"), "dict.a.txt")
        (self.folder / "empty.pt").write_bytes(b"")
        self.assert_fails(3, run(self.folder, "--path", self.folder / "empty.pt"), "empty.pt")

    def test_bad_dictionary_exits_3(self):
        write_split(self.folder)
        (self.folder / "dict.b.txt").write_text("x 3\nx 2\n")
        self.assert_fails(3, run(self.folder, "--path", "m.pt"), "dict.b.txt")


class Decoding(unittest.TestCase):
    COMMON = (
        MODEL / "data-bin",
        "--path",
        MODEL / "checkpoint.pt",
        "--threads",
        "1",
        "--beam",
        "1",
        "--batch-size",
        "8",
        "--required-batch-size-multiple",
        "1",
    )

    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="elbeam-cli-"))
        self.addCleanup(shutil.rmtree, self.folder)

    SLOW = ("--beam", "20", "--batch-size", "2")  # seconds, so that something can happen meanwhile

    def start(self, *arguments, **options):
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
        process = subprocess.Popen(
            [PROGRAM, *map(str, self.COMMON), *map(str, arguments)], text=True, **options
        )
        self.addCleanup(process.kill)
        return process

    def test_closed_output_is_an_error_and_no_signal(self):
        process = self.start(*self.SLOW)
        process.stdout.readline()
        process.stdout.close()
        error = process.stderr.read()
        self.assertEqual(process.wait(60), 3, error)
        self.assertIn("elbeam-generate: error: standard output: cannot write: Broken pipe", error)
        process.stderr.close()

    def test_full_disk_is_an_error(self):
        with open("/dev/full", "w") as full:
            result = subprocess.run(
                [PROGRAM, *map(str, self.COMMON)],
                stdout=full,
                stderr=subprocess.PIPE,
                text=True,
                timeout=120,
            )
        self.assertEqual(result.returncode, 3, result.stderr)
        self.assertIn("No space left on device", result.stderr)

    def test_signals_stop_at_once_and_keep_what_is_finished(self):
        for number in (signal.SIGINT, signal.SIGTERM):
            with self.subTest(signal=number):
                process = self.start(*self.SLOW)
                first = process.stdout.readline()
                process.send_signal(number)
                # Not communicate(): it would lose what readline() has buffered.
                output, error = process.stdout.read(), process.stderr.read()
                self.assertEqual(process.wait(60), 128 + number, error)
                process.stdout.close()
                process.stderr.close()
                lines = (first + output).splitlines()
                self.assertTrue(lines[-1].startswith("P-"), lines[-1])  # whole sentences only
                sources = sum(line.startswith("S-") for line in lines)
                self.assertEqual(sources, sum(line.startswith("P-") for line in lines))
                self.assertLess(sources, SENTENCES)  # it did stop
                self.assertNotIn("Generate test", output)

    def test_signal_while_loading(self):
        process = self.start("--stats")
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=60)
        self.assertIn(process.returncode, (130, -signal.SIGINT), error)

    def test_results_path_holds_what_stdout_would(self):
        few = ("--max-source-positions", "6", "--skip-invalid-size-inputs-valid-test")
        direct = run(*self.COMMON, *few)
        self.assertEqual(direct.returncode, 0, direct.stderr)
        folder = self.folder / "new" / "folder"
        filed = run(*self.COMMON, *few, "--results-path", folder)
        self.assertEqual((filed.returncode, filed.stdout), (0, ""), filed.stderr)
        self.assertEqual((folder / "generate-test.txt").read_text(), direct.stdout)
        self.assertIn("Generate test with beam=1: BLEU4 = ", direct.stdout.splitlines()[-1])

    def test_progress_bar_is_for_terminals(self):
        few = ("--max-source-positions", "6", "--skip-invalid-size-inputs-valid-test")
        for option, shown in (((), True), (("--no-progress-bar",), False)):
            with self.subTest(option=option):
                terminal, end = pty.openpty()
                process = self.start(*few, *option, stderr=end)
                os.close(end)
                process.stdout.read()
                log = b""
                try:
                    while chunk := os.read(terminal, 65536):
                        log += chunk
                except OSError:  # the other end is closed
                    pass
                os.close(terminal)
                process.stdout.close()
                self.assertEqual(process.wait(60), 0, log)
                self.assertEqual(b" sentences/s, " in log.split(b"Translated")[0], shown, log)
        self.assertNotIn(" left", run(*self.COMMON, *few).stderr)

    def test_statistics_are_json(self):
        path = self.folder / "stats.json"
        result = run(
            *self.COMMON,
            "--max-source-positions",
            "6",
            "--skip-invalid-size-inputs-valid-test",
            "--stats",
            path,
            "--quiet",
        )
        self.assertEqual(result.returncode, 0, result.stderr)
        stats = json.loads(path.read_text())
        self.assertGreater(stats["sentences"], 0)
        self.assertEqual(stats["engine"], "native")

    def test_rounded_weights_are_announced(self):
        short = ("--max-source-positions", "6", "--skip-invalid-size-inputs-valid-test", "--quiet")
        for dtype, announced in (("fp32", False), ("fp64", False), ("bf16", True), ("int8", True)):
            result = run(*self.COMMON, *short, "--dtype", dtype, "--quality-sample", "0")
            self.assertEqual(result.returncode, 0, result.stderr)
            self.assertEqual(f"--dtype {dtype} rounds the weights" in result.stderr, announced)
            self.assertIn("BLEU4", result.stdout)

    @unittest.skipIf(SANITIZED, "a sanitizer's shadow memory does not fit under an address limit")
    def test_too_little_memory_exits_4(self):
        # Enough for the program and the model, too little for the caches of one sentence.
        result = run(
            *self.COMMON, "--beam", "5000", "--batch-size", "20",
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (300 << 20, 300 << 20)),
        )  # fmt: skip
        self.assertEqual(result.returncode, 4, result.stderr)
        self.assertIn("elbeam-generate: error: ", result.stderr)

    @unittest.skipIf(SANITIZED, "a sanitizer's shadow memory does not fit under an address limit")
    def test_a_batch_that_does_not_fit_is_split(self):
        stats = self.folder / "stats.json"
        arguments = [*self.COMMON, "--beam", "8", "--batch-size", SENTENCES, "--stats", stats]
        whole = run(*arguments)
        self.assertEqual(json.loads(stats.read_text())["splits"], 0)
        split = run(
            *arguments,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (260 << 20, 260 << 20)),
        )
        self.assertEqual(split.returncode, 0, split.stderr)
        self.assertGreater(json.loads(stats.read_text())["splits"], 0)
        self.assertEqual(split.stdout, whole.stdout)

    def test_a_sentence_above_the_memory_limit_exits_4(self):
        result = run(*self.COMMON, "--memory-limit", "100K")
        self.assertEqual((result.returncode, result.stdout), (4, ""))
        self.assertIn("give a larger --memory-limit", result.stderr)

    def test_sentence_beyond_the_positions_exits_3(self):
        result = run(*self.COMMON, "--max-source-positions", "6")
        self.assertEqual(result.returncode, 3)
        self.assertRegex(
            result.stderr,
            r"error: Size of sample #\d+ is invalid \(=\(\d+, \d+\)\) since "
            r"max_positions=\(6, 1024\), skip this example",
        )


if __name__ == "__main__":
    unittest.main()
