"""Runs elbeam, stock fairseq and CTranslate2 in turn on the same model, data and options.

A B C A B C ...: a machine that slows down slows all. Prints, per figure, the median of each
program, and the median, lowest and highest of the ratios within a round; outputs are compared as
well. With --results the rounds are added to those of earlier calls.
"""

import argparse
import dataclasses
import json
import os
import pathlib
import sys

from . import agreement, machine, render
from .programs import COMPUTE_TYPES, PROGRAMS, Elbeam, Files, Place, Setting, run
from .workloads import ROOT, all_workloads


def measure(work, place, options):
    """Rounds of one workload, each a record of every program's figures and of the agreements."""
    files = Files(work, place)
    setting = Setting(
        options.threads,
        options.dtype,
        options.beam or work.beam,
        options.batch or work.batch,
        options.isa,
        tuple(options.elbeam_option),
    )
    names = [n for n in options.programs if n != "stock" or setting.dtype == "fp32"]
    programs = [PROGRAMS[name](files, setting) for name in names]
    exact = None
    if setting.dtype != "fp32":
        precise = dataclasses.replace(setting, dtype="fp32", flags=())
        exact = run(Elbeam(files, precise), precise)[1]
    for number in range(options.rounds):
        record = {
            "workload": work.name,
            "about": work.about,
            "threads": setting.threads,
            "dtype": setting.dtype,
            "beam": setting.beam,
            "batch": setting.batch,
            "flags": list(setting.flags),
            "programs": {},
            "agreement": {},
        }
        outputs = {}
        for program in programs:
            record["programs"][program.name], outputs[program.name] = run(program, setting)
        ours = outputs["elbeam"]
        if "stock" in outputs:
            record["agreement"]["stock"] = agreement.with_stock(ours, outputs["stock"])
        if "ctranslate2" in outputs:
            record["agreement"]["ctranslate2"] = agreement.with_ctranslate2(
                ours, outputs["ctranslate2"], work.forced
            )
        if exact is not None:
            record["agreement"]["fp32"] = agreement.with_elbeam(ours, exact)
            if "ctranslate2" in outputs:
                record["agreement"]["ctranslate2 fp32"] = agreement.with_ctranslate2(
                    exact, outputs["ctranslate2"], work.forced
                )
        print(f"  {work.name}: round {number + 1} of {options.rounds}", file=sys.stderr)
        yield record


def parse_options(available):
    parser = argparse.ArgumentParser(prog="python3 -m bench", description=__doc__)
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build")
    parser.add_argument(
        "--reference",
        default=os.environ.get("ELBEAM_REFERENCE_PYTHON"),
        metavar="PYTHON",
        help="python that has fairseq and ctranslate2 (default $ELBEAM_REFERENCE_PYTHON)",
    )
    parser.add_argument(
        "--scratch",
        type=pathlib.Path,
        help="where models are made and converted (default BUILD/bench)",
    )
    parser.add_argument(
        "--only", action="append", metavar="NAME", choices=sorted(available), help="default: all"
    )
    parser.add_argument("--list", action="store_true", help="name the workloads and stop")
    parser.add_argument(
        "--programs", default=",".join(PROGRAMS), help="default: %(default)s; elbeam is needed"
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--dtype", choices=sorted(COMPUTE_TYPES), default="fp32")
    parser.add_argument(
        "--isa",
        choices=["", "avx2"],
        default="",
        help="keep all programs from wider instructions",
    )
    parser.add_argument("--batch", type=int, help="instead of the workload's own")
    parser.add_argument("--beam", type=int, help="instead of the workload's own")
    parser.add_argument(
        "--elbeam-option",
        action="append",
        default=[],
        metavar="OPTION",
        help="a further option of elbeam-generate, as --elbeam-option=--attention=el",
    )
    parser.add_argument("--results", type=pathlib.Path, help="JSON file to add the rounds to")
    options = parser.parse_args()
    options.programs = options.programs.split(",")
    unknown = [name for name in options.programs if name not in PROGRAMS]
    if unknown or "elbeam" not in options.programs:
        parser.error(
            f"--programs: expected elbeam and some of {list(PROGRAMS)}, got {options.programs}"
        )
    if options.rounds < 1 or options.threads < 1:
        parser.error("--rounds and --threads: expected a positive number")
    return options


def main():
    available = all_workloads()
    options = parse_options(available)
    if options.list:
        for work in available.values():
            print(f"{work.name:16} {work.about}")
        return
    if not options.reference:
        raise SystemExit(
            "bench: the peers need a python: set ELBEAM_REFERENCE_PYTHON or give --reference PYTHON"
        )
    scratch = (options.scratch or options.build / "bench").resolve()
    place = Place(options.build.resolve() / "bin" / "elbeam-generate", options.reference, scratch)
    results = {"machine": {}, "rounds": []}
    if options.results and options.results.exists():
        results = json.loads(options.results.read_text(encoding="utf-8"))
    for name in options.only or available:
        for record in measure(available[name], place, options):
            results["machine"] = machine.describe(place.elbeam, place.reference)
            record["commit"] = results["machine"]["commit"]
            results["rounds"].append(record)
            if options.results:
                options.results.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    print(render.machine_line(results["machine"]))
    print()
    print(render.comparison(results["rounds"]))


if __name__ == "__main__":
    main()
