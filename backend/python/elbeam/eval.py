"""Scores of texts against references, with the numbers of sacrebleu, rouge-score, ROUGE-1.5.5, nltk.

    from elbeam import eval
    scores = eval.score(hypotheses, references, ["bleu", "rouge1", "rougeLsum"], stemmer=True)
    scores["rouge1"]["fmeasure"]
    both = eval.compare({"stock": a, "mine": b}, references, ["bleu"])
    both["mine"]["bleu"]["p_value"]

Metrics by name: bleu, chrf, chrf++, ter, wer, cer, rouge1 ... rouge9, rougeL, rougeLsum (Google's
rouge-score; sentences are lines of a text), rouge155-1 ... rouge155-9, rouge155-L, -W, -S, -SU
(ROUGE-1.5.5.pl), meteor, exact-match, token-f1 (SQuAD); distinctN, repetitionN, length-ratio, and,
with sources, noveltyN, coverage, density. Scales are those of the references: percent for BLEU,
chrF, TER, WER and SQuAD's two, fractions for the others. docs/evaluation.md tells what each equals.

Options, all by keyword: lowercase (bleu, chrf, wer); tokenize ("none", "13a", "intl", "char", "zh"),
smooth_method ("none", "floor", "add-k", "exp"), smooth_value, max_order, effective_order (bleu);
char_order, word_order, beta, whitespace, eps_smoothing (chrf); normalized, no_punct, asian_support,
case_sensitive (ter); stemmer (rouge); wordnet (meteor: a folder, or "none").

References are a text, or a list of texts, for each hypothesis. Texts are str. Errors are
elbeam.Error. Both functions release the GIL and may be called from several threads.
"""

from . import _elbeam

__all__ = ["compare", "score"]


def _references(references):
    return [[one] if isinstance(one, str) else list(one) for one in references]


def score(hypotheses, references, metrics=("bleu",), *, sources=(), **options):
    """{metric: {"score", "precision", "recall", "fmeasure" where they exist, ..., "signature"}}.

    segments=True adds "segments", the score of each segment. threads: 0 is all cores."""
    options["metrics"] = list(metrics)
    return _elbeam._score(list(hypotheses), _references(references), list(sources or ()), options)


def compare(systems, references, metrics=("bleu",), *, method="bootstrap", sources=(), **options):
    """Significance: {system: {metric: what score() gives, "mean", "ci", "low", "high", "p_value"}}.

    systems: {name: hypotheses}; p-values are of the difference to the first one. method: "bootstrap"
    (paired bootstrap, 95 % intervals) or "randomization" (approximate randomization, p-values
    only). samples: 1,000 by default, 10,000 of randomization. seed: as numpy's default_rng has it;
    the same seed gives sacrebleu's resamples."""
    if method not in ("bootstrap", "randomization"):
        raise ValueError(f"method is bootstrap or randomization, not {method!r}")
    options["metrics"] = list(metrics)
    options["randomization"] = method == "randomization"
    options.setdefault("samples", 10_000 if method == "randomization" else 1_000)
    texts = [list(hypotheses) for hypotheses in systems.values()]
    results = _elbeam._compare(texts, _references(references), list(sources or ()), options)
    return dict(zip(systems, results))
