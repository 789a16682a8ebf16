"""How the time of a token grows: with the length of the source, of the target, the beam, and the
batch.

    python3 -m bench.curves --results docs/benchmarks.json --svg docs/curves.svg

elbeam alone, on a Transformer-base shape with random weights and forced lengths; one quantity
changes, the others stay (source 64, target 32, beam 4, batch 8). Draws microseconds per generated
token and sentence.
"""

import argparse
import dataclasses
import json
import os
import pathlib

from .programs import Elbeam, Files, Place, Setting, run
from .workloads import ROOT, Shape, Workload

AXES = {
    "source tokens": ("source", (32, 128, 256, 512, 1024)),
    "target tokens": ("target", (16, 64, 128, 256, 512)),
    "beam": ("beam", (1, 2, 4, 8, 16)),
    "sentences a batch": ("batch", (1, 2, 4, 8, 16)),
}
START = {"source": 64, "target": 32, "beam": 4, "batch": 8}
COLORS = {"el": "#c2410c", "mha": "#1d4ed8"}


def point(values, attention, place, threads):
    shape = Shape("transformer", sentences=values["batch"], source_length=values["source"])
    work = Workload(
        "curve",
        "",
        shape=dataclasses.replace(shape),
        beam=values["beam"],
        batch=values["batch"],
        max_len=values["target"],
        min_len=values["target"],
    )
    setting = Setting(
        threads, "fp32", work.beam, work.batch, flags=("--attention", attention)
    )
    stats = run(Elbeam(Files(work, place), setting), setting)[0]["stats"]
    steps = values["target"] + 1
    return {
        **values,
        "attention": attention,
        "decode us": stats["decode_seconds"] * 1e6 / (steps * values["batch"]),
        "cross bytes": stats["cross_cache_bytes"],
    }


def measure(axis, place, threads):
    key, numbers = AXES[axis]
    return [
        point(START | {key: number}, attention, place, threads)
        for number in numbers
        for attention in COLORS
    ]


def panel(axis, points, left, top):
    """SVG of one axis: a box of 300 x 200."""
    key, numbers = AXES[axis]
    highest = max(p["decode us"] for p in points)
    last = max(numbers)

    def place(x, y):
        return left + 50 + 230 * x / last, top + 180 - 150 * y / highest

    parts = [f'<text x="{left + 50}" y="{top + 18}" font-weight="bold">{axis}</text>']
    x0, y0 = place(0, 0)
    x1, y1 = place(last, highest)
    parts.append(f'<path d="M{x0} {y1} V{y0} H{x1}" fill="none" stroke="#888"/>')
    parts.append(f'<text x="{x0 - 4}" y="{y1 + 4}" text-anchor="end">{highest:,.0f}</text>')
    parts.append(f'<text x="{x0 - 4}" y="{y0 + 4}" text-anchor="end">0</text>')
    parts.append(f'<text x="{x1}" y="{y0 + 14}" text-anchor="end">{last:,}</text>')
    for attention, color in COLORS.items():
        line = [place(p[key], p["decode us"]) for p in points if p["attention"] == attention]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in line)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{color}" stroke-width="2"/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{color}"/>' for x, y in line]
    return parts


def draw(curves):
    parts = [
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 640 450" font-family="sans-serif" '
        'font-size="11">',
        '<rect width="640" height="450" fill="white"/>',
    ]
    for i, (axis, points) in enumerate(curves.items()):
        parts += panel(axis, points, 310 * (i % 2), 210 * (i // 2))
    parts.append('<text x="50" y="440">decoder microseconds per token and sentence</text>')
    for i, (name, color) in enumerate((("EL-attention", "el"), ("beam-shared multi-head", "mha"))):
        parts.append(f'<text x="{330 + 120 * i}" y="440" fill="{COLORS[color]}">{name}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def main():
    parser = argparse.ArgumentParser(prog="python3 -m bench.curves", description=__doc__)
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build")
    parser.add_argument("--reference", default=os.environ.get("ELBEAM_REFERENCE_PYTHON"))
    parser.add_argument("--scratch", type=pathlib.Path)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--axis", action="append", choices=sorted(AXES), help="default: all")
    parser.add_argument("--results", type=pathlib.Path, required=True)
    parser.add_argument("--svg", type=pathlib.Path, default=ROOT / "docs" / "curves.svg")
    options = parser.parse_args()
    if not options.reference:
        raise SystemExit("bench: set ELBEAM_REFERENCE_PYTHON or give --reference PYTHON")
    scratch = (options.scratch or options.build / "bench").resolve()
    place = Place(options.build.resolve() / "bin" / "elbeam-generate", options.reference, scratch)
    results = json.loads(options.results.read_text(encoding="utf-8"))
    curves = results.setdefault("curves", {})
    for axis in options.axis or AXES:
        curves[axis] = measure(axis, place, options.threads)
        options.results.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    options.svg.write_text(draw(curves), encoding="utf-8")


if __name__ == "__main__":
    main()
