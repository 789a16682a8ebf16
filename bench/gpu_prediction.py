"""Predicted times of a decode step on GPUs, from what their makers publish: no measurement is in it.

    python3 -m bench.gpu_prediction        # the table of docs/gpu.md

Each part of a step takes the longer of its bytes at the published bandwidth and its operations at the published rate
of dense fp16 products; a step is the sum of its parts. Launches, caches and everything that is not overlapped are
left out: a real step takes longer.
"""

import dataclasses

# Published by NVIDIA for the SXM modules: GB/s of memory, TFLOP/s of dense fp16 tensor-core products.
GPUS = {"A100-80": (2039, 312), "H100": (3350, 989), "H200": (4800, 989)}
ELEMENT = 2  # bytes of fp16


@dataclasses.dataclass(frozen=True)
class Shape:
    """BART-large unless said otherwise: layers, width, heads, feed-forward, vocabulary; T tokens are decoded already."""

    sentences: int
    beam: int
    source: int
    target: int = 70
    layers: int = 12
    dim: int = 1024
    heads: int = 16
    feed_forward: int = 4096
    vocabulary: int = 50264

    @property
    def rows(self):
        return self.sentences * self.beam


def weights(s):
    """Eight d x d matrices a layer, the feed-forward pair, and the output; each read once."""
    numbers = s.layers * (8 * s.dim**2 + 2 * s.dim * s.feed_forward) + s.vocabulary * s.dim
    return ELEMENT * numbers, 2 * s.rows * numbers


def cross(s, kind):
    copies = {"copied MHA": 2 * s.beam, "shared MHA": 2, "EL": 1}[kind]
    rows = s.rows * (s.heads if kind == "EL" else 1)
    return (
        ELEMENT * s.layers * copies * s.sentences * s.source * s.dim,
        4 * s.layers * rows * s.source * s.dim,
    )


def own(s, kind):
    el = kind == "EL"
    rows = s.rows * (s.heads if el else 1)
    return ELEMENT * s.layers * (
        1 if el else 2
    ) * s.rows * s.target * s.dim, 4 * s.layers * rows * s.target * s.dim


def expansion(s, kind):
    """EL's expanded queries and pooled states, of both attentions, each written once and read once."""
    return (ELEMENT * s.layers * 8 * s.rows * s.heads * s.dim if kind == "EL" else 0), 0


def parts(s, kind):
    """name -> (bytes, operations); logits are written and read once."""
    return {
        "weights": weights(s), "source": cross(s, kind), "own past": own(s, kind), "expansion": expansion(s, kind),
        "logits": (2 * ELEMENT * s.rows * s.vocabulary, 0),
    }  # fmt: skip


def predict(s, kind, gpu):
    """Milliseconds of a step, and what the attention to the source waits for."""
    bandwidth, rate = GPUS[gpu]
    times = {
        name: (count / bandwidth * 1e-6, work / rate * 1e-9)
        for name, (count, work) in parts(s, kind).items()
    }
    bound = "memory" if times["source"][0] >= times["source"][1] else "products"
    return sum(max(pair) for pair in times.values()), max(times["source"]), bound


SHAPES = (
    Shape(1, 4, 1024),
    Shape(64, 1, 1024),
    Shape(64, 4, 256),
    Shape(64, 4, 1024),
    Shape(320, 4, 1024),
    Shape(64, 8, 1024),
)


def table():
    kinds = ("copied MHA", "shared MHA", "EL")
    lines = [
        "| B x n x S | GPU | " + " | ".join(f"{kind}, predicted ms" for kind in kinds) + " |",
        "|---" * 5 + "|",
    ]
    for s in SHAPES:
        for gpu in GPUS:
            cells = []
            for kind in kinds:
                whole, source, bound = predict(s, kind, gpu)
                cells.append(f"{whole:.2f} (source {source:.2f}, {bound})")
            lines.append(
                f"| {s.sentences} x {s.beam} x {s.source} | {gpu} | " + " | ".join(cells) + " |"
            )
    return "\n".join(lines)


if __name__ == "__main__":
    print(table())
