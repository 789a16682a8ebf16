"""elbeam-generate against stock fairseq on this machine, over flags that no stored output covers.

Needs ELBEAM_REFERENCE_PYTHON (a Python with fairseq) and toy models in ELBEAM_SHARED (default:
../shared beside the checkout); skipped, with a message, where they are absent.
Environment: ELBEAM_BIN_DIR, and ELBEAM_LIVE_FLAGS, more flags for elbeam (--engine ...).
"""

import copy
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

SOURCE = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(SOURCE))
from fairseq_bridge.parity import output, run  # noqa: E402

PYTHON = os.environ.get("ELBEAM_REFERENCE_PYTHON")
TOY = pathlib.Path(os.environ.get("ELBEAM_SHARED", SOURCE.parent / "shared"), "reference", "toy")
PROGRAM = pathlib.Path(os.environ["ELBEAM_BIN_DIR"], "elbeam-generate").resolve()
EXTRA = os.environ.get("ELBEAM_LIVE_FLAGS", "")

# --required-batch-size-multiple 1 keeps stock from dropping the last sentences of a split.
COMMON = "--cpu --required-batch-size-multiple 1"
TRANSFORMER, BART = "ckpt/tf/checkpoint_last.pt", "ckpt/bart/checkpoint_last.pt"
FLAGS = {
    "beam 1": f"bin-ende --path {TRANSFORMER} --beam 1",
    "every hypothesis": f"bin-ende --path {TRANSFORMER} --beam 10 --nbest 10",
    "lengths": f"bin-ende --path {TRANSFORMER} --beam 4 --min-len 6 --max-len-a 1.2 --max-len-b 3",
    "length penalty": f"bin-ende --path {TRANSFORMER} --beam 4 --nbest 4 --lenpen 0.3",
    "unnormalized": f"bin-ende --path {TRANSFORMER} --beam 4 --nbest 2 --unnormalized",
    "unk": f"bin-ende --path {TRANSFORMER} --beam 4 --nbest 4 --unkpen -2.5",
    "temperature": f"bin-ende --path {TRANSFORMER} --beam 5 --nbest 5 --temperature 1.7",
    "prefix": f"bin-ende --path {TRANSFORMER} --beam 4 --prefix-size 2",
    "small batches of another split": f"bin-ende --path {TRANSFORMER} --gen-subset valid"
    " --max-tokens 90 --remove-bpe",
    "a checkpoint of old args": "bin-ende --path ckpt/old_args.pt --beam 4",
    "a checkpoint of OmegaConf": "bin-ende --path ckpt/old_dictconfig.pt --beam 4",
    "bart": f"bin-joined --path {BART} --beam 5 --nbest 5",
}


@unittest.skipUnless(PYTHON and TOY.is_dir(), "needs ELBEAM_REFERENCE_PYTHON and shared toy models")
class Live(unittest.TestCase):
    def test_flags(self):
        for name, text in FLAGS.items():
            flags = [*text.split(), *COMMON.split()]
            with self.subTest(name), tempfile.TemporaryDirectory() as scratch:
                stock = pathlib.Path(scratch, "stock.txt")
                stock.write_text(run.run_stock(PYTHON, flags, TOY).text, encoding="utf-8")
                for attention in ("el", "mha"):
                    self.compare(flags, stock, f"--attention {attention} {EXTRA}")

    def test_a_sampled_output_is_reached_by_its_draws_and_no_other_is(self):
        """resample.py on stock's own output, and on the same with one word changed."""
        for text in ("--sampling-topp 0.9 --beam 2 --nbest 2", "--beam 3 --nbest 3 --seed 5", "--beam 1"):
            flags = [*f"bin-ende --path {TRANSFORMER} --sampling {text} --max-len-b 20".split()]
            flags += COMMON.split()
            with self.subTest(text):
                stock = output.parse(run.run_stock(PYTHON, flags, TOY).text, "stock")
                changed = copy.deepcopy(stock)
                wrong = next(iter(changed.sentences.values())).hypotheses[0]
                words = wrong.text.split()
                wrong.text = " ".join([*words[:-1], "a" if words[-1] != "a" else "b"])
                answer = run.resampled(PYTHON, flags, TOY, {"stock": stock, "changed": changed})
                self.assertEqual(answer["stock"]["failure"], "")
                self.assertIn("sentence", answer["changed"]["failure"])

    def compare(self, flags, stock, extra):
        command = [sys.executable, "-m", "fairseq_bridge.parity", "--reference-python", PYTHON]
        command += ["--elbeam", str(PROGRAM), "--stock", str(stock), f"--elbeam-flags={extra}"]
        environment = dict(os.environ, PYTHONPATH=str(SOURCE))
        done = subprocess.run(
            [*command, "--", *flags], cwd=TOY, env=environment, capture_output=True, text=True
        )
        self.assertEqual(done.returncode, 0, f"{extra}\n{done.stdout}{done.stderr}")


if __name__ == "__main__":
    unittest.main(verbosity=2)
