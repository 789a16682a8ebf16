#!/usr/bin/env python3
"""A tiny random GPT-2 as transformers saves it, and what transformers computes with it.

    cd tests/data/gpt2_tiny && python make.py

reference.json (transformers' log-probabilities in double precision) and, for beams, its generate():
with end-of-text forbidden and no length penalty, its beam search and fairseq's are one algorithm.
"""

import json
import pathlib
import re

import torch
from transformers import GPT2Config, GPT2LMHeadModel

HERE = pathlib.Path(__file__).resolve().parent
PROMPTS = [[7, 3, 19, 40], [11, 28, 5, 33, 0, 45]]


def main():
    torch.manual_seed(4)
    config = GPT2Config(
        vocab_size=48, n_positions=24, n_embd=16, n_layer=2, n_head=4, bos_token_id=30, eos_token_id=30
    )
    model = GPT2LMHeadModel(config).eval()
    for parameter in model.parameters():
        parameter.data.add_(0.3 * torch.randn(parameter.shape))
    model.save_pretrained(HERE, safe_serialization=True)
    (HERE / "generation_config.json").unlink(missing_ok=True)
    beams = []
    for prompt in PROMPTS:
        tokens = torch.tensor([[30, *prompt]])
        for count in (1, 3):
            out = model.generate(
                tokens, attention_mask=torch.ones_like(tokens), num_beams=count, num_return_sequences=count,
                max_new_tokens=8, min_new_tokens=8, length_penalty=0.0, do_sample=False, pad_token_id=30,
            )
            beams.append({"prompt": prompt, "beam": count, "continuations": out[:, tokens.shape[1]:].tolist()})
    model = model.double()
    records = []
    with torch.no_grad():
        for prompt in PROMPTS:
            log_probs = model(torch.tensor([[30, *prompt]])).logits.log_softmax(-1)[0]
            records.append({"prompt": prompt, "log_probs": log_probs.tolist()})
    text = json.dumps({"sentences": records, "beams": beams})
    text = re.sub(r"-?\d+\.\d+(e-?\d+)?", lambda m: repr(float(f"{float(m.group()):.8g}")), text)
    (HERE / "reference.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
