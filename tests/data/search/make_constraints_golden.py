"""Writes constraint_states.golden, constrained.golden and prefix_constrained.golden: stock fairseq's
states of lexical constraints after random tokens, and its searches of scripted log-probabilities
with lexical constraints and with a set of allowed outputs. Needs a Python with fairseq (0.12.3.1
was used) and torch (2.11).

    python make_constraints_golden.py      # in this directory
"""

import random

import torch
from fairseq.search import LexicallyConstrainedBeamSearch, PrefixConstrainedBeamSearch
from fairseq.token_generation_constraints import (
    OrderedConstraintState,
    UnorderedConstraintState,
    pack_constraints,
)

from make_golden import (
    ScriptedEnsemble,
    Words,
    pad_right,
    print_sentences,
    random_case,
    scripted_generator,
)

STATES = {"ordered": OrderedConstraintState, "unordered": UnorderedConstraintState}


def random_constraints(rng, tokens, most, longest):
    return [
        [rng.choice(tokens) for _ in range(rng.randint(1, longest))]
        for _ in range(rng.randint(0, most))
    ]


def packed(batch):
    return pack_constraints([[torch.tensor(c) for c in constraints] for constraints in batch])


def as_text(constraints):
    return "/".join(" ".join(map(str, c)) for c in constraints)


def write_states(path, count):
    rng = random.Random(17)
    with open(path, "w") as out:
        print("# written by make_constraints_golden.py: kind|constraints|counted tokens|steps;", file=out)
        print("# a step: token,bank,completed,finished,is_root,sorted different next tokens", file=out)
        for number in range(count):
            kind = rng.choice(["ordered", "unordered"])
            tokens = list(range(4, 4 + rng.randint(1, 5)))
            constraints = random_constraints(rng, tokens, 5, 4)
            state = STATES[kind].create(packed([constraints])[0])
            steps = []
            for _ in range(rng.randint(1, 16)):
                # Mostly what meets a constraint, so that ends are reached.
                choices = sorted({int(t) for t in state.next_tokens()})
                token = rng.choice(choices if choices and rng.random() < 0.7 else tokens + [99])
                state = state.advance(token)
                following = sorted({int(t) for t in state.next_tokens()})
                steps.append(
                    ",".join(
                        map(str, [token, state.bank, int(state.num_completed), int(state.finished),
                                  int(state.is_root), " ".join(map(str, following))])
                    )
                )
            print(kind, as_text(constraints), len(state.tokens), ";".join(steps), sep="|", file=out)


def answer_of(generator, sources, **arguments):
    sample = {"net_input": {"src_tokens": pad_right(sources)}}
    try:
        return generator._generate(sample, **arguments), None
    except (AssertionError, RuntimeError) as error:
        return None, type(error).__name__


def write_answer(answer, error, out):
    if answer is None:
        print("failure", error, file=out)
        return
    for sentence, hypotheses in enumerate(answer):
        for hypothesis in hypotheses:
            print(
                "hypothesis",
                sentence,
                f"{hypothesis['score'].item():.9g}",
                *hypothesis["tokens"].tolist(),
                file=out,
            )


def write_constrained(path, count):
    rng = random.Random(23)
    with open(path, "w") as out:
        print("# written by make_constraints_golden.py; fields: random_case() of make_golden.py;", file=out)
        print("# constraints: one line per sentence", file=out)
        for number in range(count):
            case, sources, _ = random_case(rng, number)
            case["style"] = rng.choice(["-", "-", "h"])
            case["vocab"] = case["vocab"] if case["vocab"] > 100 else rng.randint(6, 30)
            case["max_len_b"] = rng.randint(4, 12)
            case["max_positions"] = 1024
            kind = rng.choice(["ordered", "unordered"])
            tokens = list(range(3, min(case["vocab"], rng.choice([6, 12, 30]))))
            batch = [random_constraints(rng, tokens, 3, 3) for _ in sources]
            strategy = LexicallyConstrainedBeamSearch(Words(case["vocab"]), kind)
            generator = scripted_generator(
                case, ScriptedEnsemble(case, sources), search_strategy=strategy
            )
            answer, error = answer_of(generator, sources, constraints=packed(batch))
            print("case", *case.values(), file=out)
            print("constrained", kind, file=out)
            for source, constraints in zip(sources, batch):
                print("source", *source, file=out)
                print("constraints", as_text(constraints), file=out)
            write_answer(answer, error, out)


def write_prefix_constrained(path, count):
    rng = random.Random(29)
    with open(path, "w") as out:
        print("# written by make_constraints_golden.py; fields: random_case() of make_golden.py", file=out)
        for number in range(count):
            case, sources, _ = random_case(rng, number)
            case["style"] = rng.choice(["-", "-", "h"])
            case["max_len_b"] = rng.randint(2, 6)
            case["max_positions"] = 1024
            tokens = list(range(3, min(case["vocab"], rng.choice([5, 8, 30]))))
            allowed = [
                [rng.choice(tokens) for _ in range(rng.randint(0, 5))] + [2]
                for _ in range(rng.choice([1, 2, 5, 40]))
            ]

            def following(_, prefix):
                prefix = prefix.tolist()[1:]
                return sorted({a[len(prefix)] for a in allowed
                               if len(a) > len(prefix) and a[: len(prefix)] == prefix})

            strategy = PrefixConstrainedBeamSearch(Words(case["vocab"]), following)
            generator = scripted_generator(
                case, ScriptedEnsemble(case, sources), search_strategy=strategy
            )
            answer, error = answer_of(generator, sources)
            print("case", *case.values(), file=out)
            print_sentences(sources, None, out)
            for sequence in allowed:
                print("allowed", *sequence, file=out)
            write_answer(answer, error, out)


if __name__ == "__main__":
    torch.set_num_threads(1)
    write_states("constraint_states.golden", 1500)
    write_constrained("constrained.golden", 500)
    write_prefix_constrained("prefix_constrained.golden", 250)
