"""Puts tables made of recorded rounds into docs/benchmarks.md, between its markers.

python3 -m bench --results docs/benchmarks.json
python3 -m bench.document docs/benchmarks.json
"""

import argparse
import json
import pathlib
import re

from . import render
from .workloads import ROOT, all_workloads


def sections(results):
    """Marker -> text."""
    rounds = results["rounds"]
    used = {record["workload"]: record["about"] for record in rounds}
    names = [f"- {name}: {used[name]}" for name in all_workloads() if name in used]
    return {
        "machine": render.machine_line(results["machine"]),
        "workloads": "\n".join(names),
        "decoding": render.comparison(rounds, "decoding s"),
        "wall": render.comparison(rounds, "wall s"),
    }


def fill(document, texts):
    """The document with what stands between <!-- NAME --> and <!-- end --> replaced."""
    for name, text in texts.items():
        marker = re.compile(rf"(<!-- {name} -->\n).*?(<!-- end -->)", re.DOTALL)
        document, count = marker.subn(lambda m, text=text: m[1] + text + "\n" + m[2], document)
        if count != 1:
            raise SystemExit(f"bench: docs/benchmarks.md has {count} places for {name}, expected 1")
    return document


def main():
    parser = argparse.ArgumentParser(prog="python3 -m bench.document", description=__doc__)
    parser.add_argument("results", type=pathlib.Path)
    parser.add_argument("--document", type=pathlib.Path, default=ROOT / "docs" / "benchmarks.md")
    options = parser.parse_args()
    results = json.loads(options.results.read_text(encoding="utf-8"))
    text = options.document.read_text(encoding="utf-8")
    options.document.write_text(fill(text, sections(results)), encoding="utf-8")


if __name__ == "__main__":
    main()
