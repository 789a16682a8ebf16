"""Small checkpoints with random weights, of models that no other test data has.

    python tests/data/torchscript/make_models.py FOLDER [NAME ...]      # needs torch and fairseq

Writes FOLDER/NAME.pt as fairseq-train saves a model that it has just built from the flags below,
and FOLDER/data with the dictionaries.
"""

import logging
import pathlib
import shutil
import sys
import warnings

HERE = pathlib.Path(__file__).resolve().parent
TOY = HERE.parent / "toy" / "bin-ende"

SEED = 5
PAIR = "-s en -t de"
SMALL = "--encoder-embed-dim 16 --encoder-ffn-embed-dim 32 --encoder-layers 2 \
 --encoder-attention-heads 2 --decoder-embed-dim 16 --decoder-ffn-embed-dim 32 --decoder-layers 2 \
 --decoder-attention-heads 2 --max-source-positions 64 --max-target-positions 64"
SMALL_LM = "--task language_modeling --tokens-per-sample 64 \
 --decoder-embed-dim 16 --decoder-input-dim 16 \
 --decoder-output-dim 16 --decoder-ffn-embed-dim 32 --decoder-layers 2 --decoder-attention-heads 2"
MODELS = {
    "lm": f"{SMALL_LM} --arch transformer_lm_gpt --share-decoder-input-output-embed",
    "adaptive_lm": f"{SMALL_LM} --arch transformer_lm --criterion adaptive_loss"
    " --adaptive-input --adaptive-input-cutoff 12,24 --adaptive-input-factor 2"
    " --adaptive-softmax-cutoff 12,24 --adaptive-softmax-factor 2"
    " --tie-adaptive-weights --tie-adaptive-proj",
    "lstm_lm": "--task language_modeling --tokens-per-sample 64 --arch lstm_lm"
    " --decoder-embed-dim 16 --decoder-hidden-size 16 --decoder-out-embed-dim 16",
    "adaptive": f"{PAIR} --arch transformer --criterion adaptive_loss {SMALL}"
    " --adaptive-softmax-cutoff 12,24",
    "align": f"{PAIR} --arch transformer_align --alignment-heads 1 --alignment-layer 1 {SMALL}",
    "lstm": f"{PAIR} --arch lstm --encoder-embed-dim 16 --encoder-hidden-size 16"
    " --encoder-bidirectional --decoder-embed-dim 16 --decoder-hidden-size 16"
    " --decoder-out-embed-dim 16",
    "multilingual": "--task multilingual_translation --lang-pairs en-de --arch"
    f" multilingual_transformer {SMALL}",
    "fconv": f"{PAIR} --arch fconv --encoder-embed-dim 16 --encoder-layers [(16,3)]"
    " --decoder-embed-dim 16 --decoder-layers [(16,3)] --decoder-out-embed-dim 16",
}


def checkpoint(flags, data):
    """What fairseq-train would save at its start, without the optimizer."""
    import torch
    from fairseq import options, tasks
    from fairseq.dataclass.utils import convert_namespace_to_omegaconf
    from omegaconf import OmegaConf

    parser = options.get_training_parser()
    arguments = options.parse_args_and_arch(parser, [data, *flags.split()])
    config = convert_namespace_to_omegaconf(arguments)
    task = tasks.setup_task(config.task)
    torch.manual_seed(SEED)
    model = task.build_model(config.model)
    return {
        "args": None,
        "cfg": OmegaConf.to_container(config),
        "model": model.state_dict(),
        "optimizer_history": [{"num_updates": 0, "criterion_name": "", "lr_scheduler_state": {}}],
        "extra_state": {"train_iterator": {"epoch": 1}},
    }


def main(folder, names):
    import torch

    warnings.simplefilter("ignore")
    logging.disable(logging.INFO)
    data = folder / "data"
    data.mkdir(parents=True, exist_ok=True)
    for name in ("dict.en.txt", "dict.de.txt"):
        shutil.copyfile(TOY / name, data / name)
    shutil.copyfile(TOY / "dict.de.txt", data / "dict.txt")
    for name in names or MODELS:
        torch.save(checkpoint(MODELS[name], str(data)), folder / f"{name}.pt")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]), sys.argv[2:])
