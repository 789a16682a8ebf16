#!/usr/bin/env python3
"""lm_statistics.json: what stock fairseq's eval_lm() makes of given scores.

    cd tests/data/tools && $ELBEAM_REFERENCE_PYTHON make_lm_statistics.py
"""

import json
import random

import torch
from fairseq.data import Dictionary
from fairseq_cli import eval_lm

WORDS = ["ein", "gro@@", "ss@@", "er", "hund", "kat@@", "ze", ".", "@@"]


def samples(rng, count):
    result = []
    for i in range(count):
        words = rng.choices(range(4, 4 + len(WORDS)), k=rng.randint(1, 9))
        tokens = words + [2] * rng.randint(0, 1)
        scores = [-rng.choice([0.0, rng.random() * 8, rng.random() / 64]) for _ in tokens]
        result.append({"id": 7 * i, "tokens": tokens, "scores": torch.tensor(scores).tolist()})
    return result


def stock(dictionary, batch, post_process):
    """The lines that eval_lm logs, and what it returns."""
    lines = []

    class Scorer:
        def __init__(self, *_):
            pass

        def generate(self, _, sample):
            return [[{"tokens": torch.tensor(s["tokens"]),
                      "positional_scores": torch.tensor(s["scores"])}] for s in sample["samples"]]

    eval_lm.SequenceScorer = Scorer
    eval_lm.logger.info = lambda message: lines.append(str(message))
    sample = {"net_input": {}, "ntokens": 1, "id": torch.tensor([s["id"] for s in batch]),
              "samples": batch}
    result = eval_lm.eval_lm([], dictionary, [sample] if batch else [], post_process=post_process,
                             output_word_probs=True, output_word_stats=True, device="cpu")
    probs = lines[: len(batch)]
    assert lines[len(batch)].startswith("Evaluated ")
    return {"probs": probs, "stats": lines[len(batch) + 1 :],
            "result": "Loss (base 2): {:.4f}, Perplexity: {:.2f}".format(*result.values())}


def main():
    rng = random.Random(1)
    dictionary = Dictionary()
    for word in WORDS:
        dictionary.add_symbol(word)
    cases = []
    for mark in (None, "@@ "):
        for batch in (samples(rng, 12), samples(rng, 1), []):
            cases.append({"mark": mark and mark.rstrip(), "samples": batch,
                          **stock(dictionary, batch, mark)})
    with open("lm_statistics.json", "w", encoding="utf-8") as file:
        json.dump({"words": WORDS, "cases": cases}, file, indent=0)


if __name__ == "__main__":
    main()
