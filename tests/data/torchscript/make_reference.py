"""Log-probabilities and attention of the stock model for script_model_test.cpp.

Run from the root of the repository, in a Python that has torch and fairseq:

    python tests/data/torchscript/make_reference.py

Writes of each model NAME.json (sources, and for every step the tokens and parents of its rows) and
NAME.f32 (little-endian float32; of each step the log-probabilities, [rows, vocabulary], then, where
there is a source, the attention to the left-padded source, [rows, longest]). Of all but tf, whose
checkpoint lies in ../toy, it makes the archive NAME.ts.pt as well: their weights are random.
"""

import json
import pathlib
import sys
import tempfile

import torch

HERE = pathlib.Path(__file__).resolve().parent
DATA = HERE.parent
sys.path.insert(0, str(DATA.parents[1]))

import make_models  # noqa: E402

from torchscript_models.checkpoint import Source, load_model  # noqa: E402
from torchscript_models.export import export  # noqa: E402
from torchscript_models.verify import StockModel  # noqa: E402

RANDOM = ["lm", "adaptive_lm", "adaptive", "lstm"]
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
def write_reference(name, loaded):
    generator = torch.Generator().manual_seed(7)
    vocabulary = len(loaded.target_dictionary)
    stock, batches, values = StockModel(loaded.model), [], []
    for batch in BATCHES:
        lengths = batch["lengths"]
        if name == "lstm":  # stock cannot do without the collater's order
            lengths = sorted(lengths, reverse=True)
        sentences, padded = sources(lengths, loaded.source_dictionary, generator)
        stock.start(padded, torch.tensor(lengths))
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
            result = stock.step(prefix, batch["temperature"])
            for value in result:
                if value is not None:
                    values.append(value.float().contiguous().numpy().astype("<f4").tobytes())
            steps.append({"tokens": prefix[:, -1].tolist(), "parents": parents})
        batches.append(
            {"sentences": sentences, "temperature": batch["temperature"], "steps": steps}
        )
    (HERE / f"{name}.json").write_text(json.dumps(batches) + "\n", encoding="utf-8")
    (HERE / f"{name}.f32").write_bytes(b"".join(values))


def main():
    torch.set_num_threads(1)
    toy = Source(str(DATA / "toy/ckpt/tf.pt"), str(DATA / "toy/bin-ende"))
    write_reference("tf", load_model(toy))
    with tempfile.TemporaryDirectory() as scratch:
        folder = pathlib.Path(scratch)
        make_models.main(folder, RANDOM)
        for name in RANDOM:
            loaded = load_model(Source(str(folder / f"{name}.pt"), str(folder / "data")))
            write_reference(name, loaded)
            export(loaded, str(HERE / f"{name}.ts.pt"))  # leaves the model in float64


if __name__ == "__main__":
    main()
