"""Stored outputs of stock fairseq, with what is needed to trust and to repeat them.

A golden is a folder:
    command.txt    fairseq-generate's arguments in one line; paths are relative to the folder
    stock.txt.gz   stock's whole stdout
    meta.json      versions, CPU capability, SHA-256 of model, data and output
"""

import dataclasses
import gzip
import hashlib
import json
import pathlib
import shlex

from . import ParityError

COMMAND, STOCK, META = "command.txt", "stock.txt.gz", "meta.json"
PROGRAM = "fairseq-generate"


@dataclasses.dataclass
class Golden:
    folder: pathlib.Path
    flags: list[str]
    stock: str
    meta: dict


def sha256(path):
    digest = hashlib.sha256()
    try:
        with open(path, "rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    except OSError as error:
        raise ParityError(f"cannot read {path}: {error.strerror}") from error
    return digest.hexdigest()


def flag_value(flags, name, default=None):
    for place, flag in enumerate(flags):
        if flag == name and place + 1 < len(flags):
            return flags[place + 1]
        if flag.startswith(name + "="):
            return flag[len(name) + 1 :]
    return default


def data_folder(flags):
    if not flags or flags[0].startswith("-"):
        raise ParityError("the first argument must be the data-bin folder")
    return flags[0].split(":")[0]


def model_hashes(flags, folder):
    """File name -> SHA-256 for each model of --path."""
    path = flag_value(flags, "--path")
    if path is None:
        raise ParityError("--path is missing")
    return {pathlib.Path(part).name: sha256(pathlib.Path(folder, part)) for part in path.split(":")}


def data_hash(flags, folder):
    """One SHA-256 over names and contents of the dictionaries and of the decoded split."""
    root = pathlib.Path(folder, data_folder(flags))
    subset = flag_value(flags, "--gen-subset", "test")
    files = sorted(path for path in root.glob("*") if path.name.startswith(("dict.", subset + ".")))
    if not files:
        raise ParityError(f"{root} holds no dict.* and no {subset}.*")
    digest = hashlib.sha256()
    for path in files:
        digest.update(f"{path.name} {sha256(path)}\n".encode())
    return digest.hexdigest()


def facts(flags, folder):
    return {
        "flags": list(flags),
        "model": model_hashes(flags, folder),
        "data": data_hash(flags, folder),
    }


def write(folder, flags, stock_text, reference_facts):
    """Equal inputs give equal files, byte for byte."""
    folder = pathlib.Path(folder)
    meta = dict(facts(flags, folder), **reference_facts)
    raw = stock_text.encode("utf-8")
    meta["stock"] = hashlib.sha256(raw).hexdigest()
    (folder / STOCK).write_bytes(gzip.compress(raw, compresslevel=9, mtime=0))
    (folder / COMMAND).write_text(shlex.join([PROGRAM, *flags]) + "\n", encoding="utf-8")
    (folder / META).write_text(json.dumps(meta, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def read_stock(path):
    try:
        raw = pathlib.Path(path).read_bytes()
        return (gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw).decode("utf-8")
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise ParityError(f"cannot read stock's output {path}: {error}") from error


def read(folder):
    """Raises ParityError when the golden is not about the model and data that stand beside it."""
    folder = pathlib.Path(folder)
    try:
        command = shlex.split((folder / COMMAND).read_text(encoding="utf-8"))
        meta = json.loads((folder / META).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ParityError(f"{folder} is no golden: {error}") from error
    if command[:1] != [PROGRAM] or not isinstance(meta, dict):
        raise ParityError(f"{folder}/{COMMAND} must begin with {PROGRAM}")
    golden = Golden(folder, command[1:], read_stock(folder / STOCK), meta)
    now = facts(golden.flags, folder)
    now["stock"] = hashlib.sha256(golden.stock.encode("utf-8")).hexdigest()
    for key, value in now.items():
        if meta.get(key) != value:
            raise ParityError(
                f"{folder}: {key} is not what {META} says: {meta.get(key)} there, {value} here"
            )
    return golden
