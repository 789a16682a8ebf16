"""Log-probabilities and attention of the stock model for script_model_test.cpp.

Run from the root of the repository, in a Python that has torch and fairseq:

    python tests/data/torchscript/make_reference.py

Writes reference.json (sources, and for every step the tokens and parents of its rows) and
reference.f32 (little-endian float32; of each step the log-probabilities, [rows, vocabulary], then
the attention to the left-padded source, [rows, longest]).
"""

import json
import pathlib
import sys

import torch

HERE = pathlib.Path(__file__).resolve().parent
DATA = HERE.parent
sys.path.insert(0, str(DATA.parents[1]))

from torchscript_models.checkpoint import Source, load_model  # noqa: E402
from torchscript_models.verify import StockModel  # noqa: E402

STEPS = 6
# Lengths of the sources (eos included), rows of each sentence at each step (a finished sentence has
# none any more, as fairseq removes it), temperature.
BATCHES = [
    {"lengths": [9, 4, 1], "rows": [[2, 2, 2]] * STEPS, "temperature": 1.0},
    {
        "lengths": [3, 7, 7, 2],
        "rows": [[1] * 4, [3] * 4, [3, 3, 3, 0], [3, 0, 3, 0], [2, 0, 3, 0], [0, 0, 3, 0]],
        "temperature": 1.7,
    },
    {"lengths": [12], "rows": [[5]] * STEPS, "temperature": 1.0},
]


def sources(lengths, dictionary, generator):
    """Sentences, and the same left-padded as fairseq's collater does."""
    longest = max(lengths)
    padded = torch.full((len(lengths), longest), dictionary.pad(), dtype=torch.int64)
    for row, length in enumerate(lengths):
        words = torch.randint(3, len(dictionary), (length,), generator=generator)
        words[-1] = dictionary.eos()
        padded[row, longest - length :] = words
    return [padded[row, longest - n :].tolist() for row, n in enumerate(lengths)], padded


def parents_of(rows, previous, generator):
    """A row of the same sentence in the previous step for each row of this one."""
    parents, first = [], 0
    for now, before in zip(rows, previous):
        drawn = torch.randint(0, before, (now,), generator=generator) if now else []
        parents += [first + int(parent) for parent in drawn]
        first += before
    return parents


@torch.no_grad()
def main():
    torch.set_num_threads(1)
    loaded = load_model(Source(str(DATA / "toy/ckpt/tf.pt"), str(DATA / "toy/bin-ende")))
    generator = torch.Generator().manual_seed(7)
    vocabulary = len(loaded.target_dictionary)
    stock, batches, values = StockModel(loaded.model), [], []
    for batch in BATCHES:
        sentences, padded = sources(batch["lengths"], loaded.source_dictionary, generator)
        stock.start(padded, torch.tensor(batch["lengths"]))
        steps, previous, prefix = [], [1] * len(sentences), None
        for rows in batch["rows"]:
            parents = parents_of(rows, previous, generator)
            order = torch.tensor(parents)
            tokens = torch.full((len(parents), 1), 2)
            stock.reorder_encoder_out(order)
            if prefix is not None:
                stock.reorder_state(order)
                tokens = torch.randint(3, vocabulary, tokens.shape, generator=generator)
                tokens = torch.cat([prefix.index_select(0, order), tokens], 1)
            prefix, previous = tokens, rows
            # Normalising twice is the same as dividing the logits and normalising once.
            result = stock.step(prefix)
            scores = torch.log_softmax(result.log_probs / batch["temperature"], -1)
            for value in (scores, result.attention):
                values.append(value.float().contiguous().numpy().astype("<f4").tobytes())
            steps.append({"tokens": prefix[:, -1].tolist(), "parents": parents})
        batches.append(
            {"sentences": sentences, "temperature": batch["temperature"], "steps": steps}
        )
    (HERE / "reference.json").write_text(json.dumps(batches) + "\n", encoding="utf-8")
    (HERE / "reference.f32").write_bytes(b"".join(values))


if __name__ == "__main__":
    main()
