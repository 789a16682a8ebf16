"""The exporter, in an environment with stock fairseq ($ELBEAM_REFERENCE_PYTHON; skips without), and
what elbeam-generate does with its archives and with damaged ones. Usage: PROGRAM"""

import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest
import zipfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
DATA = ROOT / "tests" / "data"
TOY = DATA / "toy" / "ckpt"
REFERENCE = os.environ.get("ELBEAM_REFERENCE_PYTHON")

# A wrapper whose eager form differs from its scripted one: the exporter must notice.
DIFFERENT = """
import copy, sys, torch
import torchscript_models.export as export
scripted = torch.jit.script
def off_by_a_little(module, *rest, **options):
    if hasattr(module, "decoder"):  # torch scripts functions of its own, too
        module = copy.deepcopy(module)
        with torch.no_grad():
            module.decoder.layers[0].fc1.bias.add_(0.01)
    return scripted(module, *rest, **options)
torch.jit.script = off_by_a_little
sys.exit(export.main(sys.argv[1:]))
"""

MALICIOUS = """
import sys, torch
class Evil:
    def __reduce__(self):
        import os
        return os.system, (f"touch {sys.argv[2]}",)
torch.save({"model": {}, "args": Evil()}, sys.argv[1])
"""


def generate(*arguments, **environment):
    command = [PROGRAM, DATA / "toy" / "bin-ende", *arguments]
    return subprocess.run(
        list(map(str, command)),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, **environment},
    )


class Files(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="elbeam-export-"))
        self.addCleanup(shutil.rmtree, self.folder)


class Engine(Files):
    ARCHIVE = DATA / "torchscript" / "tf.ts.pt"

    def test_a_checkpoint_is_no_archive(self):
        result = generate("--path", TOY / "tf.pt", "--engine", "torchscript")
        self.assertEqual(result.returncode, 2, result.stderr)
        self.assertIn("torchscript_models.export", result.stderr)

    def test_waiting_threads_do_not_keep_the_cpus_busy(self):
        for environment, policy in (({}, "PASSIVE"), ({"OMP_WAIT_POLICY": "active"}, "ACTIVE")):
            with self.subTest(environment=environment):
                flags = ("--path", self.ARCHIVE, "--engine", "torchscript", "--beam", "1")
                result = generate(*flags, OMP_DISPLAY_ENV="true", **environment)
                self.assertEqual(result.returncode, 0, result.stderr)
                self.assertIn(f"OMP_WAIT_POLICY = '{policy}'", result.stderr)

    def test_damaged_archives_do_not_reach_the_engine(self):
        whole = self.ARCHIVE.read_bytes()
        weights = whole.index(b"tf.ts/data/7") if b"tf.ts/data/7" in whole else len(whole) // 3
        flipped = bytearray(whole)
        flipped[weights + 200] ^= 1
        for name, content in (
            ("cut", whole[: len(whole) // 2]),
            ("flipped", bytes(flipped)),
            ("tail", whole + b"x"),
        ):
            with self.subTest(damage=name):
                path = self.folder / f"{name}.ts.pt"
                path.write_bytes(content)
                result = generate("--path", path, "--engine", "torchscript")
                self.assertEqual(result.returncode, 3, result.stderr)
                self.assertEqual(result.stdout, "")
                self.assertIn(str(path), result.stderr)


@unittest.skipUnless(
    REFERENCE, "ELBEAM_REFERENCE_PYTHON is not set: no stock fairseq to export with"
)
class Exporter(Files):
    def run_python(self, *arguments):
        return subprocess.run(
            [REFERENCE, *map(str, arguments)],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    def export(self, checkpoint, data, out, *flags):
        command = ("-m", "torchscript_models.export", "--path", checkpoint, "--data", data)
        return self.run_python(*command, "--out", out, *flags)

    def test_every_container_exports_and_decodes_alike(self):
        expected = generate("--path", TOY / "tf.pt").stdout
        for name in ("tf.pt", "tf_legacy.pt", "old_args.pt", "old_dictconfig.pt"):
            with self.subTest(checkpoint=name):
                out = self.folder / f"{name}.ts.pt"
                result = self.export(TOY / name, DATA / "toy" / "bin-ende", out)
                self.assertEqual(result.returncode, 0, result.stderr[-2000:])
                self.assertIn("verified", result.stderr)
                self.assertEqual(generate("--path", out).stdout, expected)

    def test_an_archive_that_differs_is_not_written(self):
        out = self.folder / "bad.ts.pt"
        arguments = ("--path", TOY / "tf.pt", "--data", DATA / "toy" / "bin-ende", "--out", out)
        result = self.run_python("-c", DIFFERENT, *arguments)
        self.assertEqual(result.returncode, 3, result.stderr[-2000:])
        self.assertIn("differ", result.stderr)
        self.assertEqual(list(self.folder.iterdir()), [])

    def test_code_in_a_checkpoint_does_not_run(self):
        evil, mark = self.folder / "evil.pt", self.folder / "mark"
        made = self.run_python("-c", MALICIOUS, evil, mark)
        self.assertEqual(made.returncode, 0, made.stderr)
        result = self.export(evil, DATA / "toy" / "bin-ende", self.folder / "out.ts.pt")
        self.assertEqual(result.returncode, 3, result.stderr[-2000:])
        self.assertIn("system", result.stderr)
        self.assertEqual(generate("--path", evil).returncode, 3)
        self.assertFalse(mark.exists())

    def test_an_existing_archive_is_verified(self):
        archive = self.folder / "tf.ts.pt"
        shutil.copy(DATA / "torchscript" / "tf.ts.pt", archive)
        before = archive.read_bytes()
        verify = ("-m", "torchscript_models.export", "--data", DATA / "toy" / "bin-ende")
        for checkpoint, target, code, part in (
            (TOY / "tf.pt", archive, 0, "verified against the stock model"),
            (TOY / "old_args.pt", archive, 3, "made from another checkpoint"),
            (TOY / "tf.pt", TOY / "tf.pt", 3, "not an archive of this exporter"),
        ):
            with self.subTest(checkpoint=checkpoint.name, archive=target.name):
                result = self.run_python(*verify, "--path", checkpoint, "--verify-only", target)
                self.assertEqual(result.returncode, code, result.stderr[-2000:])
                self.assertIn(part, result.stderr)
        self.assertEqual(archive.read_bytes(), before)

    def test_every_architecture_that_torchscript_can_express(self):
        made = self.run_python(DATA / "torchscript" / "make_models.py", self.folder)
        self.assertEqual(made.returncode, 0, made.stderr[-2000:])
        checkpoints = sorted(self.folder.glob("*.pt"))
        self.assertGreater(len(checkpoints), 6)
        for checkpoint in checkpoints:
            with self.subTest(model=checkpoint.stem):
                out = self.folder / f"{checkpoint.stem}.ts.pt"
                pair = ("-s", "en", "-t", "de") if checkpoint.stem == "multilingual" else ()
                result = self.export(checkpoint, self.folder / "data", out, *pair)
                if checkpoint.stem == "fconv":
                    self.assertEqual(result.returncode, 3, result.stderr[-2000:])
                    self.assertIn("TorchScript cannot express FConvModel", result.stderr)
                    self.assertFalse(out.exists())
                    continue
                self.assertEqual(result.returncode, 0, result.stderr[-2000:])
                self.assertIn("verified", result.stderr)
                # Nothing that says where it was made, in particular not this test's folder.
                with zipfile.ZipFile(out) as archive:
                    names = archive.namelist()
                    self.assertEqual([n for n in names if n.endswith(".debug_pkl")], [])
                    for name in names:
                        self.assertNotIn(str(self.folder).encode(), archive.read(name), name)

    def test_usage(self):
        flags = ("-m", "torchscript_models.export", "--path", TOY / "tf.pt", "--data", self.folder)
        self.assertEqual(self.run_python(*flags).returncode, 2)
        missing = self.run_python(*flags, "--out", self.folder / "none" / "x.ts.pt")
        self.assertEqual(missing.returncode, 2, missing.stderr)
        empty = self.run_python(*flags, "--out", self.folder / "x.ts.pt")  # no dictionaries there
        self.assertEqual(empty.returncode, 3, empty.stderr)
        self.assertNotIn("Traceback", empty.stderr)

    def test_a_dictionary_that_does_not_fit_is_refused(self):
        result = self.export(TOY / "bart.pt", DATA / "toy" / "bin-ende", self.folder / "out.ts.pt")
        self.assertEqual(result.returncode, 3, result.stderr[-2000:])
        self.assertEqual(list(self.folder.iterdir()), [])


if __name__ == "__main__":
    PROGRAM = sys.argv[1]
    unittest.main(argv=[sys.argv[0], "-v"])
