"""Scores given hypotheses in fp64 by teacher forcing, with stock fairseq's own model.

Runs under the Python of the reference environment, as a script; imports nothing of elbeam:

    PY rescore.py REQUEST.json ANSWER.json

REQUEST: {"flags": [fairseq-generate's arguments],
          "hypotheses": [[sentence id, "words of the target", number of tokens]]}
ANSWER:  {"scores": [float or null]}, base 2, normalised by --lenpen as fairseq prints them. null:
the words do not stand for one sequence of that many tokens.
"""

import ast
import json
import math
import sys

import torch
import torch.nn.functional as F
from fairseq import checkpoint_utils, options, tasks, utils
from fairseq.dataclass.utils import convert_namespace_to_omegaconf


def use_double_softmax():
    """fairseq.utils.softmax and log_softmax compute in float32 whatever they are given; the modules
    look them up through `utils` at each call, so that replacing them here reaches all."""
    utils.softmax = lambda x, dim, onnx_trace=False: F.softmax(x, dim=dim)
    utils.log_softmax = lambda x, dim, onnx_trace=False: F.log_softmax(x, dim=dim)


def load(flags, seeded=False):
    """seeded: the random generator stands where fairseq_cli.generate has it after loading."""
    parser = options.get_generation_parser()
    # As fairseq_cli.generate adds it: no effect, but the parser demands a known name.
    parser.add_argument("--arch", "-a", default="wav2vec2")
    cfg = convert_namespace_to_omegaconf(options.parse_args_and_arch(parser, input_args=flags))
    if seeded and cfg.common.seed is not None and not cfg.generation.no_seed_provided:
        utils.set_torch_seed(cfg.common.seed)
    task = tasks.setup_task(cfg.task)
    models, saved = checkpoint_utils.load_model_ensemble(
        utils.split_paths(cfg.common_eval.path),
        arg_overrides=ast.literal_eval(cfg.common_eval.model_overrides),
        task=task,
    )
    task.load_dataset(cfg.dataset.gen_subset, task_cfg=saved.task)
    for model in models:
        model.double()
        model.eval()
    return cfg, task, models


def target_ids(dictionary, words, count):
    ids = [dictionary.index(word) for word in words.split(" ") if word] + [dictionary.eos()]
    return ids if len(ids) == count else None


def score(cfg, task, models, dataset, sentence_id, ids):
    """sum of base-e log-probabilities / length ** lenpen, then in base 2 (SequenceGenerator's
    finalize_hypos and generate.py's division by ln 2)."""
    generation = cfg.generation
    sample = dataset.collater([dataset[sentence_id]])["net_input"]
    eos, unk = task.target_dictionary.eos(), task.target_dictionary.unk()
    target = torch.tensor(ids)
    log_probs = []
    for model in models:
        logits = model(
            src_tokens=sample["src_tokens"],
            src_lengths=sample["src_lengths"],
            prev_output_tokens=torch.tensor([[eos] + ids[:-1]]),
        )[0][0]
        if logits.dtype != torch.float64:
            raise RuntimeError(f"the model answered in {logits.dtype}, not in fp64")
        log_probs.append(F.log_softmax(logits / generation.temperature, dim=-1))
    mean = torch.logsumexp(torch.stack(log_probs), dim=0) - math.log(len(log_probs))
    mean[:, unk] -= generation.unkpen
    total = mean.gather(1, target.unsqueeze(1)).sum().item()
    if not generation.unnormalized:
        total /= len(ids) ** generation.lenpen
    return total / math.log(2)


def main(request_path, answer_path):
    with open(request_path, encoding="utf-8") as file:
        request = json.load(file)
    use_double_softmax()
    cfg, task, models = load(request["flags"])
    dataset = task.dataset(cfg.dataset.gen_subset)
    scores = []
    if any(not hasattr(model, "encoder") for model in models):
        request["hypotheses"], scores = [], [None] * len(request["hypotheses"])
    with torch.no_grad():
        for sentence_id, words, count in request["hypotheses"]:
            ids = target_ids(task.target_dictionary, words, count)
            scores.append(
                None if ids is None else score(cfg, task, models, dataset, sentence_id, ids)
            )
    with open(answer_path, "w", encoding="utf-8") as file:
        json.dump({"scores": scores}, file)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
