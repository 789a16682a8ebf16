"""Writes a lexicon for `elbeam-generate --lexical-shortlist` from translated text.

    python3 -m fairseq_bridge.lexical_map train.bpe.de train.bpe.en > lex.s2t

The files hold one sentence a line, as the model sees them (after sub-word encoding). Each line of the
result is "target source probability", the form of Marian's lex.s2t: IBM Model 1 (Brown et al. 1993)
with a NULL source word, which is not written, trained by expectation maximisation.
"""

import argparse
import collections
import sys

NULL = "<NULL>"


def read_pairs(source, target):
    pairs = []
    with open(source, encoding="utf-8") as sources, open(target, encoding="utf-8") as targets:
        for line in sources:
            other = targets.readline()
            if not other:
                raise ValueError(f"{target} has fewer lines than {source}")
            pairs.append(([NULL, *line.split()], other.split()))
        if targets.readline():
            raise ValueError(f"{target} has more lines than {source}")
    return pairs


def train(pairs, rounds):
    """{source word: {target word: probability}}."""
    table = collections.defaultdict(dict)
    for sources, targets in pairs:
        for word in sources:
            table[word].update(dict.fromkeys(targets, 1.0))
    for _ in range(rounds):
        counts = collections.defaultdict(lambda: collections.defaultdict(float))
        for sources, targets in pairs:
            rows = [(table[word], counts[word]) for word in sources]
            for target in targets:
                total = sum(row[target] for row, _ in rows)
                for row, count in rows:
                    count[target] += row[target] / total
        for word, count in counts.items():
            total = sum(count.values())
            table[word] = {target: value / total for target, value in count.items()}
    table.pop(NULL, None)
    return table


def main():
    parser = argparse.ArgumentParser(
        prog="fairseq_bridge.lexical_map",
        description=__doc__.split("\n\n")[0],
    )
    parser.add_argument("source")
    parser.add_argument("target")
    parser.add_argument("--best", type=int, default=100, help="translations of each word [100]")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of training [5]")
    arguments = parser.parse_args()
    if arguments.best < 1 or arguments.rounds < 1:
        parser.error("--best and --rounds must be at least 1")
    try:
        table = train(read_pairs(arguments.source, arguments.target), arguments.rounds)
    except (OSError, ValueError) as error:
        sys.exit(f"{parser.prog}: error: {error}")
    for word in sorted(table):
        ranked = sorted(table[word].items(), key=lambda item: (-item[1], item[0]))
        for target, probability in ranked[: arguments.best]:
            print(target, word, f"{probability:.6f}")


if __name__ == "__main__":
    main()
