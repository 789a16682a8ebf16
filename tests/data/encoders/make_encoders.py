"""Writes encoders.json: what the Python encoders that fairseq calls make of odd and real lines.

    $REFERENCE/bin/python tests/data/encoders/make_encoders.py FASTBPE

fairseq 0.12.3.1 (fairseq-fixed), subword-nmt 0.3.8, sentencepiece 0.2.3, regex 2026.11.19,
tokenizers 0.23.3, sacremoses 0.2.0. FASTBPE is a program around fastBPE 0.1.0's
applybpe_stream(codes, ""), which reads lines and writes lines.

Cases are [arguments, line, encoded, decoded again]; an exception is null. The models sp.model and
bytes.model are trained here on the lines themselves.
"""

import json
import os
import random
import subprocess
import sys
from types import SimpleNamespace as Config

import sentencepiece
from fairseq.data.encoders.byte_bpe import ByteBPE
from fairseq.data.encoders.byte_utils import byte_encode
from fairseq.data.encoders.bytes import Bytes
from fairseq.data.encoders.characters import Characters
from fairseq.data.encoders.gpt2_bpe import GPT2BPE
from fairseq.data.encoders.hf_byte_bpe import HuggingFaceByteLevelBPE
from fairseq.data.encoders.moses_tokenizer import MosesTokenizer
from fairseq.data.encoders.sentencepiece_bpe import SentencepieceBPE
from fairseq.data.encoders.space_tokenizer import SpaceTokenizer
from fairseq.data.encoders.subword_nmt_bpe import SubwordNMTBPE

HERE = os.path.dirname(os.path.abspath(__file__))
DATA = os.path.dirname(HERE)
ODD = [
    "", " ", "  ", "a", " a", "a ", " a  b ", "\t", "a\tb", "a\u00a0b", "a\u3000b c", "\u2028x",
    "x\x00y z", "\x00", "\x01\x02 a\x7f", "it's don't I'LL we're they've I'm he'd 'tis 's", "''s",
    "...", "a...b", "Mr. Smith's car, e.g. this, costs $3,500.50 (approx.).", "U.S.A. is No. 1",
    "and/or foo-bar co-op--x", "<b>bold</b> [x] {y} | z \"q\" 'r' `s` ``t''", "日本語のテキスト、です。",
    "中文 文本", "한국어 텍스트", "مرحبا بالعالم", "שלום עולם!", "हिन्दी में", "ภาษาไทย",
    "😀😃 👨‍👩‍👧 🇩🇪", "e\u0301 \u0301a", "ǅ ⅴ ½ ² ٣ ४", "ﬁ Ａ", "\U0001d7d8\U00010400",
    "\ufeffbom", "\u200bz\u200d", "</w> a</w>", "@@ a@@ b", "▁ a▁b", "x" * 60, "a.'", "end.", "3.",
    "5,300, 4,x ,", "1,2,3", "L'homme d'or l' 'x", "1990's '90s", "¿Qué? ¡No!", "€5 £6 ¥7",
    "„Zitat“ ‚x‘ «y»", "z.B. das", "\x1c\x1d\x1e\x1f a", "a\x0bb\x0cc\x85d", "&amp; &lt; &apos;s",
    " @-@ a @-@ b", "test\r", "\r\ntest", "ß ẞ ŉ", "a\ufffdb",
]


def lines():
    found = list(ODD)
    for name in ("test.de", "test.en"):
        with open(os.path.join(DATA, "debian_de_en", name), encoding="utf-8") as f:
            found += [line.rstrip("\n") for line in f][:12]
    rng = random.Random(5)
    pool = list("abcdeAB 0123.,'\"-()!?@&<>[]|`:;/$%#\täöüß€«»„“’–²№") + [
        "\u00a0", "\u3000", "\x00", "\u200b", "\u0301", "日", "か", "한", "א", "ع", "ह", "्", "😀",
        "Ω", "я", "ǅ", "Ⅷ", "٣", "\x85", "\x1c", "'s", "...", "Mr.", "e.g.", "@-@", "&amp;",
    ]
    return found + ["".join(rng.choices(pool, k=rng.randrange(1, 30))) for _ in range(40)]


def attempt(function, value):
    try:
        return None if value is None else function(value)
    except Exception:  # what fairseq's user would see as a stack trace
        return None


def train(name, texts, **options):
    os.chdir(HERE)  # the model holds these names as they are given: no path of this machine
    source = "train.txt"
    with open(source, "w", encoding="utf-8") as f:
        f.write("\n".join(t.replace("\n", " ").replace("\r", " ") for t in texts))
    sentencepiece.SentencePieceTrainer.train(
        input=source, model_prefix=name, minloglevel=2, **options
    )
    os.remove(source)
    os.remove(name + ".vocab")


def write(name, text):
    with open(os.path.join(HERE, name), "w", encoding="utf-8") as f:
        f.write(text)


def code_files():
    """Merges of the translation model: as they are, shuffled with repetitions, and as fastBPE's."""
    with open(os.path.join(DATA, "debian_de_en", "bpe.codes"), encoding="utf-8") as f:
        merges = [line.rstrip("\n") for line in f][1:1201]
    write("codes_0.2", "#version: 0.2\n" + "".join(m + "\n" for m in merges))
    shuffled = merges[:400]
    random.Random(3).shuffle(shuffled)
    write("codes_0.1", "".join(m + "\n" for m in shuffled + shuffled[:20]))
    results, fast = set(), ""
    for i, merge in enumerate(merges):
        if merge.replace(" ", "") not in results:
            results.add(merge.replace(" ", ""))
            fast += f"{merge} {5000 - i}\n"
    write("codes_fast", fast)


def moses(language, plain=False):
    return MosesTokenizer(Config(source_lang=language, target_lang=language,
                                 moses_no_dash_splits=plain, moses_no_escape=plain))


def main(fastbpe):
    texts = lines()
    code_files()
    train("sp", texts, model_type="unigram", vocab_size=400)
    train("bytes", [byte_encode(t) for t in texts], model_type="bpe", vocab_size=400,
          normalization_rule_name="identity")
    gpt2 = [os.path.join(DATA, "squad_qg_bart", n) for n in ("encoder.json", "vocab.bpe")]
    here = lambda name: os.path.join(HERE, name)
    encoders = {
        "subword_nmt codes_0.2": SubwordNMTBPE(Config(bpe_codes=here("codes_0.2"), bpe_separator="@@")),
        "subword_nmt codes_0.1 ~": SubwordNMTBPE(Config(bpe_codes=here("codes_0.1"), bpe_separator="~")),
        "gpt2": GPT2BPE(Config(gpt2_encoder_json=gpt2[0], gpt2_vocab_bpe=gpt2[1])),
        "hf_byte_bpe": HuggingFaceByteLevelBPE(
            Config(bpe_vocab=gpt2[0], bpe_merges=gpt2[1], bpe_add_prefix_space=False)),
        "hf_byte_bpe prefix": HuggingFaceByteLevelBPE(
            Config(bpe_vocab=gpt2[0], bpe_merges=gpt2[1], bpe_add_prefix_space=True)),
        "bytes": Bytes(),
        "characters": Characters(),
        "sentencepiece sp.model": SentencepieceBPE(
            Config(sentencepiece_model=here("sp.model"), sentencepiece_enable_sampling=False,
                   sentencepiece_alpha=None)),
        "byte_bpe bytes.model": ByteBPE(Config(sentencepiece_model_path=here("bytes.model"))),
    }
    for language in ("en", "de", "fr", "cs", "ja", "xx", None):
        encoders[f"moses {language}"] = moses(language)
    encoders["moses en plain"] = moses("en", plain=True)
    encoders["space"] = SpaceTokenizer()
    cases = []
    for name, encoder in encoders.items():
        for text in texts:
            encoded = attempt(encoder.encode, text)
            cases.append([name, text, encoded, attempt(encoder.decode, encoded)])
    # Bytes with gaps: decoding finds the most characters.
    rng = random.Random(9)
    for text in texts:
        pieces = Bytes.encode(text).split(" ")
        for _ in range(min(3, len(pieces) - 1)):
            pieces.pop(rng.randrange(len(pieces)))
        cases.append(["bytes", None, " ".join(pieces), attempt(Bytes.decode, " ".join(pieces))])
    given = [t for t in texts if "\n" not in t]
    run = subprocess.run([fastbpe, here("codes_fast")], input="\n".join(given + [""]).encode(),
                         capture_output=True, check=True)
    for text, encoded in zip(given, run.stdout.decode().split("\n")):
        cases.append(["fastbpe codes_fast", text, encoded, (encoded + " ").replace("@@ ", "").rstrip()])
    with open(here("encoders.json"), "w", encoding="ascii") as f:
        json.dump(cases, f, indent=0)
        f.write("\n")


main(sys.argv[1])
