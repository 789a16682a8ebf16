"""Results do not depend on how sentences are batched, nor on threads. Usage: PROGRAM"""

import pathlib
import subprocess
import sys
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
DATA = ROOT / "tests" / "data"
sys.path.insert(0, str(ROOT))

from fairseq_bridge.parity import compare, output  # noqa: E402

COMMON = ["--beam", "5", "--nbest", "5", "--required-batch-size-multiple", "1"]
MODELS = {
    "toy": [DATA / "toy" / "bin-ende", "--path", DATA / "toy" / "ckpt" / "tf.pt"],
    "squad": [
        DATA / "squad_qg_bart" / "data-bin",
        "--path", DATA / "squad_qg_bart" / "checkpoint.pt",
        "-s", "src", "-t", "tgt", "--truncate-source",
    ],
}  # fmt: skip


def run(model, *flags):
    command = [PROGRAM, *MODELS[model], *COMMON, *flags]
    result = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=300, check=True)
    return output.parse(result.stdout, "elbeam-generate")


class Invariance(unittest.TestCase):
    def assert_same(self, one, other):
        found = [d for d in compare.compare(one, other).differences if d.kind != "order"]
        self.assertEqual(found, [])

    def test_batch_size(self):
        for model in MODELS:
            alone = run(model, "--batch-size", "1")
            for size in ("8", "64"):
                with self.subTest(model=model, batch_size=size):
                    self.assert_same(alone, run(model, "--batch-size", size))

    def test_shuffled_batches(self):
        # Another split is shuffled by the seed before it is batched.
        toy = ["toy", "--gen-subset", "valid", "--max-tokens", "150"]
        self.assert_same(run(*toy, "--seed", "1"), run(*toy, "--seed", "7"))

    def test_threads_give_the_same_bytes(self):
        self.assertEqual(run("squad", "--threads", "1").lines, run("squad", "--threads", "3").lines)

    def test_workers_give_the_same_bytes(self):
        one = ["squad", "--batch-size", "3", "--threads", "1"]
        self.assertEqual(run(*one).lines, run(*one, "--workers", "3").lines)

    def test_a_memory_limit_changes_no_result(self):
        # It may change the kind of attention, whose results agree up to rounding.
        for model in MODELS:
            self.assert_same(run(model), run(model, "--memory-limit", "20M", "--workers", "2"))

    def test_precision(self):
        self.assert_same(run("squad"), run("squad", "--dtype", "fp64"))


if __name__ == "__main__":
    PROGRAM = sys.argv[1]
    unittest.main(argv=[sys.argv[0]])
