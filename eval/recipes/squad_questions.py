#!/usr/bin/env python3
"""Questions to sentences of SQuAD, from passages to BLEU, in one command:

    python3 eval/recipes/squad_questions.py --source test.src --reference test.tgt \\
        --model checkpoint_best.pt --encoder-json encoder.json --vocab-bpe vocab.bpe --out run

Beam 4, lenpen 1.0, inputs of at most 512 tokens. Scores are of lower-cased text, as published ones
of the split of Du et al. (2017). The same command goes on where a killed run stopped.
docs/recipes.md has the conventions.
"""

import sys

import pipeline


def words(text):
    return " ".join(text.split())


def lowered(text):
    return words(text).lower()


RECIPE = pipeline.Recipe(
    name="SQuAD-questions",
    description=__doc__,
    generate_flags=(
        *("--beam", "4", "--lenpen", "1.0", "--max-source-positions", "512"),
        "--truncate-source",
    ),
    score_flags=("--lowercase",),
    metrics="bleu,meteor,rougeL,chrf,distinct2,length-ratio",
    source=words,
    reference=words,
    sentences=lowered,
    reference_sentences=lowered,
)

if __name__ == "__main__":
    sys.exit(pipeline.main(RECIPE))
