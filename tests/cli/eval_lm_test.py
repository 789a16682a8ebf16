"""elbeam-eval-lm as a user's shell sees it."""

import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = pathlib.Path(os.environ.get("ELBEAM_BIN_DIR", ROOT / "build" / "bin")) / "elbeam-eval-lm"
TOY = ROOT / "tests" / "data" / "toy"
COMMON = (TOY / "bin-lm", "--path", TOY / "ckpt" / "lm.pt", "--threads", "1")
EOS = (*COMMON, "--sample-break-mode", "eos")


def run(*arguments, **options):
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
    return subprocess.run([PROGRAM, *map(str, arguments)], text=True, timeout=120, **options)


class EvalLm(unittest.TestCase):
    def assert_fails(self, status, message, *arguments, **options):
        result = run(*arguments, **options)
        self.assertEqual(result.returncode, status, result.stderr)
        last = result.stderr.strip().splitlines()[-1]
        self.assertIn("elbeam-eval-lm: error: " + message, last)

    def test_help_and_version(self):
        result = run("--help")
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        self.assertIn("--context-window N", result.stdout)
        self.assertIn("--sample-break-mode", result.stdout)
        self.assertNotIn("--beam ", result.stdout)
        self.assertLessEqual(max(map(len, result.stdout.splitlines())), 100)
        self.assertRegex(run("--version").stdout, r"^elbeam-eval-lm \d+\.\d+\.\d+\n$")

    def test_usage_errors(self):
        self.assert_fails(2, "the following arguments are required: data")
        self.assert_fails(2, "unrecognized arguments: --beam 5", *COMMON, "--beam", "5")
        self.assert_fails(2, "--task translation has no language model", *COMMON, "--task", "translation")
        self.assert_fails(2, "Unsupported language modeling target: self", *COMMON, "--self-target")
        self.assert_fails(2, "Unsupported language modeling target: past", *COMMON, "--past-target")
        self.assert_fails(2, "--post-process=letter is not implemented", *COMMON, "--remove-bpe", "letter")
        for value in ("0", "-1"):
            message = "--tokens-per-sample must be at least 1"
            self.assert_fails(2, message, *COMMON, "--tokens-per-sample", value)
        for value in ("1024", "9223372036854775807"):
            message = f"--context-window {value} leaves nothing of --tokens-per-sample 1024"
            self.assert_fails(2, message, *COMMON, "--context-window", value)
        for value in ("3", "-1"):
            message = "shard_id must be between 0 and num_shards"
            self.assert_fails(2, message, *COMMON, "--num-shards", "3", "--distributed-rank", value, "--shard-id", value)
        for flag in ("--tokens-per-sample", "--context-window", "--softmax-batch", "--max-tokens"):
            for value in ("x", "nan", "1.5", "9223372036854775808"):
                self.assert_fails(2, f"argument {flag}: invalid int", *COMMON, flag, value)

    def test_missing_files(self):
        self.assert_fails(3, "Dataset not found: train", *EOS, "--gen-subset", "train")
        with tempfile.TemporaryDirectory() as folder:
            self.assert_fails(3, f"{folder}/dict.txt", folder, "--path", "m.pt")
            shutil.copy(TOY / "bin-lm" / "dict.txt", folder)
            self.assert_fails(3, f"{folder}/no.pt", folder, "--path", f"{folder}/no.pt")

    def test_samples_that_are_too_long_are_left_out(self):
        result = run(*COMMON, "--tokens-per-sample", "70", "--output-word-probs")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn("6 samples have invalid sizes and will be skipped, max_positions=64", result.stderr)

    def test_a_bare_remove_bpe_joins_words(self):
        fixed = run(*EOS, "--remove-bpe")
        self.assertIn("Loss (base 2): 2.7696, Perplexity: 6.82\n", fixed.stdout)
        self.assertIn("WARNING | elbeam.compat | eval-lm-bpe-mark: ", fixed.stderr)
        # Stock's result, where stock writes it.
        stock = run(*EOS, "--remove-bpe", "--compat", "fairseq-main")
        self.assertEqual(stock.stdout, "")
        self.assertIn("INFO | fairseq_cli.eval_lm | Loss (base 2): 2.4204, Perplexity: 5.35\n", stock.stderr)

    def test_full_disk_is_an_error(self):
        with open("/dev/full", "w") as full:
            self.assert_fails(3, "standard output: cannot write", *EOS, stdout=full)


if __name__ == "__main__":
    unittest.main()
