"""The verdict, for people (stdout) and for programs (JSON)."""

import collections
import dataclasses

SHOWN = 10  # differences printed in full; the JSON report holds all


def verdict(comparison):
    """ "equal", "equal but for proven ties", or "different"."""
    if any(difference.verdict not in ("tie", "ordering") for difference in comparison.differences):
        return "different"
    return "equal but for proven ties" if comparison.differences else "equal"


def as_json(comparison, facts):
    """facts: versions, flags, hashes, times (a dict); the counts are added to it."""
    counts = {
        field.name: getattr(comparison, field.name)
        for field in dataclasses.fields(comparison)
        if field.name != "differences"
    }
    return {
        **facts,
        "verdict": verdict(comparison),
        "counts": counts,
        "verdicts": dict(collections.Counter(one.verdict for one in comparison.differences)),
        "differences": [dataclasses.asdict(one) for one in comparison.differences],
    }


def as_text(comparison):
    found = comparison.differences
    by_verdict = collections.Counter(one.verdict for one in found)
    lines = [
        f"sentences   {comparison.sentences} aligned",
        f"hypotheses  {comparison.hypotheses} compared, tokens of {comparison.tokens_equal} equal",
        f"scores      worst |difference| {comparison.worst_score_difference:.3g} (base 2);"
        f" {comparison.scores_equal_as_printed} equal to the last digit",
        f"P- values   {comparison.positional_equal_as_printed} of {comparison.positional_compared}"
        " equal as printed",
        f"order       {'equal' if comparison.order_equal else 'differs'};"
        f" output {'equal byte for byte' if comparison.bytes_equal else 'not equal byte for byte'}",
        f"differences {by_verdict['tie']} proven ties, {by_verdict['ordering']} orderings of ties,"
        f" {by_verdict['semantic']} semantic, {by_verdict['fail']} others",
    ]
    for difference in found[:SHOWN]:
        lines += _describe(difference)
    if len(found) > SHOWN:
        lines.append(f"... and {len(found) - SHOWN} more")
    lines.append(f"verdict     {verdict(comparison)}")
    return "\n".join(lines)


def _describe(difference):
    place = "" if difference.sentence is None else f" in sentence {difference.sentence}"
    place += "" if difference.rank is None else f", hypothesis {difference.rank + 1}"
    fp64 = difference.fp64 or (None, None)
    return [
        f"  {difference.verdict}: {difference.kind}{place}"
        + (f" ({difference.why})" if difference.why else ""),
        f"    stock:  {difference.stock}"
        + (f"  [fp64 {fp64[0]:.9f}]" if fp64[0] is not None else ""),
        f"    elbeam: {difference.elbeam}"
        + (f"  [fp64 {fp64[1]:.9f}]" if fp64[1] is not None else ""),
    ]
