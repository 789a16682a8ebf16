"""Puts tables made of recorded rounds into docs/benchmarks.md, between its markers.

python3 -m bench --results docs/benchmarks.json
python3 -m bench.document docs/benchmarks.json
"""

import argparse
import json
import pathlib
import re

from . import memory, render
from .workloads import ROOT


def sections(results):
    """Marker -> text."""
    forced = [r for r in results["rounds"] if any("--attention=" in f for f in r["flags"])]
    rounds = [r for r in results["rounds"] if r not in forced]
    used = {record["workload"]: record["about"] for record in rounds}
    names = [f"- {name}: {about}" for name, about in used.items()]
    return {
        "machine": render.machine_line(results["machine"]),
        "workloads": "\n".join(names),
        "decoding": render.comparison(rounds, "decoding s"),
        "wall": render.comparison(rounds, "wall s"),
        "attention": render.attention_choices(forced),
        "memory": memory.table(results["memory"]),
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
