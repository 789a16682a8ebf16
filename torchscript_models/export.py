"""Exports a fairseq checkpoint as an archive that elbeam's native and TorchScript engines read.

The archive is verified against the stock model before it appears under its name; --verify-only
verifies one that exists. An archive is a program: verify only archives whose code may run here.

Exit codes: 0 verified (and written), 2 usage, 3 the checkpoint was rejected or the archive differs.
"""

import argparse
import importlib.metadata
import json
import logging
import os
import sys
import tempfile
import warnings
from typing import Any, Optional

import torch

from torchscript_models.checkpoint import ExportError, LoadedModel, Source, load_model
from torchscript_models.records import strip_debug_records
from torchscript_models.verify import verify_archive
from torchscript_models.wrapper import wrap

FORMAT_VERSION = 1


def dictionary_text(dictionary: Any) -> str:
    """One symbol a line, the special ones included, so that the line number is the id."""
    return "".join(f"{symbol}\n" for symbol in dictionary.symbols)


def _version(*names: str) -> str:
    for name in names:
        try:
            return importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return "unknown"


def describe(loaded: LoadedModel) -> dict[str, Any]:
    """config.json: fairseq's configuration and what scripted modules do not show."""
    model, target = loaded.config["model"], loaded.target_dictionary
    return {
        "format_version": FORMAT_VERSION,
        "kind": "seq2seq" if hasattr(loaded.model, "encoder") else "lm",
        **loaded.config,
        "architecture": model.get("arch") or model.get("_name"),
        "activation": model.get("activation_fn") or "relu",
        "special": {
            "bos": target.bos(),
            "pad": target.pad(),
            "eos": target.eos(),
            "unk": target.unk(),
        },
        "max_source_positions": loaded.max_source_positions,
        "max_target_positions": loaded.max_target_positions,
        "rng_draws": loaded.rng_draws,
        "fairseq_version": _version("fairseq", "fairseq-fixed"),
        "torch_version": torch.__version__,
        "checkpoint_sha256": loaded.sha256,
    }


def extra_files(loaded: LoadedModel) -> dict[str, str]:
    """The archive's extra files; the same model gives the same bytes."""
    return {
        "config.json": json.dumps(describe(loaded), sort_keys=True),
        "dict.src.txt": dictionary_text(loaded.source_dictionary),
        "dict.tgt.txt": dictionary_text(loaded.target_dictionary),
    }


def _scripted(loaded: LoadedModel) -> torch.jit.ScriptModule:
    try:
        return torch.jit.script(wrap(loaded.model))
    except Exception as error:  # whatever of the model's Python TorchScript has no counterpart for
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise ExportError(
            f"TorchScript cannot express {type(loaded.model).__name__} with "
            f"{type(loaded.model.decoder).__name__}: {lines[0]}; elbeam's native engine reads "
            "checkpoints of the architectures that it knows without an export"
        ) from error


def export(loaded: LoadedModel, out: str) -> float:
    """Writes and verifies the archive; returns the largest difference of log-probabilities.

    The name `out` appears by one rename, with the verified bytes on disk; a failure leaves nothing.
    """
    parent = os.path.dirname(os.path.abspath(out))  # one file system: the rename is atomic
    with tempfile.TemporaryDirectory(prefix=".export-", dir=parent) as folder:
        saved, stripped = os.path.join(folder, "saved"), os.path.join(folder, "stripped")
        torch.jit.save(_scripted(loaded), saved, _extra_files=extra_files(loaded))
        strip_debug_records(saved, stripped)
        difference = verify_archive(stripped, loaded)
        with open(stripped, "rb") as file:
            os.fsync(file.fileno())
        os.chmod(stripped, 0o644)
        os.replace(stripped, out)
        return difference


def verify_existing(loaded: LoadedModel, archive: str) -> float:
    """Holds an archive's extra files and its behaviour against the checkpoint."""
    found = dict.fromkeys(extra_files(loaded), "")
    try:
        torch.jit.load(archive, map_location="cpu", _extra_files=found)
        config = json.loads(found["config.json"])
    except (RuntimeError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ExportError(f"{archive}: not an archive of this exporter: {reason}") from error
    if config.get("checkpoint_sha256") != loaded.sha256:
        raise ExportError(
            f"{archive}: made from another checkpoint: sha256 {config.get('checkpoint_sha256')}, "
            f"expected {loaded.sha256}"
        )
    for name, text in extra_files(loaded).items():
        content = found[name].decode("utf-8") if isinstance(found[name], bytes) else found[name]
        if name.startswith("dict.") and content != text:
            raise ExportError(f"{archive}: {name} is not the dictionary of the data")
    return verify_archive(archive, loaded)


def _parse(arguments: Optional[list[str]]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m torchscript_models.export",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--path", required=True, help="fairseq checkpoint")
    parser.add_argument("--data", required=True, help="data-bin folder with the dictionaries")
    result = parser.add_mutually_exclusive_group(required=True)
    result.add_argument("--out", metavar="FILE", help="archive to write, e.g. model.ts.pt")
    result.add_argument(
        "--verify-only", metavar="FILE", help="archive to verify; nothing is written"
    )
    parser.add_argument("-s", "--source-lang", help="default: the checkpoint's")
    parser.add_argument("-t", "--target-lang", help="default: the checkpoint's")
    parser.add_argument(
        "--task", help="fairseq task that names the dictionaries; default: the checkpoint's"
    )
    options = parser.parse_args(arguments)
    if options.out and not os.path.isdir(os.path.dirname(os.path.abspath(options.out))):
        parser.error(f"--out {options.out}: the folder does not exist")
    return options


def main(arguments: Optional[list[str]] = None) -> int:
    """The command line."""
    options = _parse(arguments)
    # torch.jit's deprecation and fairseq's hints at optional packages are not the user's matter.
    warnings.simplefilter("ignore")
    logging.disable(logging.INFO)
    source = Source(
        options.path, options.data, options.source_lang, options.target_lang, options.task
    )
    target = options.out or options.verify_only
    try:
        loaded = load_model(source)
        difference = export(loaded, target) if options.out else verify_existing(loaded, target)
    except (ExportError, OSError) as error:
        note = "; nothing was written" if options.out else ""
        print(f"export: error: {error}{note}", file=sys.stderr)
        return 3
    done = "written and verified" if options.out else "verified"
    print(
        f"{target}: {done} against the stock model, "
        f"largest difference of log-probabilities {difference:.2e}",
        file=sys.stderr,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
