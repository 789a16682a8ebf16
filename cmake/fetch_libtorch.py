#!/usr/bin/env python3
"""Brings LibTorch's CPU half out of the PyPI wheel `torch` into a folder: headers, libtorch_cpu and
the libraries that its loader asks for. Everything else of the wheel, and the
gigabytes of CUDA libraries that pip would install beside it, never touches the disk.

    python3 cmake/fetch_libtorch.py --deps .deps --version 2.11.0

Result: <deps>/libtorch/{include,lib,LICENSE,NOTICE,elbeam-libtorch.json}. The folder can be moved:
the libraries find each other through $ORIGIN. It appears by one rename, so an interrupted run
leaves either nothing or the whole; a complete wheel in <deps>/wheels is reused by the next run.

Standard library only; pip is called as a command. Exit status 0 when the folder is complete.
"""

import argparse
import base64
import csv
import fcntl
import hashlib
import io
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import zipfile

MARKER = "elbeam-libtorch.json"
# The wheel's Python does not matter, no Python code of it is used; one tag for all keeps the
# download the same whichever Python runs the set-up.
WHEEL_PYTHON = "311"


class SetupError(Exception):
    """A failure that the user can mend; the message says how."""


def needed_libraries(library):
    """DT_NEEDED of an ELF file: the names that the loader will look for."""
    try:
        text = subprocess.run(
            ["readelf", "-d", str(library)], check=True, capture_output=True, text=True
        ).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        raise SetupError(
            f"readelf cannot read {library}: {error}\n  mend it with: apt-get install binutils"
        ) from error
    return re.findall(r"\(NEEDED\).*\[(.+)\]", text)


class Wheel:
    """A wheel whose members are checked against the hashes of its RECORD when they are taken."""

    def __init__(self, path):
        self.path = path
        try:
            self.archive = zipfile.ZipFile(path)
        except (OSError, zipfile.BadZipFile) as error:
            raise SetupError(
                f"{path} is not a wheel: {error}\n  mend it with: rm {path} && make setup"
            ) from error
        self.names = self.archive.namelist()
        record = [name for name in self.names if name.endswith(".dist-info/RECORD")]
        if len(record) != 1:
            raise SetupError(f"{path}: expected one RECORD, found {len(record)}")
        self.info = record[0][: -len("RECORD")]
        rows = csv.reader(io.TextIOWrapper(self.archive.open(record[0]), "utf-8"))
        self.hashes = {row[0]: row[1] for row in rows if len(row) > 1 and row[1]}

    def metadata(self):
        return self.archive.read(self.info + "METADATA").decode("utf-8")

    def find(self, file_name):
        """Path of the member with this file name below a lib folder, or None."""
        for name in self.names:
            folder, _, base = name.rpartition("/")
            if base == file_name and (folder.endswith("lib") or folder.endswith(".libs")):
                return name
        return None

    def take(self, name, target):
        """Unpacks one member and compares it with RECORD. Raises SetupError on a difference."""
        if name.startswith("/") or ".." in name.split("/"):
            raise SetupError(f"{self.path}: member leaves the folder: {name}")
        digest = hashlib.sha256()
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            with self.archive.open(name) as source, open(target, "wb") as sink:
                while block := source.read(1 << 20):
                    digest.update(block)
                    sink.write(block)
        except zipfile.BadZipFile as error:
            raise SetupError(
                f"{self.path}: {name}: {error}\n  mend it with: rm {self.path} && make setup"
            ) from error
        found = "sha256=" + base64.urlsafe_b64encode(digest.digest()).decode().rstrip("=")
        if self.hashes.get(name) != found:
            raise SetupError(
                f"{self.path}: {name}: expected {self.hashes.get(name)} (RECORD), got {found}\n"
                f"  mend it with: rm {self.path} && make setup"
            )


def pip_download(wheels, requirements, extra):
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--disable-pip-version-check",
        "--no-cache-dir",
        "--only-binary=:all:",
        "--progress-bar=off",
        "--dest",
        str(wheels),
        *extra,
        *requirements,
    ]
    if subprocess.run(command).returncode != 0:
        raise SetupError(
            "pip could not download " + " ".join(requirements) + "\n"
            "  if pip is missing:   apt-get install python3-pip\n"
            "  if the network is:   run `make setup` again; what is complete is kept\n"
            "  with a LibTorch of your own: CMAKE_PREFIX_PATH=/path/to/libtorch make build"
        )


def one_wheel(wheels, pattern):
    found = sorted(wheels.glob(pattern))
    if len(found) != 1:
        raise SetupError(
            f"expected one {pattern} in {wheels}, found {len(found)}\n"
            f"  mend it with: rm -r {wheels} && make setup"
        )
    return Wheel(found[0])


def cuda_requirements(metadata):
    """The wheels that hold the CUDA runtime and CUPTI for this torch, in torch's own words.

    torch >= 2.11 names them as extras of cuda-toolkit, older ones as packages; a CPU-only torch
    names none.
    """
    toolkit = re.search(r"^Requires-Dist: cuda-toolkit\[[^\]]*\]\s*==\s*([\d.]+)", metadata, re.M)
    if toolkit:
        return [f"cuda-toolkit[cudart,cupti]=={toolkit.group(1)}"]
    return [
        name + "==" + version
        for name, version in re.findall(
            r"^Requires-Dist: (nvidia-cuda-(?:runtime|cupti)[\w-]*)\s*==\s*([\d.]+)", metadata, re.M
        )
    ]


def take_libraries(torch, extra_wheels, folder):
    """Unpacks libtorch_cpu.so and, in turn, all that the loader will ask for and a wheel holds."""
    waiting, done = ["libtorch_cpu.so"], set()
    while waiting:
        name = waiting.pop()
        if name in done:
            continue
        done.add(name)
        for wheel in [torch, *extra_wheels]:
            member = wheel.find(name)
            if member:
                wheel.take(member, folder / name)
                waiting += needed_libraries(folder / name)
                break
        else:
            if name.startswith(("libtorch", "libc10", "libcu")):
                raise SetupError(f"no wheel holds {name}, which libtorch_cpu needs")


def check_loads(folder):
    """Has libtorch_cpu loaded in a process of its own, without the caller's library path."""
    clean = {
        key: value
        for key, value in os.environ.items()
        if key not in ("LD_LIBRARY_PATH", "LD_PRELOAD")
    }
    code = "import ctypes, sys; ctypes.CDLL(sys.argv[1])"
    result = subprocess.run(
        [sys.executable, "-c", code, str(folder / "lib" / "libtorch_cpu.so")],
        env=clean,
        capture_output=True,
        text=True,
    )
    if result.returncode != 0:
        raise SetupError(
            f"the loader refuses {folder}/lib/libtorch_cpu.so:\n{result.stderr.strip()}"
        )


def is_complete(folder, version):
    """Whether an earlier run left what this one would make: sizes are compared, not hashes."""
    try:
        marker = json.loads((folder / MARKER).read_text())
        sizes = {name: (folder / name).stat().st_size for name in marker["files"]}
    except (OSError, ValueError, KeyError):
        return False
    return marker["torch"] == version and sizes == marker["files"]


def unpack(torch, extra_wheels, folder, version):
    for name in torch.names:
        if name.startswith("torch/include/") and not name.endswith("/"):
            torch.take(name, folder / name[len("torch/") :])
        elif name.startswith(torch.info) and name.rpartition("/")[2] in ("LICENSE", "NOTICE"):
            torch.take(name, folder / name.rpartition("/")[2])
    take_libraries(torch, extra_wheels, folder / "lib")
    check_loads(folder)
    files = {
        str(path.relative_to(folder)): path.stat().st_size
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    (folder / MARKER).write_text(json.dumps({"torch": version, "files": files}, indent=0) + "\n")


def fetch(deps, version, say):
    deps.mkdir(parents=True, exist_ok=True)
    target, wheels, partial = deps / "libtorch", deps / "wheels", deps / "libtorch.partial"
    if target.is_symlink() and (target / "lib" / "libtorch_cpu.so").exists():
        say(f"LibTorch: {target} is a link of yours to {os.readlink(target)}; left as it is")
        return
    if is_complete(target, version):
        say(f"LibTorch {version}: already in {target}")
        return
    say(f"LibTorch {version}: downloading the PyPI wheel (about 530 MB; a minute at 10 MB/s) ...")
    tag = [
        "--no-deps",
        "--python-version",
        WHEEL_PYTHON,
        "--implementation",
        "cp",
        "--abi",
        "cp" + WHEEL_PYTHON,
    ]
    pip_download(wheels, [f"torch=={version}"], tag)
    torch = one_wheel(wheels, f"torch-{version}-*.whl")
    requirements = cuda_requirements(torch.metadata())
    for stale in wheels.glob("nvidia_*.whl"):
        stale.unlink()
    if requirements:
        say("LibTorch: downloading CUDA's runtime and CUPTI, which its loader asks for (15 MB) ...")
        pip_download(wheels, requirements, [])
    say("LibTorch: unpacking the CPU half (about 520 MB on disk) and checking its hashes ...")
    shutil.rmtree(partial, ignore_errors=True)
    unpack(torch, [Wheel(path) for path in sorted(wheels.glob("nvidia_*.whl"))], partial, version)
    if target.is_symlink():
        target.unlink()  # it led nowhere: a good one was left alone above
    shutil.rmtree(target, ignore_errors=True)
    partial.rename(target)
    shutil.rmtree(wheels)
    say(f"LibTorch {version}: in {target}")


def main(arguments):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--deps", type=pathlib.Path, required=True, help="folder that receives libtorch/"
    )
    parser.add_argument("--version", required=True, help="version of the torch wheel")
    options = parser.parse_args(arguments)

    def say(text):
        print(text, flush=True)

    try:
        options.deps.mkdir(parents=True, exist_ok=True)
        with open(options.deps / "lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # two set-ups of one folder take turns
            fetch(options.deps, options.version, say)
    except (SetupError, OSError) as error:
        print(f"set-up failed: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
