"""Writes multinomial.golden and sampling.golden: what torch.multinomial draws, and what stock
fairseq's SequenceGenerator samples from scripted log-probabilities. Needs a Python with fairseq
(0.12.3.1 was used) and torch (2.11).

    python make_sampling_golden.py      # in this directory
"""

import random
import struct

import torch
from fairseq.search import Sampling

from make_golden import (
    ScriptedEnsemble,
    Words,
    digest,
    mix,
    pad_right,
    print_sentences,
    random_case,
    scripted_generator,
)


def scripted_probability(seed, i):
    """Multiples of 2^-24 below 1, every seventh 0: exact in float32."""
    rand = mix(seed, i)
    return 0.0 if rand % 7 == 0 else (rand >> 8) % (1 << 24) / (1 << 24)


def write_multinomial(path, count):
    rng = random.Random(3)
    with open(path, "w") as out:
        print("# written by make_sampling_golden.py: seed skip rows width samples digest", file=out)
        for seed in range(count):
            rows = rng.choice([1, 2, 7, 40])
            width = rng.choice([1, 2, 10, 799, 801, rng.randint(3, 3000)])
            samples = rng.choice([1, 1, rng.randint(2, 12)])
            skip = rng.choice([0, 1, rng.randint(2, 100000)])
            probabilities = torch.tensor(
                [
                    [scripted_probability(seed * 1000 + row, i) + (i == 0) / 16 for i in range(width)]
                    for row in range(rows)
                ],
                dtype=torch.float32,
            )
            drawn = []
            for threads in (1, 2):
                torch.set_num_threads(threads)
                torch.manual_seed(seed)
                torch.empty(skip, dtype=torch.int32).random_()
                twice = [
                    torch.multinomial(probabilities, samples, replacement=True).flatten().tolist()
                    for _ in range(2)
                ]
                drawn.append(twice[0] + twice[1])
            assert drawn[0] == drawn[1]
            print(
                seed, skip, rows, width, samples, digest(struct.pack(f"<{len(drawn[0])}q", *drawn[0])),
                file=out,
            )


def sampling_options(rng, vocab):
    kind = rng.choice(["plain", "topk", "topp", "both"])
    topk = rng.randint(1, min(vocab, 12)) if kind in ("topk", "both") else -1
    # Above 1 too: scripted probabilities do not sum up to 1.
    topp = rng.choice([0.3, 0.9, 0.99, 1.5, 4.0, 20.0]) if kind in ("topp", "both") else -1.0
    return topk, topp, rng.choice([0, 1, 7, 12345, (1 << 32) + 5])


def run_sampling(case, sources, prefixes, options):
    topk, topp, seed = options
    strategy = Sampling(Words(case["vocab"]), topk, topp)
    generator = scripted_generator(
        case, ScriptedEnsemble(case, sources), search_strategy=strategy
    )
    torch.manual_seed(seed)
    try:
        answer = generator.forward(
            {"net_input": {"src_tokens": pad_right(sources)}},
            prefix_tokens=None if prefixes is None else pad_right(prefixes).long(),
        )
    except (AssertionError, RuntimeError):
        return None, 0
    # Where the stream stands afterwards.
    return answer, torch.empty(1, dtype=torch.int32).random_().item()


def write_sampling(path, count):
    rng = random.Random(5)
    with open(path, "w") as out:
        print("# written by make_sampling_golden.py; fields: random_case() of make_golden.py,", file=out)
        print("# then topk topp seed, next random number (31 bits)", file=out)
        for number in range(count):
            case, sources, prefixes = random_case(rng, number)
            case["style"] = rng.choice(["-", "-", "h", "hn"])
            options = sampling_options(rng, case["vocab"])
            answer, following = run_sampling(case, sources, prefixes, options)
            print("case", *case.values(), file=out)
            print("sampling", *options, following, file=out)
            print_sentences(sources, prefixes, out)
            if answer is None:
                print("failure", file=out)
                continue
            for sentence, hypotheses in enumerate(answer):
                for hypothesis in hypotheses:
                    print(
                        "hypothesis",
                        sentence,
                        f"{hypothesis['score'].item():.9g}",
                        *hypothesis["tokens"].tolist(),
                        file=out,
                    )


if __name__ == "__main__":
    torch.set_num_threads(1)
    write_multinomial("multinomial.golden", 200)
    write_sampling("sampling.golden", 400)
