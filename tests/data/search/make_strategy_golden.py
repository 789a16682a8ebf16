"""Writes strategies.golden and scorer.golden: what stock fairseq's SequenceGenerator answers with each
search strategy, and its SequenceScorer, both on scripted log-probabilities. Needs a Python with
fairseq (0.12.3.1 was used) and torch (2.11).

    python make_strategy_golden.py      # in this directory
"""

import random
import struct

import torch
from fairseq import search
from fairseq.ngram_repeat_block import NGramRepeatBlock
from fairseq.sequence_scorer import SequenceScorer

from make_golden import (
    ScriptedEnsemble,
    Words,
    digest,
    mix,
    pad_right,
    print_sentences,
    script_value,
    scripted_generator,
)


def attention_value(source, history, position):
    """scripted_attention() of tests/support/scripted_model.hpp."""
    hash_ = mix(77, 1)
    for token in source:
        hash_ = mix(hash_, token)
    for token in history:
        hash_ = mix(hash_, token + 1000)
    return ((mix(hash_, position + 200000) >> 8) % 1024) / 1024


class AttendingEnsemble(ScriptedEnsemble):
    """The scripted model, which gives attention too."""

    def forward_decoder(self, tokens, encoder_outs, incremental_states, temperature=1.0):
        log_probs, _ = super().forward_decoder(
            tokens, encoder_outs, incremental_states, temperature
        )
        width = max(len(source) for source in self.sources)
        attention = []
        for sentence, history in zip(encoder_outs.tolist(), tokens.tolist()):
            source = self.sources[sentence]
            row = [attention_value(source, history[1:], i) for i in range(len(source))]
            attention.append(row + [0.0] * (width - len(source)))
        return log_probs, torch.tensor(attention, dtype=torch.float32)


class WorkingBlocker(NGramRepeatBlock):
    """fairseq's Python on the tokens so far. (The generator hands over the whole buffer, with pads
    at its end, so that stock blocks nothing unless its CUDA extension is there.)"""

    def forward(self, tokens, lprobs, bsz, beam_size, step):
        return self._no_repeat_ngram(tokens[:, : step + 1], lprobs, bsz, beam_size, step)


def random_case(rng, number):
    kind = ["beam", "diverse", "diverse", "siblings", "length"][number % 5]
    wide = number % 9 == 0  # vocabularies of 128 on take the other branch of torch.topk
    beam = rng.randint(1, 5)
    groups = -1
    if kind == "diverse":
        groups = rng.choice([1, 2, 2, 3])
        beam = groups * rng.randint(1, 3 if groups < 3 else 2)
    vocab = rng.randint(128, 150) if wide else rng.randint(2 * beam + 3, 2 * beam + 8)
    case = {
        "seed": number + 5000,
        "style": rng.choice(["-", "c", "h", "ch", "n", "chn"]),
        "vocab": vocab,
        "beam": beam,
        "min_len": rng.choice([0, 1, 1, 1, 2]),
        "max_len_a": rng.choice([0.0, 0.0, 0.5]),
        "max_len_b": rng.randint(2, 6),
        "max_positions": 1024,
        "normalize": rng.choice([1, 1, 0]),
        "lenpen": rng.choice([1.0, 1.0, 0.6, 2.5]),
        "unkpen": rng.choice([0.0, 0.0, 0.75]),
        "temperature": rng.choice([1.0, 1.0, 2.0]),
        "strategy": kind,
        "groups": groups,
        "strength": rng.choice([0.0, 0.5, 0.3, 1.7]) if kind == "diverse" else 0.5,
        "cumulative": rng.choice([0, 1]) if kind == "diverse" else 1,
        "rate": rng.choice([0.0, 0.5, 0.3, -0.4]) if kind == "siblings" else -1.0,
        "counts_eos": rng.choice([0, 1]) if kind == "length" else 1,
        "ngram": rng.choice([0, 0, 2, 3]) if kind != "beam" else rng.choice([2, 2, 3, 4]),
    }
    sources = []
    for _ in range(1 if wide else rng.randint(1, 3)):
        sources.append([rng.randint(4, 50) for _ in range(rng.randint(1, 5))] + [2])
    prefixes = None
    if number % 4 == 1:
        prefixes = [
            [rng.choice([3] + list(range(4, vocab))) for _ in range(rng.randint(0, 3))]
            for _ in sources
        ]
    return case, sources, prefixes


def make_strategy(case):
    words = Words(case["vocab"])
    if case["strategy"] == "diverse":
        discount, multiple = (1.0, 1) if case["cumulative"] else (0.0, 2)
        return search.DiverseBeamSearch(
            words, case["groups"], case["strength"], discount, multiple
        )
    if case["strategy"] == "siblings":
        return search.DiverseSiblingsSearch(words, case["rate"])
    if case["strategy"] == "length":
        return search.LengthConstrainedBeamSearch(words, 1, 0, 1, 0)
    return search.BeamSearch(words)


def run_fairseq(case, sources, prefixes):
    generator = scripted_generator(
        case,
        AttendingEnsemble(case, sources),
        match_source_len=case["strategy"] == "length",
        search_strategy=make_strategy(case),
    )
    if case["ngram"] > 0:
        generator.repeat_ngram_blocker = WorkingBlocker(case["ngram"])
    net_input = {"src_tokens": pad_right(sources)}
    if case["strategy"] == "length" and case["counts_eos"]:
        net_input["src_lengths"] = torch.tensor([len(source) for source in sources])
    prefix_tokens = None if prefixes is None else pad_right(prefixes).long()
    try:
        return generator.forward({"net_input": net_input}, prefix_tokens=prefix_tokens)
    except AssertionError:
        return None


def attention_digest(hypothesis, source):
    """Of [tokens][own source tokens]."""
    values = hypothesis["attention"].t()[:, : len(source)].reshape(-1).tolist()
    return digest(struct.pack(f"<{len(values)}f", *values))


def write_strategies(path, count):
    rng = random.Random(17)
    with open(path, "w") as out:
        print("# written by make_strategy_golden.py; fields as in random_case() there", file=out)
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
                    print("attention", attention_digest(hypothesis, sources[sentence]), file=out)


class ScriptedScorerModel(torch.nn.Module):
    """What SequenceScorer calls of a model."""

    def __init__(self, seed, vocab, sources):
        super().__init__()
        self.seed, self.vocab, self.sources = seed, vocab, sources

    def forward(self, src_tokens, prev_output_tokens):
        width = max(len(source) for source in self.sources)
        log_probs, attention = [], []
        for source, inputs in zip(self.sources, prev_output_tokens.tolist()):
            rows, columns = [], []
            for end in range(1, len(inputs) + 1):
                hash_ = mix(self.seed, 1)
                for token in source:
                    hash_ = mix(hash_, token)
                for token in inputs[1:end]:
                    hash_ = mix(hash_, token + 1000)
                rows.append(
                    [script_value(mix(hash_, v + 100000), "-") for v in range(self.vocab)]
                )
                column = [attention_value(source, inputs[1:end], i) for i in range(len(source))]
                columns.append(column + [0.0] * (width - len(source)))
            log_probs.append(rows)
            attention.append(columns)
        return torch.tensor(log_probs), {"attn": [torch.tensor(attention)]}

    def get_normalized_probs(self, net_output, log_probs, sample):
        return net_output[0] if log_probs else net_output[0].exp()


def write_scorer(path, count):
    rng = random.Random(19)
    with open(path, "w") as out:
        print("# written by make_strategy_golden.py: case vocabulary seeds", file=out)
        for number in range(count):
            vocab = rng.randint(5, 40)
            seeds = [number * 3 + i for i in range(1 + number % 2)]
            sources, targets = [], []
            for _ in range(rng.randint(1, 4)):
                sources.append([rng.randint(4, 50) for _ in range(rng.randint(1, 4))] + [2])
                targets.append([rng.randint(3, vocab - 1) for _ in range(rng.randint(0, 7))] + [2])
            models = [ScriptedScorerModel(seed, vocab, sources) for seed in seeds]
            target = pad_right(targets)
            inputs = pad_right([[2] + row[:-1] for row in targets])
            sample = {
                "net_input": {"src_tokens": pad_right(sources), "prev_output_tokens": inputs},
                "target": target,
            }
            answer = SequenceScorer(Words(vocab)).generate(models, sample)
            print("case", vocab, *seeds, file=out)
            for source, row, (hypothesis,) in zip(sources, targets, answer):
                print("source", *source, file=out)
                print("target", *row, file=out)
                steps = [f"{x:.9g}" for x in hypothesis["positional_scores"].tolist()]
                print("score", f"{hypothesis['score'].item():.9g}", *steps, file=out)
                attention = hypothesis["attention"][: len(row), : len(source)].reshape(-1).tolist()
                print("attention", digest(struct.pack(f"<{len(attention)}f", *attention)), file=out)


if __name__ == "__main__":
    torch.set_num_threads(1)
    write_strategies("strategies.golden", 300)
    write_scorer("scorer.golden", 60)
