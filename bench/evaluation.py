"""How much faster elbeam-score is than what it is compared with, on one thread.

    python3 -m bench.evaluation --elbeam build/bin/elbeam-score [--segments 11490]

Needs an environment with sacrebleu and rouge-score. The texts are tests/data/eval's real segments and
summaries, repeated up to a test set's size with their words turned around, so that no line comes
twice (sacrebleu remembers lines). Of the references only the scoring itself is timed, of
elbeam-score the whole process; both by the processor time of one thread (user and system: the kernel
divides runs of 20 ms between the two by guess), median of the rounds, in turns, so that a busy machine
disturbs neither more. Resampling is timed by the clock, on all cores.
"""

import argparse
import gzip
import itertools
import json
import os
import pathlib
import resource
import subprocess
import tempfile
import time
from statistics import median

DATA = pathlib.Path(__file__).resolve().parents[1] / "tests" / "data" / "eval"


def turned(text, places):
    """The same words in another order; lines of a text stay lines."""
    lines = [line.split(" ") for line in text.split("\n")]
    return "\n".join(" ".join(words[places:] + words[:places]) for words in lines)


def segments_of(name, count):
    """Pairs of hypothesis and reference."""
    with gzip.open(DATA / f"{name}.jsonl.gz", "rt", encoding="utf-8", newline="\n") as file:
        segments = [json.loads(line) for line in file]
    return [
        tuple(turned(text, i // len(segments)) for text in (s["hypothesis"], s["reference"][0]))
        for i, s in zip(range(count), itertools.cycle(segments))
    ]


def reference_seconds(metric, segments):
    import sacrebleu
    from rouge_score import rouge_scorer

    hypotheses, references = map(list, zip(*segments))
    if metric.startswith("rouge"):
        name = metric.removesuffix("+stem")
        scorer = rouge_scorer.RougeScorer([name], use_stemmer=name != metric)
        start = time.process_time()
        for hypothesis, reference in zip(hypotheses, references):
            scorer.score(reference, hypothesis)
        return time.process_time() - start
    scorer = {
        "bleu": sacrebleu.BLEU(force=True),
        "chrf": sacrebleu.CHRF(),
        "chrf++": sacrebleu.CHRF(word_order=2),
        "ter": sacrebleu.TER(),
    }[metric]
    # Tokens of a line that was met before come out of a cache: not timed twice.
    if hasattr(scorer, "tokenizer"):
        type(scorer.tokenizer).__call__.cache_clear()
    start = time.process_time()
    scorer.corpus_score(hypotheses, [references])
    return time.process_time() - start


def arguments_of(metric, folder):
    name = metric.removesuffix("+stem")
    arguments = ["--sys", folder / "sys", "--ref", folder / "ref", "--metrics", name]
    arguments += ["--sentence-separator", "<n>", "--json"]
    return arguments + (["--rouge-stemmer"] if name != metric else [])


def elbeam_seconds(program, arguments):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    subprocess.run([program, *arguments], check=True, stdout=subprocess.DEVNULL)
    wall = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, wall


def write(folder, segments):
    for file, texts in zip(("sys", "ref"), zip(*segments)):
        lines = "".join(text.replace("\n", "<n>") + "\n" for text in texts)
        (folder / file).write_text(lines, encoding="utf-8", newline="\n")


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--elbeam", required=True)
    parser.add_argument("--segments", type=int, default=11490, help="CNN/DailyMail's test set")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--metrics",
        default="bleu,chrf,chrf++,ter,rouge1,rouge2,rougeL,rougeLsum,rouge1+stem,rouge2+stem",
    )
    parser.add_argument("--resampling", default="bleu,rouge2", help="metrics to resample; may be empty")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = pathlib.Path(scratch)
        for metric in options.metrics.split(",") if options.metrics else []:
            name = "summaries" if metric.startswith("rouge") else "real"
            segments = segments_of(name, options.segments)
            write(folder, segments)
            arguments = [*arguments_of(metric, folder), "--threads", "1"]
            theirs, ours = [], []
            for _ in range(options.rounds):
                theirs.append(reference_seconds(metric, segments))
                ours.append(elbeam_seconds(options.elbeam, arguments)[0])
            print(
                f"{metric:11} {len(segments)} {name}: {median(theirs):8.3f} s, elbeam "
                f"{median(ours):8.4f} s, {median(theirs) / median(ours):6.1f} times as fast",
                flush=True,
            )
        for metric in options.resampling.split(",") if options.resampling else []:
            write(folder, segments_of("summaries", options.segments))
            arguments = [*arguments_of(metric, folder), "--confidence", "--samples", "1000"]
            walls = [elbeam_seconds(options.elbeam, arguments)[1] for _ in range(options.rounds)]
            print(
                f"{metric:11} {options.segments} summaries, scores and 1,000 resamples: "
                f"{median(walls):.3f} s of wall time on {os.cpu_count()} cores",
                flush=True,
            )


if __name__ == "__main__":
    main()
