"""elbeam-generate on the emulated device: the tokens of the CPU, for both attentions and several beams.

The sentences of the bundled model's test set finish at different steps, so that rows leave the batch
and captured steps of several sizes are replayed.
"""

import os
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = pathlib.Path(os.environ["ELBEAM_BIN_DIR"]) / "elbeam-generate"
MODEL = ROOT / "tests" / "data" / "debian_de_en"
SCORE_TOLERANCE = 2e-5
PRINTED_TOLERANCE = 1.5e-4  # positional scores are printed with four digits


def run(*flags):
    command = [PROGRAM, MODEL / "data-bin", "--path", MODEL / "checkpoint.pt", "--batch-size", "12", *flags]
    return subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=280, check=False)


def hypotheses(output):
    """(sentence, tokens) -> (score, positional scores), in the order of the output."""
    rows = {}
    lines = output.splitlines()
    for line, scores in zip(lines, lines[2:]):
        if line.startswith("H-"):
            name, score, text = line.split("\t")
            if not scores.startswith("P-"):
                raise AssertionError(f"no positional scores behind {line!r}")
            rows[name, text] = [float(score), *map(float, scores.split("\t")[1].split())]
    return rows


class EmulatedDevice(unittest.TestCase):
    def check(self, *flags):
        shard = ["--num-shards", "8", "--shard-id", "3", *flags]
        cpu, device = run(*shard), run(*shard, "--device", "cuda-emulated")
        self.assertEqual((cpu.returncode, device.returncode), (0, 0), device.stderr[-600:])
        wanted, found = hypotheses(cpu.stdout), hypotheses(device.stdout)
        self.assertGreaterEqual(len({name for name, _ in wanted}), 20)
        self.compare(wanted, found)

    def compare(self, wanted, found):
        self.assertEqual(list(wanted), list(found))
        for key, scores in wanted.items():
            self.assertLessEqual(abs(found[key][0] - scores[0]), SCORE_TOLERANCE, key)
            for ours, theirs in zip(found[key][1:], scores[1:], strict=True):
                self.assertLessEqual(abs(ours - theirs), PRINTED_TOLERANCE, key)

    def test_greedy_el(self):
        self.check("--beam", "1", "--attention", "el")

    def test_beam_4_multi_head(self):
        self.check("--beam", "4", "--nbest", "4", "--attention", "mha")

    def test_beam_5_el(self):
        self.check("--beam", "5", "--nbest", "2", "--attention", "el")

    def test_rules_of_the_search(self):
        self.check("--beam", "4", "--no-repeat-ngram-size", "2", "--min-len", "4", "--max-len-a", "1.1", "--max-len-b",
                   "3", "--unkpen", "0.5", "--lenpen", "0.6", "--temperature", "1.3")  # fmt: skip

    def test_prefixes(self):
        """Read in one pass, each sentence's at its own positions."""
        self.check("--beam", "4", "--prefix-size", "2", "--attention", "el", "--no-repeat-ngram-size", "2")
        self.check("--beam", "5", "--prefix-size", "3", "--attention", "mha", "--min-len", "5", "--unkpen", "0.5")

    def test_prefixes_that_hold_the_end(self):
        self.check("--beam", "3", "--prefix-size", "60")

    def test_lengths_of_several_batches(self):
        """Batches of one sentence are decoded together, and each has its own longest output."""
        self.check("--beam", "4", "--batch-size", "1", "--max-len-a", "0.5", "--max-len-b", "1")

    def test_random_draws_are_those_of_the_cpu(self):
        draws = ["--sampling", "--sampling-draws", "counter", "--max-len-b", "12"]
        self.check(*draws, "--beam", "3", "--nbest", "3", "--attention", "el")
        self.check(*draws, "--beam", "2", "--nbest", "2", "--sampling-topp", "0.8", "--no-repeat-ngram-size", "2",
                   "--temperature", "1.2")  # fmt: skip

    def test_draws_of_fairseqs_stream(self):
        self.check("--sampling", "--beam", "2", "--nbest", "2", "--max-len-b", "8", "--seed", "7")

    def test_several_devices(self):
        """Batches are shared out to the devices; the output is in one order, that of one device."""
        few = ["--num-shards", "4", "--shard-id", "1", "--batch-size", "4", "--beam", "2", "--max-len-b", "12"]
        few += ["--no-shared-sources"]
        one = run(*few, "--device", "cuda-emulated")
        for flags in (["cuda-emulated:80,90"], ["cuda-emulated:90,80", "--workers", "5"]):
            several = run(*few, "--device", *flags)
            self.assertEqual(several.returncode, 0, several.stderr[-600:])
            self.compare(hypotheses(one.stdout), hypotheses(several.stdout))

    def test_a_search_on_the_host(self):
        self.check("--beam", "4", "--diverse-beam-groups", "2", "--prefix-size", "1")

    def test_half_precision(self):
        self.check_half("cuda-emulated")

    def test_half_precision_by_the_kernels_of_sm_90(self):
        self.check_half("cuda-emulated:90", "--attention", "el")

    def check_half(self, name, *flags):
        """Weights and activations in fp16: scores within the precision that leaves."""
        shard = ["--num-shards", "16", "--shard-id", "3", "--beam", "4", "--fp16", *flags]
        cpu, device = run(*shard), run(*shard, "--device", name)
        self.assertEqual((cpu.returncode, device.returncode), (0, 0), device.stderr[-600:])
        wanted, found = hypotheses(cpu.stdout), hypotheses(device.stdout)
        same = [key for key in wanted if key in found]
        self.assertGreaterEqual(len(same), 0.8 * len(wanted))
        for key in same:
            self.assertLessEqual(abs(found[key][0] - wanted[key][0]), 0.02, key)


class Prompts(unittest.TestCase):
    """A GPT-2 behind prompts of several lengths, one of them none, in one batch."""

    LINES = "7 3 19 40\n11 28 5 33 0 45\n4\n\n8 9 10 11 12\n"

    def decode(self, *flags):
        with tempfile.TemporaryDirectory() as folder:
            command = [PROGRAM.with_name("elbeam-interactive"), folder, "--task", "language_modeling",
                       "--path", ROOT / "tests" / "data" / "gpt2_tiny", "--buffer-size", "8", "--batch-size", "8",
                       "--max-len-b", "18", "--min-len", "9", *flags]  # fmt: skip
            result = subprocess.run(
                list(map(str, command)), input=self.LINES, capture_output=True, text=True, timeout=120, check=False
            )
        self.assertEqual(result.returncode, 0, result.stderr[-600:])
        return hypotheses(result.stdout)

    def check(self, beam, *flags):
        flags = ["--beam", beam, "--nbest", beam, *flags]
        wanted = self.decode(*flags)
        self.assertEqual(len(wanted), 5 * int(beam))
        for attention in ("el", "mha"):
            found = self.decode(*flags, "--device", "cuda-emulated", "--attention", attention)
            self.assertEqual(list(wanted), list(found), attention)
            for key, scores in wanted.items():
                self.assertLessEqual(abs(found[key][0] - scores[0]), SCORE_TOLERANCE, key)
                for ours, theirs in zip(found[key][1:], scores[1:], strict=True):
                    self.assertLessEqual(abs(ours - theirs), PRINTED_TOLERANCE, key)

    def test_greedy(self):
        self.check("1")

    def test_beam_4(self):
        self.check("4")

    def test_beam_5_without_repetitions(self):
        self.check("5", "--no-repeat-ngram-size", "2")


class Errors(unittest.TestCase):
    def check(self, code, pattern, *flags):
        result = run(*flags)
        self.assertEqual(result.returncode, code, result.stderr)
        self.assertRegex(result.stderr, pattern)

    def test_unknown_device(self):
        for name in ("tpu", "cuda:", "cuda:x", "cuda:99999", "cuda:0,cuda:1", "cuda-emulated:1", "cuda-emulated:80,"):
            self.check(2, "expected cpu, cuda, cuda:N or cuda-emulated", "--device", name)
        self.check(2, "names device 90 twice", "--device", "cuda-emulated:90,80,90")

    def test_a_device_that_is_not_there(self):
        """No support in the build, no driver, no such device: each says what is the matter."""
        self.check(4, "--device cuda:999: (this build has no support|there (is no NVIDIA driver|is 1 device|are))|"
                   "the NVIDIA driver", "--device", "cuda:999")  # fmt: skip

    def test_fp64(self):
        self.check(3, "fp64 is computed on the CPU only", "--device", "cuda-emulated", "--dtype", "fp64")

    def test_attention_is_wanted(self):
        self.check(3, "--device cpu", "--device", "cuda-emulated", "--print-alignment")

    def test_version_names_the_devices(self):
        result = subprocess.run([PROGRAM, "--version"], capture_output=True, text=True, check=True)
        self.assertRegex(result.stdout, re.compile(r"^elbeam-generate \d+\.\d+\.\d+\n.*(cuda|CUDA)", re.DOTALL))


if __name__ == "__main__":
    unittest.main(argv=sys.argv)
