"""Judges the differing hypotheses of two outputs by a third computation, in fp64 by stock's own
model: their scores (rescore.py), or where the search draws them, the draws (resample.py)."""

import collections

from . import classify, run


def explain(stock, elbeam, differences, flags, folder, python):
    """Sets verdict and why of the "tokens" differences and of what follows from them.

    stock, elbeam: output.Output of whole tokens (no --post-process), made with these flags.
    """
    pairs = classify.token_pairs(stock, elbeam, differences)
    if not pairs:
        return
    if any(flag.split("=")[0] == "--sampling" for flag in flags):
        answer = run.resampled(python, flags, folder, {"stock": stock, "elbeam": elbeam})
        classify.classify_draws(differences, answer)
        return
    asked = [(d.sentence, hypothesis) for d, *both in pairs for hypothesis in both]
    scores = run.fp64_scores(python, flags, folder, asked)
    table = {(sentence, h.tokens): score for (sentence, h), score in zip(asked, scores)}
    classify.classify(stock, elbeam, differences, lambda sentence, h: table[sentence, h.tokens])


def count_of_ties(differences):
    """How many ties were proven: hypotheses, or where a search draws them, draws."""
    draws = collections.Counter(d.draws for d in differences if d.draws)
    if draws:
        return max(draws)
    return sum(1 for d in differences if d.kind == "tokens")
