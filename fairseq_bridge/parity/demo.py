"""What `make demo` shows: real text through elbeam-generate, next to stock fairseq's stored output.

    python3 -m fairseq_bridge.parity.demo --elbeam build/bin/elbeam-generate tests/data/MODEL

MODEL is a golden (golden.py): the command, stock's output, and the model and data beside them. This
driver starts the program and compares lines; the decoding itself is C++ alone.
"""

import argparse
import pathlib
import shlex
import shutil
import sys
import textwrap

from . import ParityError, compare, golden, output, report, run

SHOWN = 8  # sentences printed side by side


def show_pairs(stock, elbeam, width):
    """Sentences spread evenly over the output, so that short and long ones are seen."""
    half = max(24, (width - 3) // 2)
    ids = [i for i in elbeam.order if i in stock.sentences]
    step = max(1, len(ids) // SHOWN)
    print(f"{'source':<{half}} | what elbeam makes of it (= : stock fairseq printed the same)")
    for sentence_id in ids[::step][:SHOWN]:
        sentence = elbeam.sentences[sentence_id]
        best, expected = sentence.hypotheses[0], stock.sentences[sentence_id].hypotheses[0]
        mark = "= " if best.text == expected.text else "# "
        left = textwrap.wrap(sentence.source or "", half) or [""]
        right = textwrap.wrap(best.detokenized or best.text, half - 2) or [""]
        print("-" * half + "-+-" + "-" * half)
        for row in range(max(len(left), len(right))):
            one = left[row] if row < len(left) else ""
            other = right[row] if row < len(right) else ""
            print(f"{one:<{half}} | {mark if row == 0 else '  '}{other}".rstrip())
    print("-" * half + "-+-" + "-" * half)


def count_equal(stock, elbeam):
    """Sentences whose every hypothesis has stock's tokens."""
    return sum(
        sentence_id in elbeam.sentences
        and [h.tokens for h in sentence.hypotheses]
        == [h.tokens for h in elbeam.sentences[sentence_id].hypotheses]
        for sentence_id, sentence in stock.sentences.items()
    )


def demonstrate(binary, folder, extra):
    stored = golden.read(folder)
    models = ", ".join(stored.meta["model"])
    print(f"model    {folder}: {models}")
    print(
        f"stock    fairseq {stored.meta.get('fairseq', '?')}, torch {stored.meta.get('torch', '?')}"
    )
    command = shlex.join(["elbeam-generate", *stored.flags, *extra])
    print(f"command  {command}\n", flush=True)
    done = run.run_elbeam(pathlib.Path(binary).resolve(), stored.flags, extra, None, folder)
    stock, elbeam = output.parse(stored.stock, "stock"), output.parse(done.text, "elbeam")
    show_pairs(stock, elbeam, min(shutil.get_terminal_size((120, 24)).columns, 140))
    for line in elbeam.tail:
        print(line)
    comparison = compare.compare(stock, elbeam)
    equal, total = count_equal(stock, elbeam), len(stock.sentences)
    print(
        f"\n{equal} of {total} sentences equal to stock fairseq's stored output"
        f" (worst |score difference| {comparison.worst_score_difference:.2g})"
    )
    print(
        f"{done.seconds:.1f} s from start to end, model loading included;"
        f" peak memory {done.peak_rss_bytes / 2**20:.0f} MiB"
    )
    if report.verdict(comparison) == "equal":
        return 0
    print("\n" + report.as_text(comparison))
    return 1


def main(arguments):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--elbeam", default="build/bin/elbeam-generate", metavar="BIN")
    parser.add_argument("--elbeam-flags", default="", help="more flags for elbeam, one string")
    parser.add_argument("model", help="folder with command.txt, stock.txt.gz and meta.json")
    options = parser.parse_args(arguments)
    try:
        return demonstrate(options.elbeam, options.model, shlex.split(options.elbeam_flags))
    except ParityError as error:
        print(f"demo: {error}", file=sys.stderr)
        return 3


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
