"""Writes text.golden and encoder.json: what Python 3.11 and stock fairseq (0.12.3.1) answer to random
text and numbers. Every text is written in hexadecimal of its UTF-8 bytes, "-" for the empty one.

    python make_golden.py      # in this directory
"""

import io
import json
import random
import struct

from fairseq.data import Dictionary
from fairseq.data.data_utils import post_process
from fairseq.data.encoders.gpt2_bpe_utils import Encoder, bytes_to_unicode
from fairseq.tokenizer import tokenize_line

SPACES = "\t\n\x0b\x0c\r\x1c\x1d\x1e\x1f \x85\xa0\u1680\u2000\u200a\u2028\u2029\u202f\u205f\u3000"
NOT_SPACES = "\u200b\ufeff\u180e\u2060\x00\x1b"  # look like white space and are not
LETTERS = "abß語🙂e\u0301"


def show(text):
    data = text if isinstance(text, bytes) else text.encode("utf-8")
    return data.hex() or "-"


def random_text(rng, pieces, longest=12):
    return "".join(rng.choice(pieces) for _ in range(rng.randint(0, longest)))


def random_double(rng):
    kind = rng.randrange(6)
    if kind == 0:
        return struct.unpack("<d", rng.randbytes(8))[0]
    if kind == 1:  # what scores are: float32, widened
        return struct.unpack("<f", struct.pack("<f", -rng.random() * 10 ** rng.randint(-6, 4)))[0]
    if kind == 2:
        return float(rng.randint(-(10**6), 10**6)) * 10.0 ** rng.randint(-3, 14)
    if kind == 3:
        return rng.choice([1, -1]) * 2.0 ** rng.randint(-1074, 1023)
    if kind == 4:
        return rng.choice([1, -1]) * 10.0 ** rng.randint(-8, 24)
    return rng.randint(-4000, 4000) / 32  # halves: rounds to even


def write_numbers(rng, out):
    special = [0.0, -0.0, float("inf"), float("-inf"), float("nan"), 5e-324, 1e16, 1e-4, 1e-5]
    special += [9999999999999998.0, 123456789012345680.0, -9.999999747378752e-06, 0.00005, -0.00005]
    for value in special + [random_double(rng) for _ in range(400)]:
        bits = struct.pack(">d", value).hex()
        print("repr", bits, repr(value), file=out)
        digits = rng.choice([0, 1, 2, 3, 4, 4, 6])
        if abs(value) < 1e20 or value != value:
            print("fixed", digits, bits, f"{value:.{digits}f}", file=out)
    for _ in range(40):
        value = rng.randint(-(10 ** rng.randint(0, 18)), 10 ** rng.randint(0, 18))
        print("thousands", value, f"{value:,}", file=out)


def write_strings(rng, out):
    pieces = list(SPACES + NOT_SPACES + LETTERS)
    for character in SPACES + NOT_SPACES:
        text = character + "a" + character + "b" + character
        print("split", show(text), *map(show, tokenize_line(text)), file=out)
    for _ in range(150):
        text = random_text(rng, pieces)
        print("split", show(text), *map(show, tokenize_line(text)), file=out)
        print("strip", show(text), show(text.strip()), show(text.rstrip()), file=out)
    for _ in range(150):
        text = random_text(rng, ["1", "0", "23", "_", "-", "+", " ", "\t", "\u3000", "x", "."], 5)
        try:
            print("int", show(text), int(text), file=out)
        except ValueError:
            print("int", show(text), "ValueError", file=out)
    lead = [b"\xc3", b"\xe2", b"\xed", b"\xf0", b"\xf4", b"\xc0", b"\xff", b"a", "語".encode()]
    trail = [b"\x80", b"\xa0", b"\x90", b"\x8f", b"\xbf", "🙂".encode()]
    for _ in range(250):
        data = b"".join(rng.choice(lead + trail) for _ in range(rng.randint(0, 8)))
        print("utf8", show(data), show(data.decode("utf-8", errors="replace")), file=out)


def write_post_process(rng, out):
    pieces = ["a", "b@@", " ", " ", "@@", "@@ ", "\u2581", "_", "|", "<SIL>", "_EOW", "\u3000", "\t", "語"]
    symbols = ["none", "sentencepiece", "wordpiece", "letter", "silence", "_EOW", "subword_nmt"]
    for symbol in symbols + ["@@ ", "@@"]:
        for _ in range(30):
            text = random_text(rng, pieces)
            print("post", show(symbol), show(text), show(post_process(text, symbol)), file=out)


def write_dictionaries(rng, out):
    words = ["a", "b", "語", "\u2581x", "a b", "", "</s>", "\t", "c\u3000", "#fairseq:overwrite"]
    for _ in range(300):
        content = ""
        for _ in range(rng.randint(0, 3)):
            ends = ["\n", "\n", "\n", "\r\n", "\r", " \n", "\u3000\n", "", "\n\n"]
            counts = ["1", "2", "-3", "1_0", "1.5", "x", "", " 4"]
            flags = ["", "", "", " #fairseq:overwrite", "  #fairseq:overwrite", " other"]
            count = rng.choice(counts) if rng.randrange(4) == 0 else "7"
            content += rng.choice(words) + " " + count + rng.choice(flags) + rng.choice(ends)
        try:
            dictionary = Dictionary()
            data = io.TextIOWrapper(io.BytesIO(content.encode("utf-8")), encoding="utf-8")
            dictionary.add_from_file(data)
        except (ValueError, RuntimeError):
            print("dict", show(content), "error", file=out)
            continue
        ids = [dictionary.index(symbol) for symbol in dictionary.symbols[4:]]
        print("dict", show(content), "ok", *map(show, dictionary.symbols[4:]), file=out)
        print("index", *ids, file=out)
        tokens = [rng.randint(0, len(dictionary) + 1) for _ in range(rng.randint(0, 6))]
        plain = dictionary.string(tokens)
        escaped = dictionary.string(tokens, escape_unk=True, extra_symbols_to_ignore=[4])
        print("string", show(plain), show(escaped), *tokens, file=out)


def write_gpt2(rng, out):
    encoder = {}
    for byte, character in bytes_to_unicode().items():
        encoder[character] = 3 * byte
    encoder.update({"the": 1000, "Ġof": 1001, "<|endoftext|>": 1002, "語": 1003})
    with open("encoder.json", "w") as file:
        json.dump(encoder, file)
    bpe = Encoder(encoder, [])
    good = [str(i) for i in encoder.values() if i != 1003] + ["<unk>", "<mask>", "+3", "1_2"]
    bad = ["1003", "7", "-3", "x", "madeupword0000", "<s>"]
    for number in range(200):
        tokens = [rng.choice(good) for _ in range(rng.randint(0, 8))]
        if number % 10 == 0:
            tokens.append(rng.choice(bad))
        text = rng.choice([" ", "  ", "\u3000"]).join(tokens)
        try:
            ids = [int(t) if t not in {"<unk>", "<mask>"} else t for t in text.split()]
            print("gpt2", show(text), show(bpe.decode(ids)), file=out)
        except (ValueError, TypeError, KeyError):
            print("gpt2", show(text), "error", file=out)


if __name__ == "__main__":
    with open("text.golden", "w") as golden:
        print("# written by make_golden.py", file=golden)
        for number, write in enumerate(
            [write_numbers, write_strings, write_post_process, write_dictionaries, write_gpt2]
        ):
            write(random.Random(number), golden)
