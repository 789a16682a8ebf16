"""Exports a fairseq checkpoint as an archive that elbeam's native and TorchScript engines read.

Exit codes: 0 written and verified, 2 usage, 3 the checkpoint was rejected or the archive differs.
"""

import argparse
import importlib.metadata
import json
import os
import sys
import tempfile
import warnings
from typing import Any, Dict, List, Optional

import torch

from torchscript_models.checkpoint import ExportError, LoadedModel, load_model
from torchscript_models.verify import verify_archive
from torchscript_models.wrapper import Seq2Seq

FORMAT_VERSION = 1


def dictionary_text(dictionary: Any) -> str:
    """One symbol a line, the special ones included, so that the line number is the id."""
    return "".join(f"{symbol}\n" for symbol in dictionary.symbols)


def describe(loaded: LoadedModel) -> Dict[str, Any]:
    """config.json: fairseq's configuration and what scripted modules do not show."""
    model, target = loaded.model, loaded.target_dictionary
    positions = model.max_positions()
    return {
        "format_version": FORMAT_VERSION,
        "kind": "seq2seq",
        **loaded.config,
        "architecture": loaded.config["model"].get("arch"),
        "activation": loaded.config["model"].get("activation_fn", "relu"),
        "special": {"bos": target.bos(), "pad": target.pad(), "eos": target.eos(), "unk": target.unk()},
        "max_source_positions": int(positions[0]),
        "max_target_positions": int(model.max_decoder_positions()),
        "rng_draws": loaded.rng_draws,
        "fairseq_version": _version("fairseq", "fairseq-fixed"),
        "torch_version": torch.__version__,
        "checkpoint_sha256": loaded.sha256,
    }


def _version(*names: str) -> str:
    for name in names:
        try:
            return importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return "unknown"


def export(loaded: LoadedModel, out: str) -> float:
    """Writes and verifies the archive; returns the largest difference of log-probabilities."""
    wrapper = Seq2Seq(loaded.model.encoder, loaded.model.decoder).eval()
    extra = {
        "config.json": json.dumps(describe(loaded), sort_keys=True),
        "dict.src.txt": dictionary_text(loaded.source_dictionary),
        "dict.tgt.txt": dictionary_text(loaded.target_dictionary),
    }
    folder = os.path.dirname(os.path.abspath(out))
    handle, temporary = tempfile.mkstemp(suffix=".ts.pt", dir=folder)
    os.close(handle)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # torch.jit works, and is all there is
            scripted = torch.jit.script(wrapper)
            torch.jit.save(scripted, temporary, _extra_files=extra)
            difference = verify_archive(temporary, wrapper, len(loaded.source_dictionary), len(loaded.target_dictionary))
        os.chmod(temporary, 0o644)
        os.replace(temporary, out)
        return difference
    finally:
        if os.path.exists(temporary):
            os.unlink(temporary)


def main(arguments: Optional[List[str]] = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m torchscript_models.export", description=__doc__)
    parser.add_argument("--path", required=True, help="fairseq checkpoint")
    parser.add_argument("--data", required=True, help="data-bin folder with the dictionaries")
    parser.add_argument("--out", required=True, help="archive to write, e.g. model.ts.pt")
    parser.add_argument("-s", "--source-lang", help="default: the checkpoint's")
    parser.add_argument("-t", "--target-lang", help="default: the checkpoint's")
    options = parser.parse_args(arguments)
    try:
        languages = {"source_lang": options.source_lang, "target_lang": options.target_lang}
        loaded = load_model(options.path, options.data, languages)
        if not hasattr(loaded.model, "encoder"):
            raise ExportError(f"{options.path}: only encoder-decoder models can be exported yet")
        difference = export(loaded, options.out)
    except ExportError as error:
        print(f"export: error: {error}", file=sys.stderr)
        return 3
    print(f"{options.out}: verified against the eager model, largest difference {difference:.2e}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
