"""Whether elbeam is right on this machine's GPU, and how fast: one JSON file and one table, in less than ten minutes.

    python3 -m bench.gpu_check --build build-cuda [--device cuda:0] [--json FILE] [--table FILE]

Needs a CUDA build (`make gpu-check` makes one) and no network. With --device cuda-emulated the same is done at tiny
shapes without a GPU, which proves this program and measures nothing.

Exit codes: 0 everything agrees; 1 something does not; 2 usage; 4 there is no such device, and nothing was checked.
"""

import argparse
import json
import sys

from . import checks, programs, table


def parse():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--build", default="build-cuda")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--json", default="gpu_check.json")
    parser.add_argument("--table", default="gpu_check.md")
    parser.add_argument(
        "--seconds", type=float, default=570, help="after which what is left is left out"
    )
    parser.add_argument(
        "--reference",
        default=programs.python(),
        help="python that may have torch, fairseq, ctranslate2",
    )
    return parser.parse_args()


def main():
    options = parse()
    place = programs.Place(options.build, options.device, options.seconds, options.reference)
    try:
        limits = place.limits()
    except programs.Failed as error:
        if error.code in (2, 4):
            print(f"gpu-check: nothing was checked: {error.said}", file=sys.stderr)
            return error.code
        raise SystemExit(f"gpu-check: {error}") from error
    plan = checks.TINY if limits["capability"] == 0 else checks.FULL
    results = {"device": limits, "failures": []}
    for name, part in checks.PARTS.items():
        print(f"gpu-check: {name} ...", file=sys.stderr)
        try:
            results[name] = part(place, plan)
        except programs.Failed as error:
            results[name] = None
            results["failures"].append(f"{name}: {error}")
    results["failures"] += checks.disagreements(results)
    with open(options.json, "w", encoding="utf-8") as file:
        json.dump(results, file, indent=1)
        file.write("\n")
    text = table.render(results)
    with open(options.table, "w", encoding="utf-8") as file:
        file.write(text)
    print(text, end="")
    return 1 if results["failures"] else 0


if __name__ == "__main__":
    sys.exit(main())
