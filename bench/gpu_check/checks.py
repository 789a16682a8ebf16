"""The parts of gpu_check: kernels against double precision, decoding against the CPU, and what is measured."""

import dataclasses

from . import programs

DATA = programs.ROOT / "tests" / "data"
SCORE_TOLERANCE = 2e-5  # of fp32, as in tests/cli/device_test.py
KINDS = {
    "copied": "(a) copied MHA",
    "shared": "(b) beam-shared MHA",
    "torch": "(c) unfused EL, PyTorch",
    "el": "(d) fused EL",
}


@dataclasses.dataclass(frozen=True)
class Plan:
    kernel_tests: str  # GoogleTest filter
    models: tuple  # (folder, flags)
    settings: tuple  # (beam, attention)
    step: tuple  # sentences, beam, source, heads, dim, layers
    most_sentences: int  # that the search for the largest batch tries
    batches: tuple  # of whole decodes


BUNDLED = (("debian_de_en", ()), ("squad_qg_bart", ("--truncate-source",)))
FULL = Plan(
    "*",
    BUNDLED,
    ((1, "el"), (4, "el"), (4, "mha"), (5, "el")),
    (64, 4, 1024, 16, 1024, 12),
    1 << 15,
    (64, 512),
)
SHARD = ("--batch-size", "4", "--num-shards", "40", "--shard-id", "3")
TINY = Plan("NormKernel.*", (("debian_de_en", SHARD),), ((4, "el"),), (2, 2, 24, 2, 32, 1), 4, (2,))


def kernels(place, plan):
    return {"tests passed": place.kernel_tests(plan.kernel_tests)}


def hypotheses(lines):
    """(sentence, text) -> score."""
    rows = (line.split("\t") for line in lines if line.startswith("H-"))
    return {(name, text): float(score) for name, score, text in rows}


def parity(place, plan):
    """Tokens and scores of the device's fp32 against the CPU's."""
    found = []
    for model, flags in plan.models:
        for beam, attention in plan.settings:
            common = [*flags, "--beam", beam, "--nbest", min(beam, 2), "--attention", attention]
            wanted = hypotheses(place.decode(DATA / model, *common)[0])
            got = hypotheses(place.decode(DATA / model, *common, "--device", place.device)[0])
            same = [key for key in wanted if key in got]
            found.append({
                "model": model, "beam": beam, "attention": attention, "hypotheses": len(wanted), "equal": len(same),
                "largest score difference": max((abs(wanted[key] - got[key]) for key in same), default=0.0),
            })  # fmt: skip
    return found


def cross_attention(place, plan):
    """A step's attention to the source at equal batch, and at the largest that the device holds."""
    rows = []
    for kind in KINDS:
        rows.append({"kind": kind, "batch": "equal", **measure(place, plan, kind, plan.step[0])})
        if kind == "torch":
            continue
        sentences, best = plan.step[0], None
        while sentences * 2 <= plan.most_sentences:
            row = measure(place, plan, kind, sentences * 2)
            if "left out" in row:
                break
            sentences, best = sentences * 2, row
        if best is not None:
            rows.append({"kind": kind, "batch": "largest", **best})
    return rows


def measure(place, plan, kind, sentences):
    shape = (sentences, *plan.step[1:])
    try:
        figures = (
            place.torch_el(shape, "fp16")
            if kind == "torch"
            else place.device_bench(kind, "fp16", *shape)
        )
    except programs.Failed as error:
        if error.code != 4 or "memory" not in error.said:
            raise
        figures = {"left out": error.said}
    if "left out" not in figures:
        milliseconds = figures["attention ms"] + figures["projections ms"]
        figures["rows/s"] = 1e3 * sentences * plan.step[1] / milliseconds
    return {"sentences": sentences, **figures}


def decoding(place, plan):
    """Whole decodes of the bundled translation model in fp16; too small a model to fill a large GPU."""
    rows = []
    model, flags = DATA / plan.models[0][0], plan.models[0][1]
    for batch in plan.batches:
        for attention in ("mha", "el"):
            lines, (sentences, tokens, seconds) = place.decode(
                model, *flags, "--beam", 4, "--batch-size", batch, "--fp16", "--attention", attention,
                "--device", place.device,
            )  # fmt: skip
            rows.append({"program": f"elbeam, {attention}", "batch": batch, "sentences": sentences, "tokens": tokens,
                         "seconds": seconds})  # fmt: skip
        sources = [line.split("\t", 1)[1] for line in lines if line.startswith("S-")]
        for name, figures in place.peers(model, sources, 4, batch).items():
            rows.append({"program": name, "batch": batch, **figures})
    return rows


PARTS = {
    "kernels": kernels,
    "parity": parity,
    "cross attention": cross_attention,
    "decoding": decoding,
}


def disagreements(results):
    for row in results.get("parity") or []:
        what = f"parity: {row['model']}, beam {row['beam']}, {row['attention']}"
        if row["hypotheses"] == 0:
            yield f"{what}: there are no hypotheses to compare"
        if row["equal"] != row["hypotheses"]:
            yield f"{what}: expected {row['hypotheses']} equal hypotheses, got {row['equal']}"
        if row["largest score difference"] > SCORE_TOLERANCE:
            yield f"{what}: scores differ by {row['largest score difference']:.2g}, expected at most {SCORE_TOLERANCE}"
    if results.get("kernels") is not None and results["kernels"]["tests passed"] == 0:
        yield "kernels: no test was run"
