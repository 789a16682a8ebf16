"""Compiles the CUDA kernels to cubins with whatever nvcc there is, and reads what ptxas says of each."""

import concurrent.futures
import dataclasses
import os
import pathlib
import re
import shutil
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[3]
SOURCES = sorted((ROOT / "backend" / "kernels" / "cuda").glob("*.cu"))
FLAGS = [
    "-std=c++20",
    "--expt-relaxed-constexpr",
    "-O3",
    "-I",
    str(ROOT / "backend"),
    "-I",
    str(ROOT / "backend/include"),
]


class NoToolkit(Exception):
    """A tool of the CUDA toolkit is not on this machine; says which and how to get it."""


def find_tool(name):
    """Path of nvcc, nvdisasm, ...: ELBEAM_CUDA_HOME, what `cmake/setup.sh cuda` brought, PATH, /usr/local/cuda."""
    homes = [
        os.environ.get("ELBEAM_CUDA_HOME"),
        ROOT / os.environ.get("ELBEAM_DEPS_DIR", ".deps") / "cuda/nvidia/cu13",
    ]
    for home in [home for home in homes if home] + ["/usr/local/cuda"]:
        tool = pathlib.Path(home) / "bin" / name
        if tool.exists():
            return tool
    if found := shutil.which(name):
        return pathlib.Path(found)
    raise NoToolkit(f"{name} is not there; cmake/setup.sh cuda brings it")


@dataclasses.dataclass
class Resources:
    """Of one kernel on one architecture, as ptxas says."""

    registers: int
    stack: int
    spills: int  # bytes stored and loaded
    shared: int  # static; what a launch adds is launch_plan.hpp's


def demangle(names):
    result = subprocess.run(
        ["c++filt"], input="\n".join(names), capture_output=True, text=True, check=True
    )
    return dict(zip(names, result.stdout.splitlines(), strict=True))


def short_name(demangled):
    """ "ContiguousAttention<Half, 32, 16>" of "void elbeam::kernels::entry<...>(...)"."""
    name = re.search(r"entry<(.*)>\(", demangled.replace("elbeam::kernels::", ""))
    if name is None:
        raise ValueError(f"not a kernel of this project: {demangled}")
    text = re.sub(r"Geometry<(\w+), (\d+), (\d+), (\w+)>", r"\1, \2, \3, \4", name.group(1))
    text = text.replace(", false", "").replace(", true", ", wide")
    return re.sub(r"\s+>", ">", text).strip()


def parse_ptxas(text):
    """Mangled name -> Resources."""
    found = {}
    pattern = re.compile(
        r"Function properties for (\S+)\s+(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads\s+"
        r".*?Used (\d+) registers(.*)")  # fmt: skip
    for name, stack, stores, loads, registers, rest in pattern.findall(text):
        shared = re.search(r"(\d+) bytes smem", rest)
        found[name] = Resources(
            int(registers),
            int(stack),
            int(stores) + int(loads),
            int(shared.group(1)) if shared else 0,
        )
    return found


def compile_one(nvcc, source, architecture, folder):
    cubin = folder / f"{source.stem}.{architecture}.cubin"
    command = [
        nvcc,
        *FLAGS,
        f"-arch={architecture}",
        "-cubin",
        "-Xptxas",
        "-v",
        source,
        "-o",
        cubin,
    ]
    result = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    # ptxas serialises a warpgroup's products that it cannot see through, and only says so.
    if result.returncode != 0 or "serialized" in result.stderr:
        raise RuntimeError(
            f"{source.name} for {architecture} does not compile:\n{result.stderr[-3000:]}"
        )
    return cubin, parse_ptxas(result.stderr)


def compile_all(architectures, folder, jobs):
    """architecture -> ([cubin], {kernel: Resources})."""
    nvcc = find_tool("nvcc")
    folder.mkdir(parents=True, exist_ok=True)
    tasks = [(architecture, source) for architecture in architectures for source in SOURCES]
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        done = list(pool.map(lambda task: compile_one(nvcc, task[1], task[0], folder), tasks))
    result = {architecture: ([], {}) for architecture in architectures}
    for (architecture, _), (cubin, resources) in zip(tasks, done, strict=True):
        names = demangle(list(resources))
        result[architecture][0].append(cubin)
        result[architecture][1].update(
            {short_name(names[name]): value for name, value in resources.items()}
        )
    return result
