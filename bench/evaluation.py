"""How much faster elbeam-score is than what it is compared with, on one thread.

    python3 -m bench.evaluation --elbeam build/bin/elbeam-score [--copies 4]

Needs an environment with sacrebleu and rouge-score. The texts are tests/data/eval's real segments and
summaries. Of the references only the scoring itself is timed, of elbeam-score the whole process;
both by the processor time of one thread, best of three, in turns, so that a busy machine disturbs
neither more.
"""

import argparse
import gzip
import json
import pathlib
import resource
import subprocess
import tempfile
import time

DATA = pathlib.Path(__file__).resolve().parents[1] / "tests" / "data" / "eval"


def segments_of(name, copies):
    with gzip.open(DATA / f"{name}.jsonl.gz", "rt", encoding="utf-8", newline="\n") as file:
        segments = [json.loads(line) for line in file]
    return segments * copies


def reference_seconds(metric, segments):
    import sacrebleu
    from rouge_score import rouge_scorer

    hypotheses = [s["hypothesis"] for s in segments]
    references = [s["reference"][0] for s in segments]
    if metric.startswith("rouge"):
        scorer = rouge_scorer.RougeScorer([metric])
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


def elbeam_seconds(program, metric, folder):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [program, "--sys", folder / "sys", "--ref", folder / "ref", "--metrics", metric]
    command += ["--sentence-separator", "<n>", "--threads", "1", "--json"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--elbeam", required=True)
    parser.add_argument("--copies", type=int, default=4, help="of the texts, one after the other")
    parser.add_argument("--metrics", default="bleu,chrf,chrf++,rouge1,rouge2,rougeL,rougeLsum")
    options = parser.parse_args()
    for metric in options.metrics.split(","):
        name = "summaries" if metric.startswith("rouge") else "real"
        segments = segments_of(name, options.copies)
        with tempfile.TemporaryDirectory() as scratch:
            folder = pathlib.Path(scratch)
            for file, texts in (
                ("sys", [s["hypothesis"] for s in segments]),
                ("ref", [s["reference"][0] for s in segments]),
            ):
                lines = "".join(text.replace("\n", "<n>") + "\n" for text in texts)
                (folder / file).write_text(lines, encoding="utf-8", newline="\n")
            theirs, ours = [], []
            for _ in range(3):
                theirs.append(reference_seconds(metric, segments))
                ours.append(elbeam_seconds(options.elbeam, metric, folder))
        print(
            f"{metric:10} {len(segments)} {name}: {min(theirs):8.3f} s, elbeam {min(ours):8.4f} s,"
            f" {min(theirs) / min(ours):6.1f} times as fast"
        )


if __name__ == "__main__":
    main()
