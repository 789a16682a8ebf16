"""How many best hypotheses of two programs are the same."""

from .programs import ROOT  # noqa: F401  (puts the repository on the path)

from fairseq_bridge.parity import compare  # isort: skip


def with_stock(elbeam, stock):
    verdict = compare.compare(stock, elbeam)
    return {"equal": verdict.tokens_equal, "of": verdict.hypotheses}


def with_elbeam(one, other):
    """Two outputs of elbeam-generate that need not be equal, e.g. of int8 and fp32 weights."""
    return _count([texts(one)[key] == text for key, text in texts(other).items()])


def with_ctranslate2(elbeam, lines, forced):
    """A forced length leaves the last step without a common meaning: it is not compared."""
    ours = texts(elbeam)
    pairs = [(ours[i].split(" "), line.split(" ")) for i, line in enumerate(lines)]
    if forced:
        pairs = [(a[: len(b) - 1], b[: len(b) - 1]) for a, b in pairs]
    return _count([a == b for a, b in pairs])


def texts(parsed):
    """Best hypothesis by sentence number."""
    return {i: sentence.hypotheses[0].text for i, sentence in parsed.sentences.items()}


def _count(equal):
    return {"equal": sum(equal), "of": len(equal)}
