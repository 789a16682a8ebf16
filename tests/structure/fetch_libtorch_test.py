"""The set-up's unpacking, tried on small wheels made here: a wrong byte is found, the next run
repairs an interrupted one and leaves a complete one alone, a user's own link is never touched."""

import base64
import hashlib
import pathlib
import sys
import tempfile
import unittest
import zipfile
from unittest import mock

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "cmake"))
import fetch_libtorch  # noqa: E402

TORCH = {
    "torch/include/ATen/ATen.h": b"#pragma once\n",
    "torch/lib/libtorch_cpu.so": b"cpu",
    "torch/lib/libtorch_cuda.so": b"never unpacked",
    "torch/lib/libc10.so": b"c10",
    "torch-9.dist-info/METADATA": b"Requires-Dist: cuda-toolkit[cudart,cupti]==13.0.2; x\n",
    "torch-9.dist-info/LICENSE": b"licence",
}
CUDART = {
    "nvidia/cu13/lib/libcudart.so.13": b"cudart",
    "nvidia_cuda_runtime-1.dist-info/METADATA": b"",
}
NEEDED = {"libtorch_cpu.so": ["libc10.so", "libcudart.so.13", "libm.so.6"]}


def write_wheel(path, members, damage=()):
    info = next(name.split("/")[0] for name in members if ".dist-info/" in name)
    record = ""
    for name, data in members.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip("=")
        record += f"{name},sha256={digest},{len(data)}\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data + b"!" if name in damage else data)
        archive.writestr(f"{info}/RECORD", record + f"{info}/RECORD,,\n")


class Fetch(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.deps = pathlib.Path(folder.name) / "deps"
        self.downloads = []
        self.damage = ()
        self.loads = mock.Mock()
        for name, replacement in (
            ("pip_download", self.pip_download),
            ("needed_libraries", lambda library: NEEDED.get(library.name, [])),
            ("check_loads", lambda folder: self.loads(folder)),
        ):
            patch = mock.patch.object(fetch_libtorch, name, replacement)
            patch.start()
            self.addCleanup(patch.stop)

    def pip_download(self, wheels, requirements, extra):
        self.downloads += requirements
        if requirements[0].startswith("torch"):
            write_wheel(
                wheels / (requirements[0].replace("==", "-") + "-py3.whl"), TORCH, self.damage
            )
        else:
            write_wheel(wheels / "nvidia_cuda_runtime-1.whl", CUDART)

    def fetch(self):
        fetch_libtorch.fetch(self.deps, "9", lambda text: None)

    def test_takes_only_what_the_loader_needs(self):
        self.fetch()
        target = self.deps / "libtorch"
        self.assertEqual(
            sorted(path.name for path in (target / "lib").iterdir()),
            ["libc10.so", "libcudart.so.13", "libtorch_cpu.so"],
        )
        self.assertTrue((target / "include/ATen/ATen.h").exists())
        self.assertTrue((target / "LICENSE").exists())
        self.assertEqual(self.downloads, ["torch==9", "cuda-toolkit[cudart,cupti]==13.0.2"])
        self.assertFalse((self.deps / "wheels").exists())

    def test_a_second_run_does_nothing(self):
        self.fetch()
        self.fetch()
        self.assertEqual(len(self.downloads), 2)

    def test_a_file_that_was_cut_short_is_repaired(self):
        self.fetch()
        (self.deps / "libtorch/lib/libc10.so").write_bytes(b"c")
        self.fetch()
        self.assertEqual((self.deps / "libtorch/lib/libc10.so").read_bytes(), b"c10")

    def test_another_version_replaces_it(self):
        self.fetch()
        fetch_libtorch.fetch(self.deps, "10", lambda text: None)
        self.assertIn("torch==10", self.downloads)

    def test_an_interrupted_run_leaves_nothing_and_the_next_mends_it(self):
        self.loads.side_effect = KeyboardInterrupt
        with self.assertRaises(KeyboardInterrupt):
            self.fetch()
        self.assertFalse((self.deps / "libtorch").exists())
        self.loads.side_effect = None
        self.fetch()
        self.assertTrue((self.deps / "libtorch/lib/libtorch_cpu.so").exists())

    def test_a_wrong_byte_is_refused_by_name(self):
        self.damage = ("torch/lib/libc10.so",)
        with self.assertRaisesRegex(
            fetch_libtorch.SetupError, "libc10.so: expected sha256=.*\n.*make setup"
        ):
            self.fetch()
        self.assertFalse((self.deps / "libtorch").exists())

    def test_a_library_that_no_wheel_holds_is_named(self):
        with (
            mock.patch.dict(NEEDED, {"libc10.so": ["libcupti.so.13"]}),
            self.assertRaisesRegex(fetch_libtorch.SetupError, "libcupti.so.13"),
        ):
            self.fetch()

    def test_a_link_of_the_user_is_left_alone(self):
        own = self.deps.parent / "own"
        (own / "lib").mkdir(parents=True)
        (own / "lib/libtorch_cpu.so").write_bytes(b"own")
        self.deps.mkdir()
        (self.deps / "libtorch").symlink_to(own)
        self.fetch()
        self.assertEqual(self.downloads, [])
        self.assertTrue((self.deps / "libtorch").is_symlink())

    def test_older_torch_names_packages_instead_of_the_toolkit(self):
        metadata = (
            "Requires-Dist: nvidia-cuda-runtime-cu12==12.8.90; x\n"
            "Requires-Dist: nvidia-cuda-cupti-cu12==12.8.90; x\n"
            "Requires-Dist: nvidia-nccl-cu12==2.27.3; x\n"
        )
        self.assertEqual(
            fetch_libtorch.cuda_requirements(metadata),
            ["nvidia-cuda-runtime-cu12==12.8.90", "nvidia-cuda-cupti-cu12==12.8.90"],
        )
        self.assertEqual(fetch_libtorch.cuda_requirements("Requires-Dist: sympy\n"), [])


if __name__ == "__main__":
    unittest.main()
