"""Writes goldens.json: what stock fairseq computes for the pieces of fairseq_bridge.

    TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD=1 $ELBEAM_REFERENCE_PYTHON tests/data/bridge/make_goldens.py

The numbers are random and seeded; no text is involved. Made with fairseq-fixed 0.12.3.1 (the code
of fairseq's main branch), torch 2.11.0 and numpy 1.26.
"""

import contextlib
import io
import json
import pathlib
import random
import shlex
import sys

import numpy as np
import torch
from fairseq import options
from fairseq.data import data_utils
from fairseq.data.data_utils_fast import batch_by_size_vec
from fairseq.data.language_pair_dataset import LanguagePairDataset, collate
from fairseq.scoring.bleu import BleuConfig, Scorer

RNG = random.Random(20260131)


def permutations():
    out = []
    for seed, size in [
        (0, 1),
        (1, 2),
        (2, 5),
        (2, 16),
        (3, 17),
        (8, 64),
        (4294967295, 100),
        (2, 257),
    ]:
        out.append({"seed": seed, "values": np.random.RandomState(seed).permutation(size).tolist()})
    return out


def orders():
    """LanguagePairDataset.ordered_indices under numpy_seed(seed + 1), as the iterator calls it."""

    class Dict:
        pad, eos, unk = (lambda self: 1), (lambda self: 2), (lambda self: 3)

    out = []
    for shuffle in (False, True):
        for seed in (1, 7):
            for has_target in (False, True):
                source = [RNG.randint(1, 6) for _ in range(50)]
                target = [RNG.randint(1, 6) for _ in range(50)]
                dataset = LanguagePairDataset(
                    [None] * 50,
                    source,
                    Dict(),
                    [None] * 50 if has_target else None,
                    target if has_target else None,
                    Dict(),
                    shuffle=shuffle,
                )
                with data_utils.numpy_seed(seed + 1):
                    values = dataset.ordered_indices().tolist()
                out.append(
                    {
                        "shuffle": shuffle,
                        "numpy_seed": seed + 1,
                        "source": source,
                        "target": target if has_target else None,
                        "values": values,
                    }
                )
    return out


def batches():
    out = []
    for _ in range(150):
        sizes = [RNG.randint(1, 12) for _ in range(RNG.randint(1, 40))]
        if RNG.random() < 0.7:
            sizes.sort()
        max_tokens = RNG.choice([-1, 12, 13, 20, 36, 50, 100])
        max_sentences = RNG.choice([-1, 0, 1, 2, 3, 7, 8, 9, 16])
        multiple = RNG.choice([1, 1, 2, 3, 4, 8])
        result = batch_by_size_vec(
            np.arange(len(sizes)), np.array(sizes), max_tokens, max_sentences, multiple
        )
        out.append(
            {
                "sizes": sizes,
                "max_tokens": max_tokens,
                "max_sentences": max_sentences,
                "multiple": multiple,
                "batches": [len(b) for b in result],
            }
        )
    return out


def rows():
    """Row order of collate; torch's sort is not stable from 17 rows on."""
    out = []
    for size, longest in [
        (1, 4),
        (2, 4),
        (7, 4),
        (16, 4),
        (17, 3),
        (40, 9),
        (64, 5),
        (150, 30),
        (300, 20),
    ]:
        lengths = [RNG.randint(1, longest) for _ in range(size)]
        if size % 2 == 0:
            lengths.sort()
        samples = [{"id": i, "source": torch.full((n,), 5)} for i, n in enumerate(lengths)]
        out.append({"lengths": lengths, "ids": collate(samples, 1, 2)["id"].tolist()})
    return out


def bleu():
    out = []
    for _ in range(20):
        scorer = Scorer(BleuConfig(pad=1, eos=2, unk=3))
        pairs = []
        for _ in range(RNG.randint(1, 12)):
            reference = [RNG.randint(3, 9) for _ in range(RNG.randint(1, 12))] + [2]
            hypothesis = [t if RNG.random() < 0.8 else RNG.randint(3, 9) for t in reference[:-1]]
            if RNG.random() < 0.3:
                hypothesis = hypothesis[: RNG.randint(0, len(hypothesis))]
            if RNG.random() < 0.1:
                reference = [1, 1] + reference + [1]
            hypothesis += [2]
            scorer.add(torch.IntTensor(reference), torch.IntTensor(hypothesis))
            pairs.append([reference, hypothesis])
        out.append({"pairs": pairs, "result": scorer.result_string()})
    return out


COMMAND_LINES = """
d
d e
d --beam 3
--beam=3 d
d --beam x
d --beam
d --beam --nbest 2
d --beam 2 --beam 7
d --lenpen -1.5
d --lenpen -1e5
d --unkpen -.5
d --lenpen 1e2
d --lenpen inf
d --lenpen 1_0.5
d --lenpen 1__0
d --beam ' 4 '
d --beam 1_000
d --beam 4.0
d --bea 3
d --foo
d --foo bar
--foo d e
--foo=1 d
d --remove-bpe
d --remove-bpe sentencepiece
--remove-bpe d
'--remove-bpe=@@ ' d
d --post-process --quiet
d --quiet=1
d -s de
d -sde -t=en
d --source-lang=de -s fr
d --task foo
d --scoring blue
d --gpt2-encoder-json x
d --bpe gpt2 --gpt2-encoder-json x
d --bpe-codes c
d --bpe subword_nmt --bpe-codes c
d --max-sentences 4
d --batch-size 4 --max-sentences 5
d --max-sentences x
-- d
d -- --beam
d --max-len-b -1
d --max-len-b -- -1
d -x
d -1
-1
-1 --beam -2
d --path -
d --path ''
d --path 'a b'
d --path '--a b'
d --activation-fn relu
d --activation-fn foo
d --mask-prob 0.5
d --share-all-embeddings
d --lr 0.1
d --optimizer adam --adam-betas '(0.9, 0.98)'
d --lr-scheduler inverse_sqrt --warmup-init-lr 1
d --warmup-init-lr 1
d --pad 7
d --scoring chrf --pad 7
d --dataset-impl mmap
d --left-pad-source
d --tokens-per-sample 5
d --seed 0x1
d --beam ''"""
COMMANDS = [shlex.split(line) for line in COMMAND_LINES.split("\n")]
SHOWN = [
    "data",
    "beam",
    "nbest",
    "lenpen",
    "unkpen",
    "post_process",
    "quiet",
    "source_lang",
    "target_lang",
    "batch_size",
    "path",
    "max_len_b",
]


def parse(argv):
    parser = options.get_generation_parser()
    parser.add_argument("--arch", "-a", metavar="ARCH", default="wav2vec2")
    args = options.parse_args_and_arch(parser, input_args=argv)
    return {k: str(getattr(args, k)) for k in SHOWN}


def commands():
    """Values that differ from the defaults, or the message of argparse."""
    default = parse([""])
    out = []
    for argv in COMMANDS:
        stderr = io.StringIO()
        try:
            with contextlib.redirect_stderr(stderr):
                values = parse(argv)
            out.append(
                {"argv": argv, "values": {k: v for k, v in values.items() if v != default[k]}}
            )
        except SystemExit:
            message = stderr.getvalue().strip().splitlines()[-1]
            out.append({"argv": argv, "error": message.split(": error: ", 1)[1]})
    return out


def main():
    goldens = {
        "permutations": permutations(),
        "orders": orders(),
        "batches": batches(),
        "rows": rows(),
        "bleu": bleu(),
        "commands": commands(),
    }
    path = pathlib.Path(__file__).with_name("goldens.json")
    sections = [
        f"{json.dumps(name)}: [\n" + ",\n".join(map(json.dumps, items)) + "\n]"
        for name, items in goldens.items()
    ]
    path.write_text("{\n" + ",\n".join(sections) + "\n}\n")


if __name__ == "__main__":
    sys.argv = sys.argv[:1]
    main()
