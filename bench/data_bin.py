"""fairseq's memory-mapped token files (fairseq/data/indexed_dataset.py, MMapIndexedDataset), read
and written with the standard library alone."""

import array
import struct

MAGIC = b"MMIDIDX\x00\x00"
HEADER = struct.Struct("<QBQ")  # version, type of the numbers, sentences
KINDS = {1: "B", 2: "b", 3: "h", 4: "i", 5: "q", 8: "H"}  # type -> array's typecode


def read(prefix):
    """The sentences of prefix.bin and prefix.idx as lists of token ids."""
    with open(f"{prefix}.idx", "rb") as file:
        index = file.read()
    with open(f"{prefix}.bin", "rb") as file:
        data = file.read()
    if not index.startswith(MAGIC):
        raise SystemExit(f"bench: {prefix}.idx: not an index of fairseq's mmap format")
    _, kind, count = HEADER.unpack_from(index, len(MAGIC))
    begin = len(MAGIC) + HEADER.size
    lengths = array.array("i", index[begin : begin + 4 * count])
    offsets = array.array("q", index[begin + 4 * count : begin + 12 * count])
    size = array.array(KINDS[kind]).itemsize
    return [
        array.array(KINDS[kind], data[at : at + size * length]).tolist()
        for at, length in zip(offsets, lengths)
    ]


def write(prefix, sentences):
    """Writes the sentences as 32-bit numbers."""
    offsets, position = [], 0
    for sentence in sentences:
        offsets.append(position)
        position += 4 * len(sentence)
    with open(f"{prefix}.bin", "wb") as file:
        for sentence in sentences:
            file.write(array.array("i", sentence).tobytes())
    with open(f"{prefix}.idx", "wb") as file:
        file.write(MAGIC + HEADER.pack(1, 4, len(sentences)))
        file.write(array.array("i", map(len, sentences)).tobytes())
        file.write(array.array("q", offsets).tobytes())


def words(dictionary):
    """The symbols of a dict.txt by id, fairseq's four special ones first."""
    with open(dictionary, encoding="utf-8") as file:
        return ["<s>", "<pad>", "</s>", "<unk>"] + [line.rsplit(" ", 1)[0] for line in file]
