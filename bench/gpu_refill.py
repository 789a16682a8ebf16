"""What does refilling the rows of finished sentences save on a GPU? Predicted from lengths of real decodes.

    python3 -m bench.gpu_refill OUTPUT...        # the table of docs/decisions/scheduler.md

OUTPUT is what elbeam-generate writes with --nbest equal to --beam: a sentence takes as many steps as its longest
hypothesis has tokens. Each step costs what bench/gpu_prediction.py predicts for a BART-large over the sentences that
are in it, and `fixed` for launches; sentences are in fairseq's order, by length of their source. "At once" is what
could be saved at most, "as built" what backend/device/run_places.cpp and the scheduler do, with an encoder's pass
(its weights, and `fixed`) for each time sentences are encoded beyond the one that each batch has, too.
"""

import collections
import pathlib
import random
import sys

from bench import gpu_prediction

BUCKETS = 8  # numbers of rows that a step is captured for
BEAM = 4
WAVES = 16  # sentences of a group for each of its places (backend/runtime/scheduler.cpp)
LATE = 1  # steps until the host knows


def read_lengths(path):
    """(source tokens, steps) of each sentence, shortest source first."""
    sources, steps = {}, collections.Counter()
    for line in pathlib.Path(path).read_text(encoding="utf-8").splitlines():
        kind, _, rest = line.partition("-")
        number, _, text = rest.partition("\t")
        if kind == "S":
            sources[number] = len(text.split()) + 1
        elif kind == "P":
            steps[number] = max(steps[number], len(text.split()))
    return sorted((sources[number], steps[number]) for number in steps)


def corpus(sentences, count):
    """So many sentences of these lengths, in the order of sources about as long: copies do not stay together."""
    dice = random.Random(1)
    copies = sentences * (-(-count // len(sentences)))
    return sorted(copies, key=lambda sentence: sentence[0] * dice.uniform(0.9, 1.1))


def bucket(live, size):
    unit = -(-size // BUCKETS)
    return min(size, -(-live // unit) * unit)


class Clock:
    """Adds up predicted milliseconds of steps, as long as each of them has as many rows as its bucket."""

    def __init__(self, gpu, size, fixed):
        self.gpu, self.size, self.fixed = gpu, size, fixed
        self.milliseconds = 0.0
        self.steps = 0
        self.passes = 0

    def encode(self):
        """Another pass of the encoder, without its arithmetic, which is the same for all."""
        shape = gpu_prediction.Shape(1, 1, 1)
        numbers = shape.layers * (4 * shape.dim**2 + 2 * shape.dim * shape.feed_forward)
        self.milliseconds += gpu_prediction.ELEMENT * numbers / gpu_prediction.GPUS[self.gpu][0] * 1e-6 + self.fixed
        self.passes += 1

    def step(self, live):
        """live: (source tokens, steps behind it) of the sentences in this step."""
        count = bucket(len(live), self.size)
        source = sum(source for source, _ in live) / len(live)
        target = sum(done for _, done in live) / len(live) + 1
        shape = gpu_prediction.Shape(count, BEAM, source, target)
        self.milliseconds += gpu_prediction.predict(shape, "EL", self.gpu)[0] + self.fixed
        self.steps += 1


def in_batches(sentences, size, clock):
    """What the device does: a batch to its end, finished sentences leave it."""
    for first in range(0, len(sentences), size):
        batch = sentences[first : first + size]
        done = 0
        while live := [(source, done) for source, steps in batch if steps > done]:
            clock.step(live)
            done += 1


def refilled(sentences, size, clock):
    """The rows of a finished sentence get the next one at once, for nothing."""
    waiting = collections.deque(sentences)
    live = []
    while live or waiting:
        while waiting and len(live) < size:
            live.append([*waiting.popleft(), 0])
        clock.step([(source, done) for source, _, done in live])
        for sentence in live:
            sentence[2] += 1
        live = [sentence for sentence in live if sentence[2] < sentence[1]]


def as_built(sentences, size, clock):
    """Groups; in each, free places go to sentences that are encoded ahead, as many together as there are places."""
    for first in range(0, len(sentences), size * WAVES):
        waiting = collections.deque(sentences[first : first + size * WAVES])
        passes, batches = 1, -(-len(waiting) // size)
        ready = min(size, len(waiting))
        live = []  # [source, steps behind it, steps]; it keeps its place until the host knows
        while live or waiting:
            while waiting and len(live) < size:
                if ready == 0:
                    ready = min(size, len(waiting))
                    passes += 1
                    if passes > batches:
                        clock.encode()
                source, steps = waiting.popleft()
                live.append([source, 0, steps])
                ready -= 1
            if running := [(source, done) for source, done, steps in live if done < steps]:
                clock.step(running)
            for sentence in live:
                sentence[1] += 1
            live = [sentence for sentence in live if sentence[1] < sentence[2] + LATE]


def compare(sentences, size, gpu, fixed):
    """Clocks of batches, of rows refilled at once, of batches of twice the size, and of what is built."""
    clocks = [Clock(gpu, 2 * size if i == 2 else size, fixed) for i in range(4)]
    in_batches(sentences, size, clocks[0])
    refilled(sentences, size, clocks[1])
    in_batches(sentences, 2 * size, clocks[2])
    as_built(sentences, size, clocks[3])
    return clocks


def main(paths):
    columns = ("data", "sentences at once", "GPU", "fixed ms a step", "steps: batches", "refilled at once", "as built",
               "passes beyond", "predicted s: batches", "refilled at once", "batches of twice the size", "as built")  # fmt: skip
    print("| " + " | ".join(columns) + " |")
    print("|---" * len(columns) + "|")
    for path in paths:
        sentences = corpus(read_lengths(path), 4096)
        for size in (16, 64, 256):
            for gpu in ("A100-80", "H100"):
                for fixed in (0.0, 0.3):
                    clocks = compare(sentences, size, gpu, fixed)
                    now = clocks[0].milliseconds
                    cells = [f"{clock.milliseconds / 1e3:.2f} ({100 * clock.milliseconds / now - 100:+.0f} %)" for clock in clocks[1:]]
                    print(f"| {pathlib.Path(path).stem} | {size} | {gpu} | {fixed} | {clocks[0].steps:,} | {clocks[1].steps:,} | "
                          f"{clocks[3].steps:,} | {clocks[3].passes:,} | {now / 1e3:.2f} | " + " | ".join(cells) + " |")  # fmt: skip


if __name__ == "__main__":
    main(sys.argv[1:])
