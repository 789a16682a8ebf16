"""Plants bugs in copies of the kernels, one at a time, and runs the kernels' tests with every access watched.

    python3 -m tests.device.mutants --build build [--every N] [--only TEXT] [--table FILE]

needs a build folder (Ninja) with the target device_trace_test. A bug is killed when the tests fail, do not end, or the kernels
stop. Prints a table; exit code 1 where more than one in twenty survives.
    python3 -m tests.device.mutants --check

only looks whether each edit still fits its file.
"""

import argparse
import concurrent.futures
import json
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys
import tempfile

from .mutant_list import MUTANTS

ROOT = pathlib.Path(__file__).resolve().parents[3]
CORE = ROOT / "backend" / "kernels" / "core"
TEST = "device_trace_test"
SECONDS = 240
# What the output of a failing test says of the reason, the first that fits.
REASONS = [
    ("race", r"race of (threads|blocks)"),
    ("copy under way", r"bytes that are being copied"),
    ("no fence", r"bytes without a fence"),
    ("unwritten shared memory", r"shared memory that was not written"),
    ("beside an array", r"access beside an array|written (before|behind) the array"),
    ("machine stopped", r"emulated device: (deadlock|lanes meet|misaligned|warp operation|an? |threads of a|the shared memory)"),
    ("wrong result", r"Failure"),
]


def misfits():
    """Edits that do not fit: a message each."""
    for mutant in MUTANTS:
        count = (CORE / mutant.file).read_text(encoding="utf-8").count(mutant.old)
        if count != 1 or mutant.old == mutant.new:
            yield f"{mutant.file}: {mutant.what}: expected once, found {count} times:\n{mutant.old}"


class Builder:
    """Compiles one translation unit of the traced kernels with a mutated header and links the tests with it."""

    def __init__(self, build):
        self.build = build
        commands = json.loads((build / "compile_commands.json").read_text(encoding="utf-8"))
        self.compile = {
            match[1]: entry["command"]
            for entry in commands
            if "elbeam_kernels_traced.dir" in entry["command"]
            and (match := re.search(r"emulated_kernels_(\w+)\.cpp$", entry["file"]))
        }
        lines = subprocess.run(
            ["ninja", "-C", build, "-t", "commands", TEST], capture_output=True, text=True, check=True
        ).stdout
        self.link = lines.strip().splitlines()[-1].removeprefix(": && ").removesuffix(" && :")

    def make(self, mutant, folder):
        shutil.copytree(CORE, folder / "kernels" / "core")
        header = folder / "kernels" / "core" / mutant.file
        header.write_text(
            header.read_text(encoding="utf-8").replace(mutant.old, mutant.new), encoding="utf-8"
        )
        compile_words = [
            word for word in shlex.split(self.compile[mutant.part]) if word != "-Werror"
        ]
        mutated = folder / "mutated.o"
        original = compile_words[compile_words.index("-o") + 1]
        compile_words[compile_words.index("-o") + 1] = str(mutated)
        first = next(i for i, word in enumerate(compile_words) if word.startswith("-I"))
        self.run([*compile_words[:first], f"-I{folder}", *compile_words[first:], "-w", "-g0"])
        link_words = [word for word in shlex.split(self.link) if word != original]
        program = folder / TEST
        link_words[link_words.index("-o") + 1] = str(program)
        # In front, so that what several units have in common is taken from the mutated one.
        objects = next(i for i, word in enumerate(link_words) if word.endswith(".o"))
        self.run([*link_words[:objects], str(mutated), *link_words[objects:]])
        return program

    def run(self, words):
        done = subprocess.run(words, cwd=self.build, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"{shlex.join(words)}:\n{done.stderr[-2000:]}")


def verdict(program, tests):
    """How a bug was found, or None."""
    try:
        done = subprocess.run(
            [program, f"--gtest_filter={tests}", "--gtest_fail_fast"], capture_output=True, text=True, check=False,
            timeout=SECONDS, errors="replace",
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return "does not end"
    if done.returncode == 0:
        return None
    output = done.stdout + done.stderr
    return next((name for name, text in REASONS if re.search(text, output)), "crash")


def try_mutant(builder, mutant):
    with tempfile.TemporaryDirectory() as folder:
        return verdict(builder.make(mutant, pathlib.Path(folder)), mutant.tests)


def table_of(results):
    lines = ["| file | planted bug | found as |", "|---|---|---|"]
    lines += [f"| {m.file} | {m.what} | {found or '**survived**'} |" for m, found in results]
    killed = sum(found is not None for _, found in results)
    lines.append(f"\n{killed} of {len(results)} killed.")
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--every", type=int, default=1, help="only each N-th")
    parser.add_argument("--only", default="", help="only those whose file and description have this text")
    parser.add_argument("--table", type=pathlib.Path)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    options = parser.parse_args()
    if problems := list(misfits()):
        print("\n".join(problems), file=sys.stderr)
        return 1
    if options.check:
        print(f"{len(MUTANTS)} planted bugs fit")
        return 0
    builder = Builder(options.build.resolve())
    chosen = [m for m in MUTANTS if options.only in f"{m.file}: {m.what}"][:: options.every]
    results = []
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        for mutant, found in zip(chosen, pool.map(lambda m: try_mutant(builder, m), chosen)):
            print(f"{found or 'SURVIVED'}: {mutant.file}: {mutant.what}", flush=True)
            results.append((mutant, found))
    table = table_of(results)
    if options.table:
        options.table.write_text(table, encoding="utf-8")
    print(table.splitlines()[-1])
    survived = sum(found is None for _, found in results)
    return 1 if 20 * survived > len(results) else 0


if __name__ == "__main__":
    sys.exit(main())
