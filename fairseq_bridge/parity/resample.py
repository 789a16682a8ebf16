"""Whether the outputs of a sampling run are those of the exact sampler, up to proven ties.

Sampling has no second chance: where float32 rounds two computations of the same probabilities to
different sides of a draw, everything after it differs. So the draws themselves are judged. Stock
fairseq's generator runs here with its model in fp64 and with the run's seed; a draw that fp64
decides by less than TIE_GAP may fall either way, and falls so that the given output comes about.
If it comes about, the output differs from the exact sampler's in those draws alone.

Runs under the Python of the reference environment, as a script; imports nothing of elbeam:

    PY resample.py REQUEST.json ANSWER.json

REQUEST: {"flags": [fairseq-generate's arguments],
          "runs": {name: {sentence id: [["words of the target", number of tokens, score]]}}}
ANSWER:  {"runs": {name: {"ties": [text of each draw that did not fall as fp64 says],
                          "failure": "" or why the output does not come about}}}

Three things can tie. (1) The race: torch.multinomial takes the largest p / q, q exponential; the
two best are within TIE_GAP, as differences of logarithms. (2) The order: with --sampling-topp the
probabilities are sorted first, and two of them within TIE_GAP may change places, and with them
their q. (3) The width: the sum of the sorted probabilities is within TIE_GAP of p, so that there
is one token more or less, which changes how many random numbers the batch takes.
"""

import json
import math
import sys

import numpy
import rescore
import torch
from fairseq import search, utils

TIE_GAP = 1e-5
WIDTHS_TRIED = 64
PLANS_TRIED = 500
BELONGS = 2e-4  # between a printed score and that of the same tokens in fp64


class NotReached(Exception):
    """No allowed way for the draws of a step leads to the given output."""


def printed(tokens, bos):
    """Dictionary.string leaves out a bos that was drawn; P- lines count it."""
    return [token for token in tokens if token != bos]


class GuidedSampling(search.Sampling):
    """search.Sampling whose ties fall as `targets` says; all else as fp64 says."""

    def __init__(self, dictionary, topk, topp):
        super().__init__(dictionary, topk, topp)
        if topk > 0:
            raise NotReached("--sampling-topk is not covered by this proof")
        self.bos = dictionary.bos()
        self.targets, self.ties, self.plan, self.taken = {}, [], [], []

    def begin(self, targets, plan):
        """targets: sentence id -> (printed ids, number of tokens) of its hypotheses. plan: what next_plan() said."""
        self.targets, self.ties, self.plan, self.taken = targets, [], plan, []

    def next_plan(self):
        """After NotReached: the widths to try next, or None. A width shows in the tokens of a later
        step only, where few rows are left."""
        for step in reversed(range(len(self.taken))):
            index, count = self.taken[step]
            if index + 1 < count:
                return [index for index, _ in self.taken[:step]] + [index + 1]
        return None

    def _fits(self, row, prefix, token):
        """Whether a row may go on with a token. What follows a finished hypothesis is not printed."""
        if (prefix[1:] == self.eos).any():
            return True
        row_tokens = prefix[1:].tolist() + [token]
        words = printed(row_tokens, self.bos)
        return any(
            ids[: len(words)] == words and len(row_tokens) - len(words) <= count - len(ids)
            for ids, count in self.targets[row]
        )

    def step(self, step, lprobs, scores, prev_output_tokens=None, original_batch_idxs=None):
        bsz, beam, _ = lprobs.size()
        logs = lprobs[:, 0] if step == 0 else lprobs.reshape(bsz * beam, -1)
        rows_of = 1 if step == 0 else beam
        sentences = [int(original_batch_idxs[i // rows_of]) for i in range(len(logs))]
        prefixes = prev_output_tokens.view(bsz, beam, -1)
        prefixes = prefixes[:, 0] if step == 0 else prefixes.reshape(bsz * beam, -1)
        place = [
            (f"step {step + 1} of sentence {sentence}", sentence, prefix)
            for sentence, prefix in zip(sentences, prefixes)
        ]
        tokens = self._several(logs, beam, place) if step == 0 and beam > 1 else self._one(logs, place)
        tokens = tokens.view(bsz, beam)
        sampled = lprobs[:, :1].expand_as(lprobs).gather(2, tokens.unsqueeze(-1)) if step == 0 else (
            lprobs.gather(2, tokens.unsqueeze(-1)))
        sampled = sampled.squeeze(-1)
        if step == 0:
            beams = tokens.new_zeros(bsz, beam)
        else:
            beams = torch.arange(beam).repeat(bsz, 1)
            sampled = sampled + scores[:, :, step - 1].double()
        return sampled, tokens, beams

    def _sorted(self, logs):
        """Log-probabilities in the order that is drawn from, their tokens, and the allowed widths
        of the batch, the one of fp64 first."""
        if self.sampling_topp <= 0:
            return logs, torch.arange(logs.size(1)).expand_as(logs), [logs.size(1)], None
        ordered, tokens = logs.sort(dim=1, descending=True)
        sums = ordered.exp().cumsum(dim=1)
        last = logs.size(1) - 1
        counts = [
            (sums < self.sampling_topp + slack).sum(dim=1).clamp(0, last) + 1
            for slack in (0.0, -TIE_GAP, TIE_GAP)
        ]
        exact, fewest, most = (int(count.max()) for count in counts)
        widths = sorted(range(fewest, most + 1), key=lambda width: abs(width - exact))
        return ordered, tokens, widths[:WIDTHS_TRIED], counts

    def _one(self, logs, place):
        ordered, tokens, widths, counts = self._sorted(logs)
        state = torch.get_rng_state()
        reasons = []
        first = self.plan[len(self.taken)] if len(self.taken) < len(self.plan) else 0
        for index, width in list(enumerate(widths))[first:]:
            torch.set_rng_state(state)
            q = torch.empty(len(logs), width).exponential_(1.0)
            chosen, ties = [], []
            for row, (name, sentence, prefix) in enumerate(place):
                usable = [width] * 2 if counts is None else [int(counts[i][row]) for i in (0, 2)]
                race = ordered[row, :width].numpy() - numpy.log(q[row].numpy().astype(numpy.float64))
                options = self._options(race, ordered[row].numpy(), tokens[row].numpy(), usable)
                found = next((t for t in options if self._fits(sentence, prefix, t)), None)
                if found is None:
                    reasons.append(f"{name}, width {width}: {options[:4]} do not lead there")
                    break
                chosen.append(found)
                if found != options[0]:
                    ties.append(f"{name}: token {found} for {options[0]}")
            else:
                if width != widths[0]:
                    ties.append(f"{place[0][0].split(' of ')[0]}: width {width} for {widths[0]}")
                self.ties += ties
                self.taken.append((index, len(widths)))
                return torch.tensor(chosen)
        raise NotReached("; ".join(reasons[:3]))

    @staticmethod
    def _options(race, ordered, tokens, usable):
        """Tokens that this row may draw, fp64's own first."""
        exact, most = (min(count, len(race)) for count in usable)
        first = int(race[:exact].argmax())
        options = [int(tokens[first])]
        for position in numpy.flatnonzero(race[:most] >= race[first] - TIE_GAP):
            near = numpy.flatnonzero(numpy.abs(ordered - ordered[position]) < TIE_GAP)
            for token in (tokens[position], *(tokens[near] if len(usable) > 1 else ())):
                if int(token) not in options:
                    options.append(int(token))
        return options

    def _several(self, logs, count, place):
        """The first step: torch.multinomial with replacement searches the running sum."""
        ordered, tokens, widths, counts = self._sorted(logs)
        chosen = []
        uniforms = torch.empty(len(logs), count, dtype=torch.float64).uniform_()
        for row, (name, sentence, prefix) in enumerate(place):
            probabilities = ordered[row].exp()
            if counts is not None:
                probabilities[int(counts[0][row]) :] = 0.0
            sums = (probabilities.cumsum(0) / probabilities.sum()).numpy()
            for uniform in uniforms[row].tolist():
                edges = [uniform, uniform - TIE_GAP, uniform + TIE_GAP]
                at, low, high = (min(int(numpy.searchsorted(sums, e)), len(sums) - 1) for e in edges)
                options = [int(tokens[row, i]) for i in (at, *range(low, high + 1))]
                found = next((t for t in options if self._fits(sentence, prefix, t)), None)
                if found is None:
                    raise NotReached(f"{name}: {options[:4]} do not lead there")
                chosen.append(found)
                if found != options[0]:
                    self.ties.append(f"{name}: token {found} for {options[0]}")
        return torch.tensor(chosen)


def batches(cfg, task, models):
    """As fairseq_cli.generate makes them, with its use of the random generator."""
    return task.get_batch_iterator(
        dataset=task.dataset(cfg.dataset.gen_subset),
        max_tokens=cfg.dataset.max_tokens,
        max_sentences=cfg.dataset.batch_size,
        max_positions=utils.resolve_max_positions(
            task.max_positions(), *[m.max_positions() for m in models]
        ),
        ignore_invalid_inputs=cfg.dataset.skip_invalid_size_inputs_valid_test,
        required_batch_size_multiple=cfg.dataset.required_batch_size_multiple,
        seed=cfg.common.seed,
        num_shards=cfg.distributed_training.distributed_world_size,
        shard_id=cfg.distributed_training.distributed_rank,
        num_workers=cfg.dataset.num_workers,
        data_buffer_size=cfg.dataset.data_buffer_size,
    ).next_epoch_itr(shuffle=False)


def check_scores(sentence, found, given, bos):
    """found: hypotheses of the generator; given: [(printed ids, number of tokens, score)]."""
    left = [
        (printed(tokens, bos), len(tokens), float(h["score"]) / math.log(2))
        for h in found
        for tokens in [h["tokens"].tolist()]
    ]
    for ids, count, score in given:
        match = next((h for h in left if h[:2] == (ids, count) and abs(h[2] - score) <= BELONGS), None)
        if match is None:
            raise NotReached(f"sentence {sentence}: no hypothesis of fp64 has the tokens and score {score}")
        left.remove(match)


def one_batch(decode, guided, ids, targets):
    """Decodes a batch until its hypotheses are the given ones, or no way is left."""
    state = torch.get_rng_state()
    plan = []
    for _ in range(PLANS_TRIED):
        torch.set_rng_state(state)
        guided.begin({i: [one[:2] for one in targets[i]] for i in ids}, plan)
        try:
            for sentence, hypotheses in zip(ids, decode()):
                check_scores(sentence, hypotheses, targets[sentence], guided.bos)
            return
        except NotReached as reason:
            plan, why = guided.next_plan(), str(reason)
        if plan is None:
            break
    raise NotReached(why)


def replay(flags, run):
    cfg, task, models = rescore.load(flags, seeded=True)
    dictionary = task.target_dictionary
    targets = {
        int(sentence): [
            ([*(dictionary.index(word) for word in words.split()), dictionary.eos()], count, score)
            for words, count, score in hypotheses
        ]
        for sentence, hypotheses in run.items()
    }
    ties = []
    try:
        generator = task.build_generator(models, cfg.generation)
        generator.search = GuidedSampling(
            dictionary, cfg.generation.sampling_topk, cfg.generation.sampling_topp
        )
        for sample in batches(cfg, task, models):
            if "net_input" not in sample:
                continue
            one_batch(lambda: task.inference_step(generator, models, sample), generator.search,
                      sample["id"].tolist(), targets)
            ties += generator.search.ties
    except NotReached as reason:
        return {"ties": ties, "failure": str(reason)}
    return {"ties": ties, "failure": ""}


def main(request_path, answer_path):
    with open(request_path, encoding="utf-8") as file:
        request = json.load(file)
    rescore.use_double_softmax()
    with torch.no_grad():
        answer = {name: replay(request["flags"], run) for name, run in request["runs"].items()}
    with open(answer_path, "w", encoding="utf-8") as file:
        json.dump({"runs": answer}, file)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
