"""The parity matrix: every flag set with every model, stock fairseq against elbeam.

    python3 -m fairseq_bridge.parity.matrix --models DIR --toy DIR --cache DIR [--out docs/parity.md]

--models holds multi30k_de_en, squad_qg_bart and lm_gpt, --toy the toy models (with bin-ende and
ckpt). Stock's outputs are kept in the cache and run once; they depend on nothing of elbeam.
--stock-only fills the cache and stops. --only 'MODEL/FLAG SET' takes some cells, as a shell pattern.

A cell is "equal", "proven ties: n" or "fairseq fails here: how". Anything else is a bug of elbeam:
the cell says DIFFERENT, the reports of such cells lie in the cache, and the exit status is 1.
"""

import argparse
import dataclasses
import fnmatch
import hashlib
import json
import os
import pathlib
import re
import shlex
import subprocess
import sys
import tempfile
import time

from . import ParityError, compare, golden, output, proof, report, run
from .matrix_cells import ALL_SETS, MODELS, flags_of, tool_of

SENTENCES = 500
STOCK_TIMEOUT = 3600


def prepare(model, options):
    """The folder of a model's column; made once."""
    folder = options.cache / "models" / model.name
    if (folder / "complete").exists():
        return folder
    kind, _, rest = model.source.partition("/")
    root = options.models / rest if kind == "models" else options.toy
    request = {
        "checkpoint": str(root / model.checkpoint),
        "data": str(root / model.data),
        "files": [str(root / n) for n in ("encoder.json", "vocab.bpe") if (root / n).exists()],
        "out": str(folder),
        "sentences": SENTENCES,
        "is_lm": model.is_lm,
        "languages": model.languages,
    }
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(request, file)
        file.flush()
        script = pathlib.Path(__file__).with_name("matrix_models.py")
        run.run(
            [options.reference_python, str(script), file.name],
            None,
            f"preparing {model.name}",
            run.reference_environment(),
        )
    return folder


@dataclasses.dataclass
class StockCell:
    text: str
    failure: str  # empty: stock ended well


def failure_of(log):
    """The exception at the end of a traceback, in one line, without places of this machine."""
    lines = [line for line in log.splitlines() if re.match(r"^[\w.]*(Error|Exception|Interrupt)\b", line)]
    text = lines[-1] if lines else (log.strip().splitlines() or ["no message"])[-1]
    return re.sub(r"/[\w./+-]+/", "", text)[:160]


def stock_cell(model, name, folder, options):
    flags, tool = flags_of(model, name), tool_of(name)
    facts = [golden.sha256(folder / "a.pt"), flags, SENTENCES]
    key = hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:24]
    stored = options.cache / "stock" / f"{model.name}-{key}.json"
    if stored.exists():
        return StockCell(**json.loads(stored.read_text(encoding="utf-8")))
    environment = dict(os.environ, OMP_NUM_THREADS="1", **run.reference_environment())
    with tempfile.NamedTemporaryFile() as out, tempfile.NamedTemporaryFile() as log:
        done = subprocess.run(
            [options.reference_python, "-m", f"fairseq_cli.{tool}", *flags],
            cwd=folder,
            stdout=out,
            stderr=log,
            env=environment,
            timeout=STOCK_TIMEOUT,
            check=False,
        )
        text = pathlib.Path(out.name).read_text(encoding="utf-8", errors="replace")
        errors = pathlib.Path(log.name).read_text(encoding="utf-8", errors="replace")
    cell = StockCell(text, "") if done.returncode == 0 else StockCell("", failure_of(errors))
    stored.parent.mkdir(parents=True, exist_ok=True)
    stored.write_text(json.dumps(dataclasses.asdict(cell)), encoding="utf-8")
    return cell


def elbeam_cell(model, name, folder, cell, options):
    """The cell's text, and whether it is one that may stand in the matrix."""
    flags = flags_of(model, name)
    program = options.bin / f"elbeam-{tool_of(name)}"
    command = [str(program), *flags, "--compat", "fairseq-main", *options.elbeam_flags]
    done = subprocess.run(command, cwd=folder, capture_output=True, check=False)
    errors = done.stderr.decode("utf-8", "replace")
    if cell.failure:
        survived = done.returncode in (0, 1, 2, 3)
        return f"fairseq fails here: {cell.failure}", survived
    if done.returncode != 0:
        last = (errors.strip().splitlines() or [""])[-1]
        return f"DIFFERENT: elbeam ended with {done.returncode}: {last[:200]}", False
    try:
        stock = output.parse(cell.text, "stock")
        elbeam = output.parse(done.stdout.decode("utf-8", "replace"), "elbeam")
        comparison = compare.compare(stock, elbeam)
        proof.explain(stock, elbeam, comparison.differences, flags, folder, options.reference_python)
    except ParityError as error:
        return f"DIFFERENT: {error}", False
    if report.verdict(comparison) == "different":
        stored = options.cache / "reports" / f"{model.name}-{name.replace(' ', '_').replace('/', '_')}.txt"
        stored.parent.mkdir(parents=True, exist_ok=True)
        stored.write_text(shlex.join(command) + "\n" + report.as_text(comparison), encoding="utf-8")
        kinds = sorted({d.kind for d in comparison.differences if d.verdict not in ("tie", "ordering")})
        return f"DIFFERENT: {', '.join(kinds)}; {len(comparison.differences)} in all", False
    ties = proof.count_of_ties(comparison.differences)
    return (f"proven ties: {ties}" if ties else "equal"), True


def wanted_cells(patterns):
    for name in ALL_SETS:
        for model in MODELS:
            if any(fnmatch.fnmatchcase(f"{model.name}/{name}", pattern) for pattern in patterns):
                yield model, name


def as_markdown(cells, facts):
    lines = [
        "# Parity matrix",
        "",
        "Generated by `python3 -m fairseq_bridge.parity.matrix`, never typed. Every cell is one run of stock",
        f"fairseq-generate or fairseq-interactive ({facts['fairseq']}, torch {facts['torch']}, {facts['cpu_capability']}) and one of",
        f"elbeam's program with the same flags and `--compat fairseq-main`, over the first {SENTENCES} sentences",
        "of a split (the toy data has 40 and 60).",
        "",
        "- **equal**: the tokens of every hypothesis, S-, T-, D- and A- lines, the print order and the closing",
        "  line are the same; scores agree within 1e-5 a token (or 4 units in the last place of a float32).",
        "- **proven ties: n**: n hypotheses differ, and for each one a computation in fp64 by stock's own model",
        "  shows that the two candidates score the same within 1e-5. Where tokens are drawn (--sampling), n",
        "  draws fell otherwise, each of which fp64 decides by less than 1e-5; with the ties set as either",
        "  program has them, stock's own sampler run in fp64 gives all of that program's output.",
        "- **fairseq fails here**: stock ends with this error, and has no output to compare with.",
        "",
        "| flags | " + " | ".join(model.title for model in MODELS) + " |",
        "|---|" + "---|" * len(MODELS),
    ]
    for name in ALL_SETS:
        texts = [cells.get((model.name, name), "not run") for model in MODELS]
        lines.append(f"| {name} | " + " | ".join(t.replace("|", "\\|") for t in texts) + " |")
    lines += ["", "## The flags of each row", "", "Besides the model's task and language flags:", ""]
    for name in ALL_SETS:
        flags = " ".join(shlex.quote(f) if not f.startswith("{") else f for f in ALL_SETS[name])
        lines.append(f"- {name}: `{flags}`")
    return "\n".join(lines) + "\n"


def parse_arguments(arguments):
    parser = argparse.ArgumentParser(
        prog="python3 -m fairseq_bridge.parity.matrix",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--models", type=pathlib.Path, required=True)
    parser.add_argument("--toy", type=pathlib.Path, required=True)
    parser.add_argument("--cache", type=pathlib.Path, required=True)
    parser.add_argument("--out", type=pathlib.Path)
    parser.add_argument("--bin", type=pathlib.Path, default=pathlib.Path("build/bin"), help="elbeam's programs")
    parser.add_argument("--elbeam-flags", type=shlex.split, default=[], metavar="FLAGS")
    parser.add_argument("--only", action="append", metavar="PATTERN")
    parser.add_argument("--stock-only", action="store_true")
    parser.add_argument(
        "--reference-python", default=os.environ.get("ELBEAM_REFERENCE_PYTHON"), metavar="PY"
    )
    options = parser.parse_args(arguments)
    if not options.reference_python:
        parser.error("no stock fairseq: set ELBEAM_REFERENCE_PYTHON or give --reference-python")
    options.cache = options.cache.resolve()
    options.bin = options.bin.resolve()
    return options


def main(arguments):
    options = parse_arguments(arguments)
    cells, bad = {}, 0
    try:
        folders = {model.name: prepare(model, options) for model in MODELS}
        for model, name in wanted_cells(options.only or ["*"]):
            started = time.monotonic()
            cell = stock_cell(model, name, folders[model.name], options)
            text, good = cell.failure or "stock is there", True
            if not options.stock_only:
                text, good = elbeam_cell(model, name, folders[model.name], cell, options)
                cells[model.name, name] = text
            bad += not good
            seconds = time.monotonic() - started
            print(f"{model.name}/{name}: {text} ({seconds:.1f} s)", flush=True)
        if options.out:
            facts = run.reference_facts(options.reference_python)
            options.out.write_text(as_markdown(cells, facts), encoding="utf-8")
    except ParityError as error:
        print(f"parity matrix: {error}", file=sys.stderr)
        return 3
    print(f"{len(cells)} cells compared, {bad} bad")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
