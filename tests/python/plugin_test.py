"""Stock fairseq-generate with --user-dir fairseq_bridge: elbeam decodes, the output stays stock's.

Needs ELBEAM_REFERENCE_PYTHON, a Python with fairseq of the version that the module was built for;
skipped, with a message, where it is absent.
"""

import os
import pathlib
import subprocess
import sys
import unittest

SOURCE = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(SOURCE))
from fairseq_bridge.parity import compare, output  # noqa: E402

PYTHON = os.environ.get("ELBEAM_REFERENCE_PYTHON")
TOY = SOURCE / "tests" / "data" / "toy"
CASES = {
    "beam": "bin-ende --path ckpt/tf.pt --beam 5 --nbest 5",
    "lengths": "bin-ende --path ckpt/tf.pt --beam 3 --min-len 4 --lenpen 2 --max-len-a 1 --max-len-b 5",
    "prefix": "bin-ende --path ckpt/tf.pt --beam 3 --prefix-size 2",
    "ensemble": "bin-ende --path ckpt/tf.pt:ckpt/old_args.pt --beam 3",
    "siblings": "bin-ende --path ckpt/tf.pt --beam 4 --nbest 4 --diversity-rate 0.5",
    "source length": "bin-ende --path ckpt/tf.pt --beam 4 --match-source-len",
    "alignment": "bin-ende --path ckpt/tf.pt --beam 2 --print-alignment hard",
    "bart": "bin-joined --path ckpt/bart.pt --beam 4 --nbest 2",
}


def importable():
    if not PYTHON:
        return False
    code = f"import sys; sys.path.insert(0, {os.environ['ELBEAM_PYTHON_DIR']!r}); import fairseq, elbeam"
    return subprocess.run([PYTHON, "-c", code], capture_output=True, check=False).returncode == 0


@unittest.skipUnless(importable(), "needs ELBEAM_REFERENCE_PYTHON that can import the built module")
class Plugin(unittest.TestCase):
    def stock(self, flags, *extra):
        environment = dict(
            os.environ,
            PYTHONPATH=os.environ["ELBEAM_PYTHON_DIR"],
            TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD="1",
            ELBEAM_PLUGIN_STRICT="1",
        )
        done = subprocess.run(
            [PYTHON, "-m", "fairseq_cli.generate", *flags.split(), "--cpu", *extra],
            cwd=TOY,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        self.assertEqual(done.returncode, 0, done.stderr[-2000:])
        return output.parse(done.stdout, "fairseq"), done.stderr

    def test_output_is_stocks(self):
        for name, flags in CASES.items():
            with self.subTest(name):
                stock, _ = self.stock(flags)
                plugin, log = self.stock(flags, "--user-dir", str(SOURCE / "fairseq_bridge"))
                self.assertIn("decoding by elbeam", log)
                found = compare.compare(stock, plugin)
                self.assertEqual(found.differences, [])
                self.assertGreater(found.hypotheses, 10)


if __name__ == "__main__":
    unittest.main()
