"""What differs between two outputs, sentence by sentence; classify.py judges the causes."""

import dataclasses
import math
import typing

SCORE_TOLERANCE = 1e-5  # of the printed (base 2, length-normalised) score
# Four units in the last place of a float32. It matters for unnormalised scores of long sentences: they
# are in the hundreds, where neighbouring numbers are further apart than the tolerance, and stock's
# own sum is rounded at each of its hundreds of steps.
SCORE_RESOLUTION = 2.0**-21
POSITIONAL_TOLERANCE = 1e-4 + 1e-9  # P- lines have four decimals: one unit in the last place


@dataclasses.dataclass
class Difference:
    # "missing" "extra" "source" "target" "time" "constraints" "count" "tokens" "score" "positional" "detokenized"
    # "alignment" "order" "tail"
    kind: str
    sentence: typing.Optional[int]  # None: the difference belongs to the whole output
    rank: typing.Optional[int]  # of the hypothesis, 0 is the best
    stock: typing.Any
    elbeam: typing.Any
    verdict: str = "fail"  # classify.py turns it into "tie" or "ordering" where that is proven
    why: str = ""
    fp64: typing.Optional[tuple[float, float]] = None  # scores of stock's and elbeam's hypothesis
    draws: int = 0  # of a sampled output: draws that may fall either way, and fell otherwise


@dataclasses.dataclass
class Comparison:
    sentences: int  # present in both
    hypotheses: int  # compared rank by rank
    tokens_equal: int  # of those
    worst_score_difference: float  # among hypotheses of equal tokens
    scores_equal_as_printed: int
    positional_compared: int
    positional_equal_as_printed: int
    order_equal: bool
    bytes_equal: bool
    differences: list[Difference]


def compare(stock, elbeam, score_tolerance=SCORE_TOLERANCE):
    """stock, elbeam: output.Output. Every difference of the content is listed."""
    common = [sentence_id for sentence_id in stock.order if sentence_id in elbeam.sentences]
    result = Comparison(
        sentences=len(common),
        hypotheses=0,
        tokens_equal=0,
        worst_score_difference=0.0,
        scores_equal_as_printed=0,
        positional_compared=0,
        positional_equal_as_printed=0,
        order_equal=stock.order == elbeam.order,
        bytes_equal=stock.lines == elbeam.lines,
        differences=[],
    )
    found = result.differences
    for sentence_id in stock.order:
        if sentence_id not in elbeam.sentences:
            found.append(Difference("missing", sentence_id, None, "printed", "absent"))
    for sentence_id in elbeam.order:
        if sentence_id not in stock.sentences:
            found.append(Difference("extra", sentence_id, None, "absent", "printed"))
    for sentence_id in common:
        _compare_sentence(
            result,
            sentence_id,
            stock.sentences[sentence_id],
            elbeam.sentences[sentence_id],
            score_tolerance,
        )
    if not result.order_equal and len(common) == len(stock.order) == len(elbeam.order):
        place = next(
            i for i, pair in enumerate(zip(stock.order, elbeam.order)) if pair[0] != pair[1]
        )
        found.append(
            Difference(
                "order",
                None,
                None,
                stock.order[place],
                elbeam.order[place],
                why=f"print position {place}",
            )
        )
    if stock.tail != elbeam.tail:
        found.append(Difference("tail", None, None, stock.tail, elbeam.tail))
    return result


def _compare_sentence(result, sentence_id, stock, elbeam, score_tolerance):
    def differ(kind, rank, one, other):
        result.differences.append(Difference(kind, sentence_id, rank, one, other))

    if stock.source != elbeam.source:
        differ("source", None, stock.source, elbeam.source)
    if stock.target != elbeam.target:
        differ("target", None, stock.target, elbeam.target)
    if stock.timed != elbeam.timed:
        differ("time", None, stock.timed, elbeam.timed)
    if stock.constraints != elbeam.constraints:
        differ("constraints", None, stock.constraints, elbeam.constraints)
    if len(stock.hypotheses) != len(elbeam.hypotheses):
        differ("count", None, len(stock.hypotheses), len(elbeam.hypotheses))
    for rank, (one, other) in enumerate(zip(stock.hypotheses, elbeam.hypotheses)):
        result.hypotheses += 1
        if one.tokens != other.tokens:
            differ("tokens", rank, one.text, other.text)
            continue
        result.tokens_equal += 1
        _compare_scores(result, differ, rank, one, other, score_tolerance)
        if one.detokenized != other.detokenized:
            differ("detokenized", rank, one.detokenized, other.detokenized)
        if not _alignments_agree(one.alignment, other.alignment):
            differ("alignment", rank, one.alignment, other.alignment)


def _alignments_agree(one, other):
    """Hard alignments are equal; of soft ones (p,p,... per token) each number has six decimals, and
    may differ by two units of the last."""
    if one is None or other is None or "," not in one + other:
        return one == other
    rows = [[token.split(",") for token in text.split(" ")] for text in (one, other)]
    if [len(row) for row in rows[0]] != [len(row) for row in rows[1]]:
        return False
    return all(
        abs(float(p) - float(q)) <= 2e-6 + 1e-12
        for pair in zip(*rows)
        for p, q in zip(*pair)
    )


def _compare_scores(result, differ, rank, one, other, score_tolerance):
    result.scores_equal_as_printed += one.score_text == other.score_text
    gap = _gap(one.score, other.score)
    result.worst_score_difference = max(result.worst_score_difference, gap)
    if not gap <= max(score_tolerance * _tokens_in_score(one), SCORE_RESOLUTION * abs(one.score)):
        differ("score", rank, one.score_text, other.score_text)
    worst = 0.0
    for left, right in zip(one.positional, other.positional):
        result.positional_compared += 1
        result.positional_equal_as_printed += left == right
        worst = max(worst, _gap(float(left), float(right)))
    if not worst <= POSITIONAL_TOLERANCE:
        differ("positional", rank, " ".join(one.positional), " ".join(other.positional))


def _tokens_in_score(hypothesis):
    """The tolerance is that of a score normalised by length. Where a score is the sum over tokens
    (--unnormalized, --lenpen 0), or more (--lenpen -1), it counts for each token."""
    total = abs(sum(float(value) for value in hypothesis.positional))
    if not 0.0 < total < math.inf or not abs(hypothesis.score) < math.inf:
        return 1.0
    return max(1.0, len(hypothesis.positional) * abs(hypothesis.score) / total)


def _gap(one, other):
    """|one - other|; equal infinities are equal, a NaN is infinitely far from everything."""
    if one == other:
        return 0.0
    gap = abs(one - other)
    return math.inf if math.isnan(gap) else gap
