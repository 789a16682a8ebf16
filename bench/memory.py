"""Cache bytes that elbeam reports against the formulas, and the memory of the whole process.

    python3 -m bench.memory [--build build]

For each workload that is there one batch is decoded with each kind of attention, and the bytes of
--stats are compared with what follows from the model's shape and the lengths of the sources: of L
layers of width d, T source tokens in all and n beams, keys and values that each beam has for
itself take 2 L n d T numbers, those that a sentence's beams share 2 L d T, EL-attention's hidden
states d T. Exits with 1 where a number differs.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys

from . import data_bin
from .programs import Elbeam, Files, Place, Setting, run
from .workloads import ROOT, all_workloads

NAMES = {
    "copied": "cross_cache_bytes_mha_copied",
    "shared": "cross_cache_bytes_mha_shared",
    "el": "cross_cache_bytes_el",
}
SHAPES = """
import sys, torch
state = torch.load(sys.argv[1], map_location="cpu", weights_only=False)["model"]
layers = len({k.split(".")[2] for k in state if k.startswith("decoder.layers.")})
print(layers, state["decoder.layers.0.encoder_attn.k_proj.weight"].shape[0],
      state["decoder.layers.0.encoder_attn.k_proj.weight"].shape[1])
"""


def shape_of(checkpoint, reference):
    """Layers, width of the decoder, width of the encoder."""
    done = subprocess.run(
        [reference, "-c", SHAPES, str(checkpoint)], capture_output=True, text=True
    )
    if done.returncode != 0:
        raise SystemExit(f"bench: {checkpoint}: {done.stderr[-500:]}")
    return tuple(map(int, done.stdout.split()))


def expected(shape, tokens, beam, element=4):
    layers, dim, key_dim = shape
    shared = 2 * layers * dim * tokens * element
    return {"copied": beam * shared, "shared": shared, "el": key_dim * tokens * element}


def measure(work, place, threads=1):
    """Rows of the table, one for each kind of attention."""
    files = Files(work, place)
    shape = shape_of(files.checkpoint, place.reference)
    sources = data_bin.read(files.data / files.splits()[0])
    lengths = [min(len(s), 1024) if work.truncate else len(s) for s in sources]
    for kind in ("mha", "el"):
        # One batch of all sentences: what is reported is then the bytes of all of them.
        flags = ("--attention", kind, "--max-tokens", "10000000")
        setting = Setting(threads, "fp32", work.beam, len(lengths), flags=flags)
        figures, _ = run(Elbeam(files, setting), setting)
        stats = figures["stats"]
        formulas = expected(shape, sum(lengths), work.beam)
        yield {
            "workload": work.name,
            "kind": kind,
            "sentences": len(lengths),
            "tokens": sum(lengths),
            "beam": work.beam,
            "formulas": formulas,
            "reported": {name: stats[key] for name, key in NAMES.items()},
            "allocated": stats["cross_cache_bytes"],
            "self": stats["self_cache_bytes"],
            "peak RSS MiB": round(figures["peak RSS MiB"], 1),
        }


def table(rows):
    lines = [
        "| workload | sentences, source tokens, beam | attention | copied per beam | shared by beams | EL | "
        "allocated | self-attention | peak RSS MiB |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        cells = [
            row["workload"],
            f"{row['sentences']}, {row['tokens']:,}, {row['beam']}",
            row["kind"],
        ]
        cells += [f"{row['reported'][name]:,}" for name in NAMES]
        cells += [f"{row['allocated']:,}", f"{row['self']:,}", f"{row['peak RSS MiB']:,}"]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main():
    available = {name: w for name, w in all_workloads().items() if w.source}
    parser = argparse.ArgumentParser(prog="python3 -m bench.memory", description=__doc__)
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build")
    parser.add_argument("--reference", default=os.environ.get("ELBEAM_REFERENCE_PYTHON"))
    parser.add_argument("--scratch", type=pathlib.Path)
    parser.add_argument("--only", action="append", choices=sorted(available))
    parser.add_argument("--results", type=pathlib.Path, help="JSON file to put the rows into")
    options = parser.parse_args()
    if not options.reference:
        raise SystemExit("bench: set ELBEAM_REFERENCE_PYTHON or give --reference PYTHON")
    scratch = (options.scratch or options.build / "bench").resolve()
    place = Place(options.build.resolve() / "bin" / "elbeam-generate", options.reference, scratch)
    rows = []
    for name in options.only or ["news", "base-32"]:
        rows += measure(available[name], place)
    print(table(rows))
    if options.results:
        results = json.loads(options.results.read_text(encoding="utf-8"))
        results["memory"] = rows
        options.results.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    wrong = [row for row in rows if row["formulas"] != row["reported"]]
    for row in wrong:
        print(
            f"bench: {row['workload']}: formulas {row['formulas']}, reported {row['reported']}",
            file=sys.stderr,
        )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
