"""Compares elbeam-generate with stock fairseq-generate, sentence by sentence.

    python3 -m fairseq_bridge.parity -- DATA --path CKPT --cpu ...      # runs both, same flags
    python3 -m fairseq_bridge.parity --from-golden DIR                  # elbeam against a golden
    python3 -m fairseq_bridge.parity --golden DIR -- DATA --path CKPT   # writes a golden into DIR
    python3 -m fairseq_bridge.parity --interactive -- DATA --path CKPT --input FILE ...

With --interactive both are fairseq-interactive's programs: lines come from --input, times are not
compared, and a difference of tokens is not scored again. With --golden, paths in the flags are relative to DIR.

Equal means: the tokens of every hypothesis, its score within 1e-5, the P- values within their last
digit, the S-, T-, D- and A- lines, the print order and the closing line. Where tokens differ, both
hypotheses are scored again in fp64 with stock's own model; a gap below 1e-5 is a proven tie.
Exit status: 0 equal or proven ties only, 1 different, 2 usage, 3 the comparison could not be made.
"""

import argparse
import json
import os
import pathlib
import shlex
import sys

from . import ParityError, compare, golden, output, proof, report, run


def parse_arguments(arguments):
    parser = argparse.ArgumentParser(
        prog="python3 -m fairseq_bridge.parity",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--reference-python",
        default=os.environ.get("ELBEAM_REFERENCE_PYTHON"),
        metavar="PY",
        help="Python with stock fairseq (default: $ELBEAM_REFERENCE_PYTHON)",
    )
    parser.add_argument(
        "--interactive", action="store_true", help="fairseq-interactive and elbeam-interactive"
    )
    parser.add_argument(
        "--elbeam", metavar="BIN", help="default: build/bin/elbeam-generate, or -interactive"
    )
    parser.add_argument(
        "--elbeam-flags", default="", metavar="FLAGS", help="more flags for elbeam, one string"
    )
    parser.add_argument(
        "--elbeam-path", metavar="FILE", help="model for elbeam instead of --path (an archive)"
    )
    parser.add_argument(
        "--stock", metavar="FILE", help="stock's stored output, .gz or plain; fairseq is not run"
    )
    parser.add_argument(
        "--golden", metavar="DIR", help="run stock in DIR and store its output there"
    )
    parser.add_argument(
        "--from-golden", metavar="DIR", help="flags and stock's output from this golden"
    )
    parser.add_argument(
        "--any-order", action="store_true", help="a different print order is no difference"
    )
    parser.add_argument("--tolerance", type=float, default=compare.SCORE_TOLERANCE, metavar="X")
    parser.add_argument("--out", metavar="FILE", help="write the report as JSON")
    place = arguments.index("--") if "--" in arguments else len(arguments)
    options, flags = parser.parse_args(arguments[:place]), arguments[place + 1 :]
    if bool(flags) == bool(options.from_golden):
        parser.error("give fairseq-generate's arguments after --, or --from-golden")
    if options.interactive and (options.golden or options.from_golden):
        parser.error("--interactive keeps no goldens")
    if options.golden and (options.stock or options.from_golden):
        parser.error("--golden runs stock itself; leave --stock and --from-golden out")
    if not options.reference_python and not (options.stock or options.from_golden):
        parser.error(
            "no stock fairseq: set ELBEAM_REFERENCE_PYTHON, or give --stock or --from-golden"
        )
    return options, flags


class Job:
    """One comparison: where it runs, with which flags, against what."""

    def __init__(self, options, flags):
        self.options = options
        self.folder = options.golden or options.from_golden or None  # None: the current folder
        self.flags = flags
        self.facts = {}
        self.tool = "interactive" if options.interactive else "generate"
        self.binary = pathlib.Path(options.elbeam or f"build/bin/elbeam-{self.tool}").resolve()
        self.extra = shlex.split(options.elbeam_flags)
        self.model = pathlib.Path(options.elbeam_path).resolve() if options.elbeam_path else None

    def stock_text(self):
        options = self.options
        if options.from_golden:
            stored = golden.read(options.from_golden)
            self.flags = stored.flags
            self.facts.update(stored.meta)
            return stored.stock
        self.facts.update(golden.facts(self.flags, self.folder or "."))
        if options.stock:
            return golden.read_stock(options.stock)
        reference = run.reference_facts(options.reference_python)
        stock = run.run_stock(options.reference_python, self.flags, self.folder, self.tool)
        self.facts.update(reference)
        self.facts["stock_run"] = {"seconds": stock.seconds, "peak_rss_bytes": stock.peak_rss_bytes}
        if options.golden:
            golden.write(options.golden, self.flags, stock.text, reference)
        return stock.text

    def elbeam_text(self):
        done = run.run_elbeam(self.binary, self.flags, self.extra, self.model, self.folder)
        self.facts["elbeam"] = {
            "binary": golden.sha256(self.binary),
            "flags": self.extra,
            "seconds": done.seconds,
            "peak_rss_bytes": done.peak_rss_bytes,
        }
        return done.text

    def explain(self, stock, elbeam, differences):
        """Scores differing hypotheses in fp64, after a run that prints whole tokens if need be."""
        if not any(difference.kind == "tokens" for difference in differences):
            return
        python = self.options.reference_python
        if not python:
            for difference in differences:
                difference.why = difference.why or "not proven: ELBEAM_REFERENCE_PYTHON is not set"
            return
        if self.tool == "interactive":
            for difference in differences:
                difference.why = difference.why or "not proven: no data to score again"
            return
        whole = run.without_post_process(self.flags)
        if whole is not None:
            one = output.parse(run.run_stock(python, whole, self.folder).text, "stock")
            other_run = run.run_elbeam(self.binary, whole, self.extra, self.model, self.folder)
            other = output.parse(other_run.text, "elbeam")
        else:
            one, other = stock, elbeam
        proof.explain(one, other, differences, whole or self.flags, self.folder, python)


def main(arguments):
    options, flags = parse_arguments(arguments)
    job = Job(options, flags)
    try:
        stock = output.parse(job.stock_text(), "stock")
        elbeam = output.parse(job.elbeam_text(), "elbeam")
        comparison = compare.compare(stock, elbeam, options.tolerance)
        if options.any_order:
            comparison.differences = [d for d in comparison.differences if d.kind != "order"]
        job.explain(stock, elbeam, comparison.differences)
    except ParityError as error:
        print(f"parity: {error}", file=sys.stderr)
        return 3
    print(report.as_text(comparison))
    if options.out:
        text = json.dumps(report.as_json(comparison, job.facts), indent=2) + "\n"
        pathlib.Path(options.out).write_text(text, encoding="utf-8")
    return 1 if report.verdict(comparison) == "different" else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
