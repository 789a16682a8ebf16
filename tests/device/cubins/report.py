"""The table of docs/gpu.md: registers, occupancy and the instructions of the inner loop of the attention kernels.

    python3 -m tests.device.cubins.report

Needs what `cmake/setup.sh cuda` brings; takes a minute. A beam of 4 and 16 heads.
"""

import pathlib
import subprocess
import tempfile

from . import sass_mix, toolkit

# kernel, how it is launched: kind, bytes of an element, width, query rows of a sentence
ROWS = (
    ("WarpgroupAttention<Half, 256, 64, 1>", "warpgroup", 2, 256, 64),
    ("WarpgroupAttention<Half, 512, 64, 1>", "warpgroup", 2, 512, 64),
    ("WarpgroupAttention<Half, 384, 64, 2>", "warpgroup", 2, 768, 64),
    ("WarpgroupAttention<Half, 512, 64, 2>", "warpgroup", 2, 1024, 64),
    ("WarpgroupAttention<Half, 512, 16, 2>", "warpgroup", 2, 1024, 16),
    ("TensorAttention<Half, 256, 2>", "el", 2, 256, 64),
    ("TensorAttention<Half, 512, 2>", "el", 2, 512, 64),
    ("TensorAttention<Half, 768, 2>", "el", 2, 768, 64),
    ("TensorAttention<Half, 1024, 2>", "el", 2, 1024, 64),
    ("TensorAttention<Half, 1024, 1>", "el", 2, 1024, 16),
    ("ContiguousAttention<Half, 8, 8>", "mha", 2, 64, 4),
    ("ContiguousAttention<float, 8, 8>", "mha", 4, 64, 4),
    ("ContiguousAttention<float, 32, 16>", "el", 4, 512, 64),
    ("ContiguousAttention<float, 32, 32>", "el", 4, 1024, 64),
)
KINDS = (
    "tensor core",
    "arithmetic",
    "convert",
    "load",
    "store",
    "exchange",
    "address",
    "control",
    "move and other",
)
ARCHITECTURES = {"sm_80": 80, "sm_90a": 90}


def occupancy(lines, folder):
    program = folder / "occupancy"
    backend = toolkit.ROOT / "backend"
    include = toolkit.find_tool("nvcc").parent.parent / "include"
    sources = [pathlib.Path(__file__).with_name("occupancy.cpp"), backend / "kernels/launch_plan.cpp",
               backend / "base/check.cpp", backend / "base/error.cpp"]  # fmt: skip
    command = ["g++", "-std=c++20", "-w", "-I", backend, "-I", backend / "include", "-isystem", include, *sources,
               "-o", program]  # fmt: skip
    subprocess.run(list(map(str, command)), check=True)
    result = subprocess.run(
        [program], input="\n".join(lines), capture_output=True, text=True, check=True
    )
    return [line.split() for line in result.stdout.splitlines()]


def table(compiled, folder):
    mixes = {arch: sass_mix.mixes(cubins) for arch, (cubins, _) in compiled.items()}
    places = [(arch, *row) for row in ROWS for arch in compiled
              if arch == "sm_90a" or not row[0].startswith("Warpgroup")]  # fmt: skip
    blocks = occupancy(
        [f"{ARCHITECTURES[arch]} {kind} {element} {width} {rows} {compiled[arch][1][kernel].registers}"
         for arch, kernel, kind, element, width, rows in places], folder)  # fmt: skip
    lines = ["| kernel | for | registers | threads, shared memory | blocks, warps of 64 | " + " | ".join(KINDS) + " | address, share |",
             "|---" * (6 + len(KINDS)) + "|"]  # fmt: skip
    for (arch, kernel, kind, _, width, rows), (threads, shared, count, warps) in zip(
        places, blocks, strict=True
    ):
        mix = mixes[arch][kernel]
        lines.append(
            f"| {kernel}, {'mha' if kind == 'mha' else 'el'} of {width}, {rows} rows | {arch} | {compiled[arch][1][kernel].registers} | "
            f"{threads}, {int(shared) / 1024:.0f} KiB | {count}, {warps} | "
            + " | ".join(str(mix[name]) for name in KINDS)
            + f" | {100 * mix['address'] / sum(mix.values()):.0f} % |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        print(
            table(toolkit.compile_all(ARCHITECTURES, pathlib.Path(place), 2), pathlib.Path(place))
        )
