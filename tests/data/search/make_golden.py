"""Writes beam_search.golden and topk.golden: what stock fairseq's SequenceGenerator and torch.topk
answer to scripted inputs. Needs a Python with fairseq (0.12.3.1 was used) and torch (2.11).

    python make_golden.py      # in this directory
"""

import random
import struct

import torch
from fairseq.sequence_generator import EnsembleModel, SequenceGenerator

MASK = (1 << 64) - 1
NAN, INF = float("nan"), float("inf")


def mix(hash_, value):
    """HashScript::mix of tests/support/scripted_model.hpp."""
    hash_ = ((hash_ ^ value) * 0x9E3779B97F4A7C15) & MASK
    return hash_ ^ (hash_ >> 32)


def script_value(rand, style):
    kind, bits = rand % 16, rand >> 8
    if "h" in style and kind < 2:
        return -INF
    if "n" in style and kind == 2:
        return NAN
    return -0.5 * (bits % 6) if "c" in style else -(bits % (1 << 24)) / (1 << 21)


def digest(data):
    """FNV-1a, 64 bits."""
    value = 0xCBF29CE484222325
    for byte in data:
        value = ((value ^ byte) * 0x100000001B3) & MASK
    return f"{value:016x}"


class Words:
    """The four methods of a dictionary that the search calls."""

    def __init__(self, size):
        self.size = size

    def __len__(self):
        return self.size

    def pad(self):
        return 1

    def eos(self):
        return 2

    def unk(self):
        return 3


class ScriptedEnsemble(EnsembleModel):
    def __init__(self, case, sources):
        torch.nn.Module.__init__(self)
        self.case, self.sources, self.models_size = case, sources, 1

    def set_decoder_beam_size(self, beam_size):
        pass

    def max_decoder_positions(self):
        return self.case["max_positions"]

    def forward_encoder(self, net_input):
        return torch.arange(net_input["src_tokens"].size(0))

    def reorder_encoder_out(self, encoder_outs, new_order):
        return encoder_outs.index_select(0, new_order)

    def reorder_incremental_state(self, incremental_states, new_order):
        pass

    def forward_decoder(self, tokens, encoder_outs, incremental_states, temperature=1.0):
        rows = []
        for sentence, history in zip(encoder_outs.tolist(), tokens.tolist()):
            hash_ = mix(self.case["seed"], 1)
            for token in self.sources[sentence]:
                hash_ = mix(hash_, token)
            for token in history[1:]:
                hash_ = mix(hash_, token + 1000)
            rows.append(
                [
                    script_value(mix(hash_, v + 100000), self.case["style"])
                    for v in range(self.case["vocab"])
                ]
            )
        return torch.tensor(rows, dtype=torch.float32) / temperature, None


def random_case(rng, number):
    wide = number % 10 == 0  # vocabularies of 128 on take the other branch of torch.topk
    vocab = rng.randint(128, 150) if wide else rng.randint(4, 9)
    case = {
        "seed": number + 1,
        "style": rng.choice(["-", "c", "h", "ch", "n", "chn"]),
        "vocab": vocab,
        "beam": rng.randint(1, 4 if wide else 6),
        "min_len": rng.choice([0, 1, 1, 1, 2]),
        "max_len_a": rng.choice([0.0, 0.0, 0.5]),
        "max_len_b": rng.randint(2, 5),
        "max_positions": rng.choice([1024, 1024, 4]),
        "normalize": rng.choice([1, 1, 0]),
        "lenpen": rng.choice([1.0, 1.0, 0.6, 2.5, -0.5, 0.0]),
        "unkpen": rng.choice([0.0, 0.0, 0.75, -1.5]),
        "temperature": rng.choice([1.0, 1.0, 2.0, 0.5]),
    }
    sources = []
    for _ in range(1 if wide else rng.randint(1, 3)):
        sources.append([rng.randint(4, 50) for _ in range(rng.randint(1, 3))] + [2])
    prefixes = None
    if number % 4 == 1:
        choices = [2, 3] + list(range(4, vocab))
        prefixes = [
            [rng.choice(choices) for _ in range(rng.randint(0, 3))] for _ in sources
        ]
    return case, sources, prefixes


def pad_right(rows):
    width = max(len(row) for row in rows)
    return torch.tensor([row + [1] * (width - len(row)) for row in rows]).view(len(rows), width)


def scripted_generator(case, model, **more):
    """Stock's generator with the options of random_case(); `more`: of a search strategy."""
    return SequenceGenerator(
        model,
        Words(case["vocab"]),
        beam_size=case["beam"],
        max_len_a=case["max_len_a"],
        max_len_b=case["max_len_b"],
        min_len=case["min_len"],
        normalize_scores=bool(case["normalize"]),
        len_penalty=case["lenpen"],
        unk_penalty=case["unkpen"],
        temperature=case["temperature"],
        **more,
    )


def print_sentences(sources, prefixes, out):
    for source in sources:
        print("source", *source, file=out)
    for prefix in prefixes or []:
        print("prefix", *prefix, file=out)


def run_fairseq(case, sources, prefixes):
    generator = scripted_generator(case, ScriptedEnsemble(case, sources))
    sample = {"net_input": {"src_tokens": pad_right(sources)}}
    prefix_tokens = None if prefixes is None else pad_right(prefixes).long()
    try:
        return generator.forward(sample, prefix_tokens=prefix_tokens)
    except AssertionError:
        return None


def write_beam_search(path, count):
    rng = random.Random(7)
    with open(path, "w") as out:
        print("# written by make_golden.py; fields in the order of random_case() there", file=out)
        for number in range(count):
            case, sources, prefixes = random_case(rng, number)
            answer = run_fairseq(case, sources, prefixes)
            print("case", *case.values(), file=out)
            print_sentences(sources, prefixes, out)
            if answer is None:
                print("assertion", file=out)
                continue
            for sentence, hypotheses in enumerate(answer):
                for hypothesis in hypotheses:
                    steps = hypothesis["positional_scores"].tolist()
                    print(
                        "hypothesis",
                        sentence,
                        f"{hypothesis['score'].item():.9g}",
                        digest(struct.pack(f"<{len(steps)}f", *steps)),
                        *hypothesis["tokens"].tolist(),
                        file=out,
                    )


def write_topk(path, count):
    rng = random.Random(11)
    with open(path, "w") as out:
        print("# written by make_golden.py: seed n k levels digest-of-indices", file=out)
        for seed in range(count):
            n = rng.choice([rng.randint(1, 70), rng.randint(1, 700), rng.randint(1, 9000)])
            k = rng.randint(1, min(n, rng.choice([3, 10, 40, 1000])))
            levels = rng.choice([1, 2, 5, 50, 1 << 20])
            values = []
            for i in range(n):
                rand = mix(seed, i)
                if rand % 23 == 0:
                    values.append(-INF)
                elif rand % 101 == 1:
                    values.append(NAN)
                else:
                    values.append(float((rand >> 8) % levels))
            indices = torch.topk(torch.tensor(values, dtype=torch.float32), k)[1].tolist()
            print(seed, n, k, levels, digest(struct.pack(f"<{k}q", *indices)), file=out)


if __name__ == "__main__":
    torch.set_num_threads(1)
    write_beam_search("beam_search.golden", 400)
    write_topk("topk.golden", 300)
