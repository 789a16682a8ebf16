"""Runs elbeam-generate and stock fairseq-generate in turn on the same model, data and flags.

A B A B ...: a machine that slows down slows both. Prints, per figure, the median of each, and the
median, lowest and highest of the ratios of neighbouring runs; outputs are compared as well.
"""

import argparse
import json
import os
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from fairseq_bridge.parity import compare, output  # noqa: E402

TRANSLATED = re.compile(r"Translated ([\d,]+) sentences \(([\d,]+) tokens\) in ([\d.]+)s")


def workloads():
    """Name -> (folder, checkpoint, flags). Committed ones first; ../shared where it is there."""
    data = ROOT / "tests" / "data"
    shared = pathlib.Path(os.environ.get("ELBEAM_SHARED", ROOT.parent / "shared")) / "models"
    translation = ["-s", "de", "-t", "en"]
    questions = ["-s", "src", "-t", "tgt", "--truncate-source"]
    candidates = {
        "translation": (data / "debian_de_en/data-bin", data / "debian_de_en/checkpoint.pt", translation),
        "multi30k": (shared / "multi30k_de_en/data-bin", shared / "multi30k_de_en/checkpoint_best.pt", translation),
        "questions": (data / "squad_qg_bart/data-bin", data / "squad_qg_bart/checkpoint.pt", questions),
        "long": (shared / "squad_qg_bart/data-bin-long", shared / "squad_qg_bart/checkpoint_best.pt", questions),
    }
    return {name: work for name, work in candidates.items() if work[1].exists()}


def run(command, threads):
    """Wall seconds, peak RSS in MiB, decoding seconds as the program logs them, stdout."""
    environment = dict(os.environ, OMP_NUM_THREADS=str(threads), MKL_NUM_THREADS=str(threads))
    environment["TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"] = "1"  # stock cannot load its own files otherwise
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        begin = time.perf_counter()
        process = subprocess.Popen(command, stdout=out, stderr=err, env=environment)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        wall = time.perf_counter() - begin
        out.seek(0)
        err.seek(0)
        log = err.read()
        if process.returncode != 0:
            raise SystemExit(f"{' '.join(command)}: exit {process.returncode}\n{log[-2000:]}")
        match = TRANSLATED.search(log)
        return {
            "wall s": wall,
            "decoding s": float(match.group(3)) if match else float("nan"),
            "peak RSS MiB": usage.ru_maxrss / 1024,
        }, out.read()


def measure(name, work, options):
    """One workload; returns the record that is printed and written."""
    folder, checkpoint, flags = work
    common = [str(folder), "--task", "translation", *flags, "--path", str(checkpoint), "--beam", str(options.beam),
              "--batch-size", str(options.batch), "--required-batch-size-multiple", "1"]  # fmt: skip
    ours = [str(options.build / "bin" / "elbeam-generate"), *common, "--threads", str(options.threads)]
    stock = [str(pathlib.Path(options.reference).parent / "fairseq-generate"), *common, "--cpu"]
    rows = {"elbeam": [], "stock": []}
    texts = {}
    for round_number in range(options.rounds):
        for program, command in (("elbeam", ours), ("stock", stock)):
            figures, texts[program] = run(command, options.threads)
            rows[program].append(figures)
        print(f"  {name}: round {round_number + 1} of {options.rounds}", file=sys.stderr)
    verdict = compare.compare(output.parse(texts["stock"], "stock"), output.parse(texts["elbeam"], "elbeam"))
    record = {
        "workload": name, "beam": options.beam, "batch": options.batch, "threads": options.threads, "dtype": "fp32",
        "rounds": options.rounds, "hypotheses": verdict.hypotheses, "tokens equal": verdict.tokens_equal,
        "figures": {},
    }  # fmt: skip
    for key in rows["stock"][0]:
        ratios = [s[key] / e[key] for s, e in zip(rows["stock"], rows["elbeam"]) if e[key] > 0]
        record["figures"][key] = {
            "elbeam": statistics.median(r[key] for r in rows["elbeam"]),
            "stock": statistics.median(r[key] for r in rows["stock"]),
            "ratio": statistics.median(ratios) if ratios else float("nan"),
            "lowest": min(ratios, default=float("nan")),
            "highest": max(ratios, default=float("nan")),
        }
    return record


def table(records):
    lines = [
        "| workload | figure | elbeam | stock fairseq | stock / elbeam | lowest - highest | equal hypotheses |",
        "|---|---|---|---|---|---|---|",
    ]
    for record in records:
        for key, f in record["figures"].items():
            lines.append(
                f"| {record['workload']} (beam {record['beam']}, batch {record['batch']}, "
                f"{record['threads']} thread(s), fp32) | {key} | {f['elbeam']:.2f} | {f['stock']:.2f} | "
                f"{f['ratio']:.2f} | {f['lowest']:.2f} - {f['highest']:.2f} | "
                f"{record['tokens equal']} of {record['hypotheses']} |"
            )
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(prog="python3 -m bench", description=__doc__)
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build")
    parser.add_argument("--reference", default=os.environ.get("ELBEAM_REFERENCE_PYTHON"), metavar="PYTHON",
                        help="python of an environment with stock fairseq (default $ELBEAM_REFERENCE_PYTHON)")  # fmt: skip
    parser.add_argument("--only", action="append", choices=sorted(workloads()), help="default: all that are there")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--beam", type=int, default=5)
    parser.add_argument("--out", type=pathlib.Path, help="also write the records as JSON")
    options = parser.parse_args()
    if not options.reference:
        raise SystemExit("bench: stock fairseq is the peer: set ELBEAM_REFERENCE_PYTHON or give --reference PYTHON")
    available = workloads()
    records = [measure(name, available[name], options) for name in options.only or available]
    print(table(records))
    if options.out:
        options.out.write_text(json.dumps(records, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
