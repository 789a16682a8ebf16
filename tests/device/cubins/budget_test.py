"""Holds the CUDA kernels, as nvcc compiles them, to budgets.json: no spills, no stack, registers within the budget.

Budgets are multiples of 8, which is how a multiprocessor hands registers out; all shared memory is dynamic.

    python3 -m tests.device.cubins.budget_test [--update] [--arch sm_80,...]

Exit code 77 where there is no nvcc. --update writes the table anew (say why registers rose in the commit).
"""

import argparse
import json
import os
import pathlib
import sys
import tempfile

from . import toolkit

BUDGETS = pathlib.Path(__file__).with_name("budgets.json")
SKIPPED = 77


def complaints(architecture, found, budgets):
    """What of `found`, {kernel: Resources}, is not within `budgets`, {kernel: registers}."""
    for kernel in sorted(set(budgets) - set(found)):
        yield f"{architecture} {kernel}: in budgets.json, but not compiled"
    for kernel, now in sorted(found.items()):
        if kernel not in budgets:
            yield f"{architecture} {kernel}: not in budgets.json, {now.registers} registers (--update adds it)"
            continue
        for what, expected, got in (("bytes spilled", 0, now.spills), ("bytes of stack", 0, now.stack),
                                    ("bytes of static shared memory", 0, now.shared),
                                    ("registers", budgets[kernel], now.registers)):  # fmt: skip
            if got > expected:
                yield f"{architecture} {kernel}: {what}: expected at most {expected}, got {got}"


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--update", action="store_true")
    parser.add_argument("--arch", default="sm_80,sm_90a,sm_100,sm_120")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    options = parser.parse_args()
    try:
        with tempfile.TemporaryDirectory() as folder:
            compiled = toolkit.compile_all(
                options.arch.split(","), pathlib.Path(folder), options.jobs
            )
    except toolkit.NoToolkit as reason:
        print(f"skipped: {reason}")
        return SKIPPED
    if options.update:
        table = {
            arch: {kernel: (now.registers + 7) // 8 * 8 for kernel, now in sorted(found.items())}
            for arch, (_, found) in compiled.items()
        }
        BUDGETS.write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")
    budgets = json.loads(BUDGETS.read_text(encoding="utf-8"))
    if unknown := set(compiled) - set(budgets):
        print(
            f"no budgets for {', '.join(sorted(unknown))} in {BUDGETS.name} (--update makes them)"
        )
        return 1
    found = [
        text
        for arch, (_, kernels) in compiled.items()
        for text in complaints(arch, kernels, budgets[arch])
    ]
    print("\n".join(found) or "all within budget: " +
          ", ".join(f"{len(kernels)} kernels for {arch}" for arch, (_, kernels) in compiled.items()))  # fmt: skip
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
