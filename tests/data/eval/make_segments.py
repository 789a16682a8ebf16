"""Writes real.jsonl.gz, summaries.jsonl.gz and odd.jsonl.gz, what the golden scores here are of.

    python3 make_segments.py SQUAD_PASSAGES

The real ones are stock fairseq's outputs in ../debian_de_en and ../squad_qg_bart with their targets
(and, as a second reference for a part of them, another output). The summaries are sentences of
SQuAD passages (a file with one passage a line). The odd ones are what breaks tokenizers.
"""

import gzip
import json
import pathlib
import random
import re
import sys

HERE = pathlib.Path(__file__).resolve().parent
RUNS = (
    ("debian_de_en/stock_beam10_nbest10.txt.gz", "debian_de_en/stock_beam1_nbest1.txt.gz"),
    ("squad_qg_bart/stock.txt.gz", "squad_qg_bart/stock_beam5.txt.gz"),
)


def lines_of(name, kind):
    """(id, text) of the lines of one kind, in the order of the file."""
    with gzip.open(HERE.parent / name, "rt", encoding="utf-8", newline="\n") as file:
        for line in file:
            if line.startswith(kind + "-"):
                fields = line.rstrip("\n").split("\t")
                yield int(fields[0][2:]), fields[-1]


def real():
    segments = []
    for run, other in RUNS:
        targets, second = dict(lines_of(run, "T")), {}
        for number, text in lines_of(other, "D"):
            second.setdefault(number, text)
        for number, text in lines_of(run, "D"):
            references = [targets[number]]
            if len(segments) % 3 == 0:
                references.append(second[number])
            segments.append({"hypothesis": text, "reference": references})
    return segments


def summaries(passages):
    """Sentences a line: three of a passage, against others of it with words left out."""
    chance = random.Random(7)
    for passage in passages:
        sentences = re.split(r"(?<=[.?!]) ", passage)
        for _ in range(2):
            hypothesis = sorted(chance.sample(range(len(sentences)), min(3, len(sentences))))
            references = []
            for _ in range(chance.choice((1, 1, 2))):
                picked = sorted(chance.sample(range(len(sentences)), min(4, len(sentences))))
                picked += hypothesis[:1]
                words = [[w for w in sentences[i].split() if chance.random() < 0.9] for i in picked]
                references.append("\n".join(" ".join(one) for one in words))
            text = "\n".join(sentences[i] for i in hypothesis)
            yield {"hypothesis": text, "reference": references}


WORDS = [
    "the", "cat", "The", "sat", "running", "flies", "dying", "U.S.", "3,000.50", "1.", "10-20", "well-known",
    "don't", "it's.", "&quot;", "&amp;lt;", "<skipped>", "e.g.,", "(", ")", "...", "?!", "$5", "50%", "a/b", "x_y",
    "naïve", "café", "Straße", "ΟΔΟΣ", "ΣΑΣ", "İstanbul", "ǅ", "ﬁ", "Ⅷ", "１２", "٣٫٥", "½", "中文", "汉字。", "日本語、", "ひらがな",
    "カタカナ", "한국어", "、", "「引用」", "，", "！", "שלום", "مرحبا،", "ที่", "हिन्दी।", "😀", "👩‍👩‍👧", "🇩🇪", "é", "e\u0301",
    "\u200b", "\u00ad", "\ufeff", "\u2028", "\u00a0", "\u3000", "\x01", "\x1f", "\x7f", "\t", "—", "–", "“quoted”", "‘it’s’",
    "§", "€", "∑", "→", "…", "«", "»", "¿", "\U0001d400", "\U00020000", "\u2001x", "0-1", "-5", "5-", ".5", "5.", "a.b", "--",
    "@-@", "##", "[", "]", "{", "}", "~", "`", "\\", "|", "news", "innings", "proceed", "skies", "ponies", "agreed", "relational",
    "Hopefulness", "electricity", "controlling", "yyyy", "sky", "bus", "caresses", "feed", "hopping", "falling",
]


def odd():
    chance = random.Random(11)
    segments = []

    def add(hypothesis, *references):
        segments.append({"hypothesis": hypothesis, "reference": list(references)})

    for text in ("", " ", "a", "A", ".", "😀", "中", "ש", "\x01", "a b", "a b c", "a b c d", "a b c d e"):
        add(text, "")
        add("", text)
        add(text, text)
        add(text, "a b c d e f", "")
        add("x y z", text)
    for _ in range(230):
        length = chance.randrange(0, 25)
        hypothesis = [chance.choice(WORDS) for _ in range(length)]
        references = []
        for _ in range(chance.choice((1, 1, 1, 2, 3))):
            words = list(hypothesis)
            for _ in range(chance.randrange(0, 6)):
                if words and chance.random() < 0.4:
                    words.pop(chance.randrange(len(words)))
                if chance.random() < 0.4:
                    words.insert(chance.randrange(len(words) + 1), chance.choice(WORDS))
                if words and chance.random() < 0.4:
                    start = chance.randrange(len(words))
                    run = words[start : start + chance.randrange(1, 5)]
                    del words[start : start + len(run)]
                    at = chance.randrange(len(words) + 1)
                    words[at:at] = run
            references.append(chance.choice((" ", " ", "  ", "")).join(words) if words else "")
        add(chance.choice((" ", " ", " ", "")).join(hypothesis), *references)
    add("word " * 3000, "word " * 2900 + "other " * 50)
    add(" ".join(f"w{i % 97}" for i in range(600)), " ".join(f"w{i % 89}" for i in range(500)))
    add(" ".join(f"w{i}" for i in range(120)), " ".join(f"w{119 - i}" for i in range(120)))
    add("one", " ".join(f"w{i}" for i in range(300)))
    add(" ".join(f"w{i}" for i in range(300)), "one w7")
    add("x" * 5000, "x" * 4990 + "y")
    add("first line\nsecond line\n\nthird .", "second line\nfirst line\n-broken hyphen- ated\nthird .")
    for number in (2, 10, 100):
        add("the cat sat on the mat", *(f"the cat {i} sat on mat {i % 7}" for i in range(number)))
    return segments


def write(name, segments):
    text = "".join(json.dumps(s, ensure_ascii=False) + "\n" for s in segments)
    with open(HERE / name, "wb") as file, gzip.GzipFile("", "wb", 9, file, mtime=0) as out:
        out.write(text.encode("utf-8"))
    print(name, len(segments), "segments")


def main():
    passages = pathlib.Path(sys.argv[1]).read_text(encoding="utf-8").split("\n")[:-1]
    write("real.jsonl.gz", real())
    write("summaries.jsonl.gz", list(summaries(passages)))
    write("odd.jsonl.gz", odd())


if __name__ == "__main__":
    main()
