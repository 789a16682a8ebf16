#!/usr/bin/env python3
"""Tiny random checkpoints of stock fairseq, one for each family, and what stock computes with them.

    cd tests/data/architectures && python make.py [NAME ...]

Needs the Python that has fairseq (fairseq-fixed 0.12.3.1, torch 2.11.0) and
TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD=1. A model is built from fairseq-train's own flags, its random
weights are spread so that no distribution is flat, and saved; then it is loaded again by
checkpoint_utils.load_model_ensemble_and_task and run in double precision on two sentences, one at
a time (log-probabilities of magnitude 100 would hide what fp32 rounds away). NAME.json holds for each: source, decoder input, log-probabilities of all positions, and the attention that
the decoder returns (last layer, mean over heads).
"""

import json
import pathlib
import re
import shutil
import sys
import tempfile

import torch
from fairseq import checkpoint_utils, options, tasks
from fairseq.dataclass.utils import convert_namespace_to_omegaconf
from omegaconf import OmegaConf

HERE = pathlib.Path(__file__).resolve().parent
TOY = HERE.parent / "toy"

SIZE = {"embed-dim": 16, "layers": 2, "attention-heads": 4, "ffn-embed-dim": 24}


def sides(names, **changes):
    size = {**SIZE, **{k.replace("_", "-"): v for k, v in changes.items()}}
    return [part for side in names for key, value in size.items() for part in (f"--{side}-{key}", str(value))]


def lm(arch, *flags, **size):
    return {
        "task": "language_modeling",
        "flags": ["--arch", arch, "--tokens-per-sample", "32", *sides(["decoder"], **size), *flags],
    }


def seq2seq(arch, *flags, task="translation", data="bin-ende", **size):
    return {
        "task": task,
        "data": data,
        "flags": ["--arch", arch, *sides(["encoder", "decoder"], **size), *flags],
    }


ADAPTIVE = ("--adaptive-softmax-cutoff", "12,24", "--criterion", "adaptive_loss")
WIDTH = ("--decoder-input-dim", "16", "--decoder-output-dim", "16")
ADAPTIVE_INPUT = ("--adaptive-input", "--adaptive-input-cutoff", "12,24", "--adaptive-input-factor", "2")

FAMILIES = {
    "lm_gpt": lm("transformer_lm_gpt", "--decoder-learned-pos", "--share-decoder-input-output-embed"),
    "lm_sinusoidal": lm("transformer_lm_gpt2_tiny", "--no-decoder-final-norm"),
    "lm_nopos": lm("transformer_lm", *WIDTH, "--no-token-positional-embeddings", "--layernorm-embedding", "--no-scale-embedding"),
    "lm_widths": lm("transformer_lm_big", "--decoder-input-dim", "8", "--decoder-output-dim", "12"),
    "lm_adaptive_softmax": lm("transformer_lm_gbw", *ADAPTIVE, "--adaptive-softmax-factor", "2"),
    "lm_adaptive_tied": lm("transformer_lm_wiki103", *ADAPTIVE, *ADAPTIVE_INPUT, "--adaptive-softmax-factor", "2"),
    "lm_adaptive_tied_words": lm(
        "transformer_lm", *WIDTH, *ADAPTIVE, *ADAPTIVE_INPUT, "--adaptive-softmax-factor", "2", "--tie-adaptive-weights"
    ),
    "lm_normformer": lm("transformer_lm_gpt3_small", "--scale-fc", "--scale-attn", "--scale-heads", "--scale-resids"),
    "bart": seq2seq("bart_base", "--max-source-positions", "32", "--max-target-positions", "32", data="bin-joined"),
    "mbart": seq2seq(
        "mbart_base", "--max-source-positions", "32", "--max-target-positions", "32", data="bin-joined"
    ),
    "adaptive": seq2seq("transformer", *ADAPTIVE, "--adaptive-softmax-factor", "2"),
    "no_cross": seq2seq("transformer_tiny", "--no-cross-attention"),
    "quant_noise": seq2seq("transformer_wmt_en_de", "--quant-noise-pq", "0.1", "--quant-noise-pq-block-size", "4"),
    "layerdrop": {
        **seq2seq(
            "transformer_iwslt_de_en", "--encoder-layerdrop", "0.1", "--decoder-layerdrop", "0.1", layers=3
        ),
        "overrides": {"encoder_layers_to_keep": "2,0", "decoder_layers_to_keep": "1"},
    },
    "wmt_big_old": {**seq2seq("transformer_wmt_en_de_big_t2t"), "old": True},
    "align": seq2seq("transformer_align", "--alignment-layer", "0", "--alignment-heads", "1", "--full-context-alignment"),
    "multilingual": seq2seq(
        "multilingual_transformer_iwslt_de_en",
        "--lang-pairs",
        "en-de,de-en",
        "--share-decoders",
        task="multilingual_translation",
        data="bin-joined",
    ),
}


def data_folder(family, scratch):
    """A folder with the dictionaries that the task opens."""
    folder = pathlib.Path(scratch, "data")
    if not folder.exists():
        shutil.copytree(TOY / family.get("data", "bin-joined"), folder)
        shutil.copy(folder / "dict.de.txt", folder / "dict.txt")
    return str(folder)


def arguments(family, data):
    parser = options.get_training_parser()
    flags = [data, "--task", family["task"], "--cpu", "--optimizer", "adam", "--seed", "1", *family["flags"]]
    return options.parse_args_and_arch(parser, flags)


def spread(model):
    """Random weights that matter: norms and biases away from 1 and 0, distributions not flat."""
    generator = torch.Generator().manual_seed(3)
    done = set()
    for name, parameter in model.named_parameters():
        if parameter.data_ptr() in done:
            continue
        done.add(parameter.data_ptr())
        noise = torch.randn(parameter.shape, generator=generator)
        if parameter.dim() == 1:
            parameter.data.add_(0.3 * noise)
        else:
            parameter.data.add_(noise * (0.7 if "embed" in name or "output" in name else 0.2))


def oldest_format(state):
    """q, k and v joined, LayerNorms numbered, no version buffers: files of 2018."""
    model = {}
    for name, tensor in state.items():
        if name.endswith(".version") or "self_attn.k_proj" in name or "self_attn.v_proj" in name:
            continue
        if name.endswith("layer_norm.weight") and name.count(".") == 2 or name.endswith("layer_norm.bias") and name.count(".") == 2:
            continue  # the stacks' own, which version 1 did not have
        if "self_attn.q_proj" in name:
            kind = name.rsplit(".", 1)[1]
            parts = [state[name.replace("q_proj", p)] for p in ("q_proj", "k_proj", "v_proj")]
            model[name.replace(f"q_proj.{kind}", f"in_proj_{kind}")] = torch.cat(parts)
            continue
        new = re.sub(r"self_attn_layer_norm", "layer_norms.0", name)
        new = re.sub(r"encoder_attn_layer_norm", "layer_norms.1", new)
        new = re.sub(r"final_layer_norm", f"layer_norms.{2 if name.startswith('decoder') else 1}", new)
        model[new] = tensor
    return model


def without_folders(section):
    for key, value in (section if isinstance(section, dict) else vars(section)).items():
        if isinstance(value, str) and value.startswith("/"):
            (section if isinstance(section, dict) else vars(section))[key] = value.rsplit("/", 1)[-1]


def save(name, family, scratch):
    args = arguments(family, data_folder(family, scratch))
    torch.manual_seed(1)
    config = convert_namespace_to_omegaconf(args)
    task = tasks.setup_task(config.task)
    model = task.build_model(config.model)
    spread(model)
    state = {k: v for k, v in model.state_dict().items()}
    if family.get("old"):
        state = oldest_format(state)
    cfg = OmegaConf.to_container(config, resolve=True)
    for section in cfg.values():
        if isinstance(section, dict) or hasattr(section, "__dict__"):
            without_folders(section)
    torch.save({"args": None, "cfg": cfg, "model": state, "extra_state": {}, "optimizer_history": [
        {"criterion_name": "X", "optimizer_name": "X", "lr_scheduler_state": {}, "num_updates": 0}],
        "last_optimizer_state": None, "task_state": {}}, HERE / f"{name}.pt")


SOURCES = [[5, 9, 4, 17, 30, 7, 2], [21, 6, 11, 2]]
INPUTS = [[2, 6, 25, 13, 38, 4], [2, 31, 8, 19, 22, 5, 6, 12, 37]]


@torch.no_grad()
def run(model, source, given, temperature):
    tokens = torch.tensor([given])
    if source is None:
        out = model.decoder(tokens)
    else:
        lengths = torch.tensor([len(source)])
        encoder_out = model.encoder(torch.tensor([source]), src_lengths=lengths)
        out = model.decoder(tokens, encoder_out=encoder_out)
    features = out[0].clone().div_(temperature)
    if getattr(model.decoder, "adaptive_softmax", None) is None:
        log_probs = features.log_softmax(-1)  # get_normalized_probs would go through fp32
    else:
        log_probs = model.get_normalized_probs((features, out[1]), log_probs=True, sample=None)
    attention = out[1]["attn"][0] if out[1] and out[1].get("attn") else None
    record = {"input": given, "log_probs": log_probs[0].tolist()}
    if source is not None:
        record["source"] = source
    if attention is not None:
        record["attention"] = attention[0].tolist()
    return record


def reference(name, family, scratch):
    overrides = {"data": data_folder(family, scratch), **family.get("overrides", {})}
    if family["task"] == "multilingual_translation":
        overrides.update({"source_lang": "en", "target_lang": "de"})
    models, _, _ = checkpoint_utils.load_model_ensemble_and_task(
        [str(HERE / f"{name}.pt")], arg_overrides=dict(overrides)
    )
    model = models[0].eval()
    if family["task"] == "multilingual_translation":
        model = model.models["en-de"]
    model.double()
    sources = [None, None] if family["task"] == "language_modeling" else SOURCES
    # As SequenceGenerator divides: by 0.7 as well, which means something else to adaptive softmax.
    records = [run(model, s, i, 1.0) for s, i in zip(sources, INPUTS)]
    warm = [run(model, s, i, 0.7)["log_probs"][-1] for s, i in zip(sources, INPUTS)]
    for record, line in zip(records, warm):
        record["last_at_temperature_0.7"] = line
    result = {"sentences": records, "overrides": {k: v for k, v in family.get("overrides", {}).items()}}
    if family["task"] == "multilingual_translation":
        result["language_pair"] = "en-de"
    text = json.dumps(result)
    text = re.sub(r"-?\d+\.\d+(e-?\d+)?", lambda m: repr(float(f"{float(m.group()):.8g}")), text)
    (HERE / f"{name}.json").write_text(text + "\n")
    peak = [max(line) for r in records for line in r["log_probs"]]
    print(name, f"{(HERE / f'{name}.pt').stat().st_size} bytes, mean peak {sum(peak) / len(peak):.2f}")


def main():
    for name in sys.argv[1:] or FAMILIES:
        with tempfile.TemporaryDirectory() as scratch:
            save(name, FAMILIES[name], scratch)
            reference(name, FAMILIES[name], scratch)


if __name__ == "__main__":
    main()
