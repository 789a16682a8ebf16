"""Why hypotheses differ: a tie that float32 cannot decide, the order of tied ones, or a mistake.

The judge is a third computation: both hypotheses are scored by teacher forcing in fp64, with stock
fairseq's own model (rescore.py). design: a gap below TIE_GAP is a proven tie, anything else fails.
"""

TIE_GAP = 1e-5
# A printed score may be this far from its tokens' fp64 score: float32 sums over the length.
BELONGS = 2e-4


def token_pairs(stock, elbeam, differences):
    """[(difference, stock's hypothesis, elbeam's)] of every "tokens" difference."""
    return [
        (
            difference,
            stock.sentences[difference.sentence].hypotheses[difference.rank],
            elbeam.sentences[difference.sentence].hypotheses[difference.rank],
        )
        for difference in differences
        if difference.kind == "tokens"
    ]


def classify(stock, elbeam, differences, fp64_score):
    """Sets verdict and why of the "tokens" differences, and of what follows from proven ones.

    fp64_score(sentence_id, hypothesis) -> float, base 2 and normalised as printed, or None where it
    could not be computed.
    """
    for difference, one, other in token_pairs(stock, elbeam, differences):
        scores = [fp64_score(difference.sentence, hypothesis) for hypothesis in (one, other)]
        if None in scores:
            difference.why = "not proven: no fp64 score"
            continue
        difference.fp64 = (scores[0], scores[1])
        gap = abs(scores[0] - scores[1])
        stranger = next(
            (
                f"{name} printed {hypothesis.score_text} for tokens of fp64 score {score:.9f}"
                for name, hypothesis, score in (
                    ("stock", one, scores[0]),
                    ("elbeam", other, scores[1]),
                )
                if not abs(hypothesis.score - score) <= BELONGS
            ),
            None,
        )
        if stranger:
            difference.verdict, difference.why = "semantic", stranger
        elif not gap < TIE_GAP:
            difference.verdict, difference.why = "semantic", f"fp64 gap {gap:.3g} is no tie"
        else:
            both = [
                sorted(
                    hypothesis.tokens
                    for hypothesis in output.sentences[difference.sentence].hypotheses
                )
                for output in (stock, elbeam)
            ]
            difference.verdict = "ordering" if both[0] == both[1] else "tie"
            difference.why = f"fp64 gap {gap:.3g} < {TIE_GAP:g}"
    _excuse_tail(differences)


def classify_draws(differences, answer):
    """answer: what resample.py found for the runs "stock" and "elbeam". A sampled output is excused
    as a whole: a draw that falls otherwise changes what follows it, in other sentences too."""
    failures = [f"{name}: {run['failure']}" for name, run in answer.items() if run["failure"]]
    one, other = (set(answer[name]["ties"]) for name in ("stock", "elbeam"))
    drawn_otherwise = sorted(one ^ other)
    for difference in differences:
        if difference.kind != "tokens":
            continue
        if failures or not drawn_otherwise:
            difference.why = "not proven: " + ("; ".join(failures) or "the draws are the same")
        else:
            difference.verdict, difference.draws = "tie", len(drawn_otherwise)
            difference.why = (
                f"follows from {len(drawn_otherwise)} draw(s) that fp64 decides by less than"
                f" {TIE_GAP:g}, the first of them {drawn_otherwise[0]}"
            )
    _excuse_tail(differences)


def _excuse_tail(differences):
    """The corpus score may change when, and only when, every changed hypothesis is a proven tie."""
    tokens = [difference for difference in differences if difference.kind == "tokens"]
    if tokens and all(difference.verdict in ("tie", "ordering") for difference in tokens):
        for difference in differences:
            if difference.kind == "tail":
                difference.verdict, difference.why = "tie", "follows from the proven ties above"
