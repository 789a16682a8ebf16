"""Writes expected.json.gz: what the reference implementations say of this folder's segments.

    python3 make_scores.py [metric...]

Needs PyPI's sacrebleu 2.6.0. Each entry: elbeam-score's flags, and for both files the corpus score
(or the mean over segments), the signature where the reference has one, and every segment's score.
"""

import gzip
import json
import pathlib
import sys

import sacrebleu

HERE = pathlib.Path(__file__).resolve().parent


def segments_of(name):
    with gzip.open(HERE / name, "rt", encoding="utf-8", newline="\n") as file:
        return [json.loads(line) for line in file]


def of_sacrebleu(metric, segments):
    most = max(len(s["reference"]) for s in segments)
    references = [
        [s["reference"][i] if i < len(s["reference"]) else None for s in segments]
        for i in range(most)
    ]
    statistics = metric._extract_corpus_statistics([s["hypothesis"] for s in segments], references)
    scores = [metric._compute_score_from_stats(list(one)).score for one in statistics]
    return {
        "score": metric._aggregate_and_compute(statistics).score,
        "signature": str(metric.get_signature()),
        "segments": scores,
    }


def sacrebleu_entries():
    bleu, chrf, ter = sacrebleu.BLEU, sacrebleu.CHRF, sacrebleu.TER
    yield "bleu", [], bleu()
    for tokenize in ("none", "intl", "char", "zh"):
        yield "bleu", ["--tokenize", tokenize], bleu(tokenize=tokenize)
    yield "bleu", ["--lowercase"], bleu(lowercase=True)
    yield "bleu", ["--effective-order"], bleu(effective_order=True)
    for method in ("none", "floor", "add-k"):
        yield "bleu", ["--smooth-method", method], bleu(smooth_method=method)
    yield (
        "bleu",
        ["--smooth-method", "floor", "--smooth-value", "0.01"],
        bleu(smooth_method="floor", smooth_value=0.01),
    )
    yield "bleu", ["--max-ngram-order", "2"], bleu(max_ngram_order=2)
    yield "chrf", [], chrf()
    yield "chrf++", [], chrf(word_order=2)
    yield "chrf", ["--lowercase"], chrf(lowercase=True)
    yield (
        "chrf",
        ["--chrf-whitespace", "--chrf-char-order", "3", "--chrf-beta", "1"],
        chrf(whitespace=True, char_order=3, beta=1),
    )
    yield "chrf++", ["--chrf-eps-smoothing"], chrf(word_order=2, eps_smoothing=True)
    yield "ter", [], ter()
    yield "ter", ["--ter-normalized", "--ter-asian-support"], ter(normalized=True, asian_support=True)
    yield (
        "ter",
        ["--ter-no-punct", "--ter-asian-support", "--ter-case-sensitive"],
        ter(no_punct=True, asian_support=True, case_sensitive=True),
    )
    yield "ter", ["--ter-normalized", "--ter-no-punct"], ter(normalized=True, no_punct=True)


def entries(files):
    for name, flags, metric in sacrebleu_entries():
        yield name, flags, {file: of_sacrebleu(metric, files[file]) for file in files}


def main():
    files = {name: segments_of(name + ".jsonl.gz") for name in ("real", "odd")}
    out = []
    for name, flags, results in entries(files):
        print(name, *flags, {file: result["score"] for file, result in results.items()})
        for result in results.values():
            # Twelve digits are more than the comparison looks at.
            result["segments"] = [float(f"{score:.12g}") for score in result["segments"]]
        out.append({"metric": name, "flags": flags, **results})
    text = json.dumps(out, separators=(",", ":"))
    with open(HERE / "expected.json.gz", "wb") as raw:
        with gzip.GzipFile("", "wb", 9, raw, mtime=0) as file:
            file.write(text.encode("utf-8"))


if __name__ == "__main__":
    sys.exit(main())
