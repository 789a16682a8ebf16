"""Writes a fairseq checkpoint with random weights and a data-bin with random sources.

Run by python3 -m bench with the python that has fairseq. The same arguments give the same files:
speed and memory of a model do not depend on what it has learned, only on its shape and on how long
its outputs are.
"""

import argparse
import pathlib
import random

import data_bin
import fairseq.models
import fairseq.options
import fairseq.tasks
import torch
from fairseq.data import Dictionary

# Larger embeddings make the next word less of a tie: with fairseq's own initialisation all words
# are about equally probable, and rounding decides between hypotheses.
EMBEDDING_SCALE = 4.0


def write_dictionary(path, words):
    with open(path, "w", encoding="utf-8") as file:
        file.writelines(f"w{i} 1\n" for i in range(words))


def write_data(folder, options):
    """Sources of `length` tokens, eos included; the references are one word."""
    chooser = random.Random(options.sentences * 1000 + options.length)
    first = Dictionary().nspecial
    sentences = [
        [chooser.randrange(first, first + options.words) for _ in range(options.length - 1)] + [2]
        for _ in range(options.sentences)
    ]
    if options.language_model:
        write_dictionary(folder / "dict.txt", options.words)
        data_bin.write(folder / "test", sentences)
        return
    for language in ("src", "tgt"):
        write_dictionary(folder / f"dict.{language}.txt", options.words)
    data_bin.write(folder / "test.src-tgt.src", sentences)
    data_bin.write(folder / "test.src-tgt.tgt", [[first, 2]] * len(sentences))


def model_arguments(folder, options):
    """What fairseq-train would have stored."""
    task = "language_modeling" if options.language_model else "translation"
    command = [str(folder), "--task", task, "--arch", options.architecture]
    if not options.language_model:
        command += ["-s", "src", "-t", "tgt", "--share-all-embeddings"]
    parser = fairseq.options.get_training_parser(task)
    arguments = fairseq.options.parse_args_and_arch(parser, command)
    for override in options.override:
        name, value = override.split("=")
        setattr(arguments, name, int(value))
    return arguments


def write_checkpoint(path, folder, options):
    torch.manual_seed(1)
    arguments = model_arguments(folder, options)
    task = fairseq.tasks.setup_task(arguments)
    model = task.build_model(arguments)
    state = model.state_dict()
    scaled = set()
    for name, tensor in state.items():
        if "embed_tokens.weight" in name and tensor.data_ptr() not in scaled:
            scaled.add(tensor.data_ptr())
            tensor *= EMBEDDING_SCALE
    if options.half:
        state = {
            name: tensor.half() if tensor.is_floating_point() else tensor
            for name, tensor in state.items()
        }
    trained = {"criterion_name": "CrossEntropyCriterion", "optimizer_name": "Adam"}
    trained |= {"lr_scheduler_state": {}, "num_updates": 0}
    checkpoint = {"args": arguments, "model": state, "optimizer_history": [trained]}
    checkpoint |= {"extra_state": {"epoch": 1}, "last_optimizer_state": None}
    torch.save(checkpoint, path)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--architecture", required=True)
    parser.add_argument("--override", action="append", default=[])
    parser.add_argument("--words", type=int, required=True)
    parser.add_argument("--sentences", type=int, required=True)
    parser.add_argument("--length", type=int, required=True)
    parser.add_argument("--language-model", action="store_true")
    parser.add_argument("--half", action="store_true", help="as fairseq-train --fp16 stores it")
    parser.add_argument("--data", type=pathlib.Path, required=True)
    parser.add_argument("--checkpoint", type=pathlib.Path, required=True)
    options = parser.parse_args()
    options.data.mkdir(parents=True, exist_ok=True)
    write_data(options.data, options)
    if not options.checkpoint.exists():
        part = options.checkpoint.with_suffix(".part")
        write_checkpoint(part, options.data, options)
        part.replace(options.checkpoint)


if __name__ == "__main__":
    main()
