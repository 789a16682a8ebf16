#!/usr/bin/env python3
"""CNN/DailyMail summaries with BART, from articles to ROUGE, in one command:

    python3 eval/recipes/cnn_dailymail.py --source test.source --reference test.target \\
        --model bart.large.cnn/model.pt --encoder-json encoder.json --vocab-bpe vocab.bpe --out run

Decoding is the published one of bart.large.cnn: beam 4, lenpen 2.0, 55 to 140 tokens, no trigram
twice. References may have their sentences between <t> and </t>. The same command goes on where a
killed run stopped. docs/recipes.md has the conventions.
"""

import re
import sys

import pipeline

TAGGED = re.compile(r"<t>(.*?)</t>")
SENTENCE_END = re.compile(r"(?<=[.!?])(?P<quote>['\"’”)\]]*)\s+")


def words(text):
    return " ".join(text.split())


def sentences(text):
    """A line break behind . ! ? and what closes with them."""
    return words(SENTENCE_END.sub(r"\g<quote>\n", words(text)).replace("\n", " <n> ")).replace(
        " <n> ", "<n>"
    )


def reference_sentences(line):
    tagged = [words(sentence) for sentence in TAGGED.findall(line)]
    return "<n>".join(tagged) if tagged else sentences(line)


def untagged(line):
    return words(re.sub(r"</?t>", " ", line))


RECIPE = pipeline.Recipe(
    name="CNN-DailyMail",
    description=__doc__,
    generate_flags=(
        *("--beam", "4", "--lenpen", "2.0", "--min-len", "55", "--max-len-b", "140"),
        *("--no-repeat-ngram-size", "3", "--truncate-source"),
    ),
    score_flags=("--rouge-stemmer",),
    metrics="rouge1,rouge2,rougeL,rougeLsum,rouge155,coverage,density,novelty2,length-ratio",
    source=words,
    reference=untagged,
    sentences=sentences,
    reference_sentences=reference_sentences,
)

if __name__ == "__main__":
    sys.exit(pipeline.main(RECIPE))
