#!/usr/bin/env python3
"""Checkpoint of fairseq-train -> small one with weights and configuration only.

    pack_checkpoint.py OUT IN [IN ...] [--half] [--legacy]

Several IN are averaged (same architecture). --half stores weights in half precision, --legacy
writes the pickle stream of torch < 1.6 instead of a zip archive. Needs torch and fairseq. Only for
files of your own: it unpickles them.
"""

import argparse

import torch


def load(path):
    return torch.load(path, map_location="cpu", weights_only=False)


def without_folders(section):
    """Paths of the machine that trained say nothing about the model: keep their last part."""
    options = section if isinstance(section, dict) else vars(section)
    for key, value in options.items():
        if isinstance(value, str) and value.startswith("/"):
            options[key] = value.rstrip("/").rsplit("/", 1)[-1]


def packed_weights(states, half):
    """Mean of the states, tensor by tensor; tied tables remain one storage."""
    done = {}

    def pack(name):
        first = states[0][name]
        key = (first.data_ptr(), first.shape)
        if key not in done:
            mean = sum(s[name].double() for s in states) / len(states)
            done[key] = mean.to(torch.float16 if half and first.numel() > 1 else first.dtype)
        return done[key]

    return type(states[0])((name, pack(name)) for name in states[0])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out")
    parser.add_argument("inputs", nargs="+")
    parser.add_argument("--half", action="store_true")
    parser.add_argument("--legacy", action="store_true")
    args = parser.parse_args()
    checkpoints = [load(path) for path in args.inputs]
    packed = checkpoints[-1]
    for section in (packed.get("cfg") or {}).values():
        if isinstance(section, dict) or hasattr(section, "__dict__"):
            without_folders(section)
    packed["model"] = packed_weights([c["model"] for c in checkpoints], args.half)
    packed["last_optimizer_state"] = None
    packed["optimizer_history"] = packed["optimizer_history"][-1:]
    kept = ("train_iterator", "val_loss")
    packed["extra_state"] = {k: v for k, v in packed["extra_state"].items() if k in kept}
    packed["task_state"] = {}
    torch.save(packed, args.out, _use_new_zipfile_serialization=not args.legacy)


if __name__ == "__main__":
    main()
