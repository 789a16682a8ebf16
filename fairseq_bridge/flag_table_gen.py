"""Writes flag_table.inc: every option that stock fairseq-generate's parser accepts.

    TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD=1 $ELBEAM_REFERENCE_PYTHON fairseq_bridge/flag_table_gen.py \
        > fairseq_bridge/flag_table.inc

fairseq builds its parser in two passes: the values of --task, --bpe, --criterion ... decide which
further options exist. An option that exists only with such values carries the condition
"bpe=fastbpe,bpe=subword_nmt", any of which will do; one without a condition is always accepted.
"""

import argparse
import contextlib
import io
import re
import sys

from fairseq import options
from fairseq.registry import REGISTRIES
from fairseq.tasks import TASK_REGISTRY  # noqa: F401  (fills the registry)

TASKS = (
    "translation",
    "language_modeling",
    "multilingual_translation",
    "translation_multi_simple_epoch",
    "translation_from_pretrained_bart",
)


def actions(argv):
    """The parser's actions after fairseq has added what `argv` asks for, or None if that fails."""
    parser = options.get_generation_parser()
    # fairseq_cli/generate.py:cli_main adds this one; its default makes wav2vec2's options legal.
    parser.add_argument("--arch", "-a", metavar="ARCH", default="wav2vec2")
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            options.parse_args_and_arch(parser, input_args=argv + ["data"])
    except (SystemExit, Exception):  # options of the choice itself may be required; they are there
        pass
    return parser._actions


# What elbeam has beyond fairseq.
ELBEAMS_CHOICES = {"--scoring": ("ter", "rouge")}


def kind(action):
    if isinstance(action, (argparse._StoreTrueAction, argparse._StoreFalseAction)):
        return "kFlag"
    return {int: "kInt", float: "kFloat"}.get(action.type, "kString")


def text(value):
    return "" if value is None or value is argparse.SUPPRESS else str(value)


def row(action):
    if not action.option_strings or isinstance(action, argparse._HelpAction):
        return None
    # The long name comes first, long aliases stay in the order of their declaration.
    names = sorted(action.option_strings, key=lambda n: not n.startswith("--"))
    assert len(names) <= 2 and action.nargs in (None, 0, "?"), action
    default = "" if kind(action) == "kFlag" else text(action.default)
    choices = "|".join([*map(str, action.choices or ()), *ELBEAMS_CHOICES.get(names[0], ())])
    return (
        names[0],
        names[1] if len(names) > 1 else "",
        kind(action),
        "kOptional" if action.nargs == "?" else "kNone" if action.nargs == 0 else "kOne",
        text(action.const) if action.nargs == "?" else "",
        default,
        choices,
    )


def rows(argv):
    return {r[0]: r for r in map(row, actions(argv)) if r is not None}


def conditions():
    """Rows of the table with the alternatives under which each is accepted; empty: always."""
    variants = [("task", TASKS)]
    variants += [(name.replace("_", "-"), sorted(r["registry"])) for name, r in REGISTRIES.items()]
    table = {}
    for flag, choices in variants:
        found = {choice: rows(["--" + flag, choice]) for choice in choices}
        for choice in choices:
            for name, r in found[choice].items():
                alternatives = table.setdefault(r, [])
                if not all(other.get(name) == r for other in found.values()):
                    alternatives.append(f"{flag}={choice}")
    return table


def literals(value, width=86):
    """C++ string literals for `value`, broken after separators so that they fit the page."""
    pieces, line = [], ""
    for part in re.findall(r"[^|,]*[|,]?", value):
        if len(line) + len(part) > width:
            pieces.append(line)
            line = ""
        line += part
    return ['"' + p + '"' for p in pieces + [line]]


def main():
    print("// Made by flag_table_gen.py from stock fairseq's own parser; do not edit.")
    print("// clang-format off")
    for (name, alias, value_kind, arity, const, default, choices), when in sorted(
        conditions().items()
    ):
        tokens = [
            f'{{"{name}",',
            f'"{alias}",',
            f"FlagKind::{value_kind},",
            f"Arity::{arity},",
            f'"{const}",',
        ]
        for value, end in ((default, ","), (choices, ","), (",".join(when), "},")):
            parts = literals(value)
            tokens += parts[:-1] + [parts[-1] + end]
        line = ""
        for token in tokens:
            if line and len(line) + 1 + len(token) > 100:
                print(line)
                line = "    " + token
            else:
                line += " " + token if line else token
        print(line)


if __name__ == "__main__":
    sys.argv = sys.argv[:1]
    main()
