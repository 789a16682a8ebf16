"""Writes tool_flags.inc: options of fairseq-generate that fairseq's other tools have not got.

    TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD=1 $ELBEAM_REFERENCE_PYTHON fairseq_bridge/tool_flags_gen.py \
        > fairseq_bridge/tool_flags.inc
"""

import contextlib
import io

from fairseq import options


def names(parser, argv):
    """Long names of the parser after fairseq has added what `argv` asks for."""
    with contextlib.redirect_stderr(io.StringIO()), contextlib.suppress(SystemExit, Exception):
        options.parse_args_and_arch(parser, input_args=["data", *argv])
    found = [a.option_strings for a in parser._actions if a.option_strings]
    return {sorted(o, key=lambda n: not n.startswith("--"))[0] for o in found}


def generate_parser():
    parser = options.get_generation_parser()
    # fairseq_cli/generate.py:cli_main adds this one; its default makes wav2vec2's options legal.
    parser.add_argument("--arch", "-a", metavar="ARCH", default="wav2vec2")
    return parser


def print_array(name, values):
    print(f"constexpr std::string_view {name}[] = {{")
    line = "   "
    for value in sorted(values):
        if len(line) + len(value) > 95:
            print(line)
            line = "   "
        line += f' "{value}",'
    print(line)
    print("};")


def main():
    print("// Made by tool_flags_gen.py from stock fairseq's own parsers; do not edit.")
    print("// clang-format off")
    interactive = names(options.get_interactive_generation_parser(), [])
    print_array("kNotInInteractive", names(generate_parser(), []) - interactive)
    task = ["--task", "language_modeling"]
    eval_lm = names(options.get_eval_lm_parser(), task)
    print_array("kNotInEvalLm", names(generate_parser(), task) - eval_lm)


if __name__ == "__main__":
    main()
