"""Writes this folder's data sets and what stock fairseq reads out of them (datasets.json).

    PATH=$REFERENCE/bin:$PATH $REFERENCE/bin/python tests/data/datasets/make_datasets.py

fairseq 0.12.3.1 (fairseq-fixed), numpy 1.26 or newer. The fasta part needs grep, awk and the
command tqdm, which fairseq calls.
"""

import json
import os
import random

import bitarray.util
import numpy as np
import torch
from fairseq.data import Dictionary, MonolingualDataset, TokenBlockDataset, data_utils
from fairseq.data import indexed_dataset as ids
from fairseq.data.huffman import HuffmanCodeBuilder, HuffmanMMapIndexedDatasetBuilder
from fairseq.data.shorten_dataset import maybe_shorten_dataset

# bitarray 3 has lost what fairseq's HuffmanCoder calls; find() with right=True is its successor.
if not hasattr(bitarray.util, "rindex"):
    bitarray.util.rindex = lambda bits, value: bits.find(value, right=True)

HERE = os.path.dirname(os.path.abspath(__file__))


def path(name):
    return os.path.join(HERE, name)


def sentences(rng, with_documents):
    lengths = [rng.choice([1, 1, 2, 3, 5, 8, 13]) for _ in range(24)]
    if not with_documents:
        lengths = [max(2, n) for n in lengths]
    return [[rng.randrange(4, 60) for _ in range(n - 1)] + [2] for n in lengths]


def write_tnt(name, lines, dtype):
    builder = ids.IndexedDatasetBuilder(path(name + ".bin"), dtype=dtype)
    for line in lines:
        builder.add_item(torch.tensor(line))
    builder.finalize(path(name + ".idx"))


def write_mmap(name, lines, dtype):
    builder = ids.MMapIndexedDatasetBuilder(path(name + ".bin"), dtype=dtype)
    for line in lines:
        builder.add_item(torch.tensor(line))
    builder.finalize(path(name + ".idx"))


def write_huffman(name, rng):
    words = ["der", "die", "das", "ein", "Haus", "\u00e4\u00f6", "x"]
    lines = [[rng.choice(words[: 1 + i % 7]) for i in range(rng.randrange(0, 12))] for _ in range(9)]
    builder = HuffmanCodeBuilder()
    for line in lines:
        builder.add_symbols(*line)
    with HuffmanMMapIndexedDatasetBuilder(path(name), builder.build_code()) as out:
        for line in lines:
            out.add_item(line + ["unseen"])


def write_fasta(name):
    with open(path(name + ".fasta"), "w") as f:
        f.write(">first protein\nABBA\nCAB\n>second\nB\n\n>third\n>fourth\nZABC\nA")


def write_dictionary(name):
    with open(path(name), "w") as f:
        f.write("".join(f"{c} 1\n" for c in "ABC") + "".join(f"w{i} 1\n" for i in range(80)))
    return Dictionary.load(path(name))


def blocks(name, impl, dictionary, mode, size, **options):
    """The samples of the language_modeling task and their order, as load_dataset makes them."""
    data = data_utils.load_indexed_dataset(path(name), dictionary, impl)
    method = "truncate" if options.get("truncate") else "none"
    data = maybe_shorten_dataset(data, "test", "", method, size, 1)
    case = {"data": name, "mode": mode, "size": size, **options}
    try:
        cut = TokenBlockDataset(
            data, data.sizes, size, pad=1, eos=2, break_mode=mode, include_targets=True
        )
    except (ValueError, IndexError, AssertionError) as error:
        return {**case, "error": str(error)}

    class Shorter:
        def __len__(self):
            return options["output_size"]

        unk = bos = None

    target = dictionary
    if "output_size" in options:
        target = Shorter()
        target.unk, target.bos = dictionary.unk, dictionary.bos
    samples = MonolingualDataset(
        cut,
        cut.sizes,
        dictionary,
        target,
        add_eos_for_other_targets=mode != "none",
        shuffle=True,
        targets=["future"],
        add_bos_token=options.get("bos", False),
    )
    with data_utils.numpy_seed(2):
        order = samples.ordered_indices().tolist()
    return {
        **case,
        "sizes": [int(s) for s in samples.sizes],
        "samples": [
            [samples[i]["source"].tolist(), samples[i]["target"].tolist()] for i in range(len(samples))
        ],
        "order": order,
    }


def main():
    rng = random.Random(7)
    dictionary = write_dictionary("dict.txt")
    plain, documents = sentences(rng, False), sentences(rng, True)
    write_tnt("tnt32", plain, np.int32)
    write_tnt("tnt64", documents, np.int64)
    write_mmap("mm16", documents, np.uint16)
    write_huffman("huffman", rng)
    write_fasta("protein")
    formats = {"tnt32": "cached", "tnt64": "lazy", "huffman": "huffman", "protein": "fasta"}
    read = {}
    for name, impl in formats.items():
        assert ids.infer_dataset_impl(path(name)) in (impl, "cached")
        data = ids.make_dataset(path(name), impl, fix_lua_indexing=True, dictionary=dictionary)
        if impl == "cached":
            data.prefetch(range(len(data)))
        read[name] = {
            "sizes": [int(s) for s in data.sizes],
            "tokens": [data[i].tolist() for i in range(len(data))],
        }
    os.remove(path("protein.fasta.idx.npy"))
    cut = []
    for mode in ("none", "complete", "complete_doc", "eos"):
        for size in (1, 4, 7, 1024):
            cut.append(blocks("mm16", "mmap", dictionary, mode, size))
        cut.append(blocks("tnt32", "lazy", dictionary, mode, 9, bos=True))
        cut.append(blocks("mm16", "mmap", dictionary, mode, 4, truncate=True, output_size=30))
        cut.append(blocks("protein", "fasta", dictionary, mode, 4))
    os.remove(path("protein.fasta.idx.npy"))
    with open(path("datasets.json"), "w") as f:
        json.dump({"formats": read, "blocks": cut}, f, separators=(",", ":"))
        f.write("\n")


main()
