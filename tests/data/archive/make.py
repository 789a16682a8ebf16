"""Writes the files of this folder: what torch 2.11 itself writes, in the three layouts.

    python make.py                  # needs torch
    python make.py --sums FOLDER    # multi30k_sums.json, from the folder of the shared models

Element i of every tensor is i / 2 - 1 (of bool ones: i is odd), so tests need no list of values.
"""

import json
import os
import sys
import zlib
from argparse import Namespace
from collections import OrderedDict

import torch
from torch import nn

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), *[".."] * 3))

from torchscript_models.records import strip_debug_records  # noqa: E402


def numbers(count: int, dtype: torch.dtype) -> torch.Tensor:
    if dtype is torch.bool:
        return torch.arange(count) % 2 == 1
    return (torch.arange(count, dtype=torch.float64) / 2 - 1).to(dtype)


def state() -> OrderedDict:
    tied = numbers(6, torch.float32).view(2, 3)
    result = OrderedDict(
        (str(dtype).split(".")[1], numbers(5, dtype))
        for dtype in (
            torch.float32,
            torch.float16,
            torch.bfloat16,
            torch.float64,
            torch.int64,
            torch.int32,
            torch.int16,
            torch.int8,
            torch.bool,
        )
    )
    result["encoder.embed_tokens.weight"] = tied
    result["decoder.embed_tokens.weight"] = tied
    result["transposed"] = tied.t()
    result["row"] = tied[1]
    result["every_other"] = numbers(8, torch.float32)[1::2]
    result["parameter"] = nn.Parameter(numbers(4, torch.float32).view(1, 4))
    result["scalar"] = torch.tensor(1.5)
    result["empty"] = torch.empty(0, 3)
    return result


class Layer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.q_proj = nn.Linear(3, 2)
        with torch.no_grad():
            self.q_proj.weight.copy_(numbers(6, torch.float32).view(2, 3))
            self.q_proj.bias.copy_(numbers(2, torch.float32))
        self.register_buffer("version", torch.Tensor([3]))
        self.small = nn.Parameter(numbers(4, torch.float16))
        self.unused = torch.empty(0)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.q_proj(x)


class Side(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([Layer()])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self.layers:
            x = layer(x)
        return x + torch.tensor([1.0, 2.0])


class Both(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoder = Side()
        self.decoder = Side()
        self.decoder.layers[0].q_proj.weight = self.encoder.layers[0].q_proj.weight

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.encoder(x)


def write_sums(folder: str) -> None:
    """What torch reads from a trained checkpoint: type, shape and CRC-32 of each tensor."""
    path = os.path.join(folder, "multi30k_de_en", "checkpoint_best.pt")
    model = torch.load(path, map_location="cpu", weights_only=False)["model"]
    sums = {
        name: [
            str(tensor.dtype).split(".")[1],
            list(tensor.shape),
            zlib.crc32(tensor.contiguous().numpy().tobytes()),
        ]
        for name, tensor in model.items()
    }
    rows = ",\n".join(f"{json.dumps(name)}: {json.dumps(row)}" for name, row in sums.items())
    with open("multi30k_sums.json", "w", encoding="utf-8") as out:
        out.write("{\n" + rows + "\n}\n")


def main() -> None:
    folder = os.path.abspath(sys.argv[2]) if sys.argv[1:2] == ["--sums"] else None
    os.chdir(os.path.dirname(os.path.abspath(__file__)))
    if folder is not None:
        write_sums(folder)
        return
    checkpoint = {
        "args": Namespace(
            arch="transformer",
            encoder_layers=2,
            dropout=0.25,
            share=True,
            none=None,
            betas=(0.9, 0.98),
        ),
        "model": state(),
        "last_optimizer_state": {"state": {0: {"step": 1, "exp_avg": numbers(3, torch.float32)}}},
    }
    torch.save(checkpoint, "types.pt")
    torch.save(checkpoint, "types_legacy.pt", _use_new_zipfile_serialization=False)
    config = {
        "format_version": 1,
        "kind": "seq2seq",
        "model": {"arch": "transformer"},
        "task": {"_name": "translation"},
    }
    torch.jit.save(
        torch.jit.script(Both()),
        "saved.ts.pt",
        _extra_files={
            "config.json": json.dumps(config),
            "dict.src.txt": "a 2\nb 1\n",
            "dict.tgt.txt": "c 1\n",
        },
    )
    strip_debug_records("saved.ts.pt", "script.ts.pt")
    os.unlink("saved.ts.pt")


if __name__ == "__main__":
    main()
