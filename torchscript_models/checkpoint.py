"""Loads a fairseq checkpoint without letting the file run code, and builds its model."""

import argparse
import collections
import hashlib
import typing
from dataclasses import dataclass
from typing import Any, Dict, List

import torch


class ExportError(Exception):
    """The input cannot be exported; the message says why and what would mend it."""


@dataclass
class LoadedModel:
    """A fairseq model in evaluation mode, with what it was built from."""

    model: torch.nn.Module
    config: Dict[str, Any]  # {"model": ..., "task": ...}, plain values
    source_dictionary: Any
    target_dictionary: Any
    rng_draws: int  # 32-bit draws of torch's CPU generator that building the model took
    sha256: str


def allowed_globals() -> List[Any]:
    """What fairseq checkpoints refer to beyond tensors; nothing of it does anything when built."""
    import numpy
    import omegaconf

    allowed = [
        argparse.Namespace,
        collections.defaultdict,
        typing.Any,
        dict,
        list,
        int,
        omegaconf.DictConfig,
        omegaconf.ListConfig,
        omegaconf.base.ContainerMetadata,
        omegaconf.base.Metadata,
        omegaconf.nodes.AnyNode,
        numpy.ndarray,
        numpy.dtype,
        numpy.core.multiarray._reconstruct,
        numpy.core.multiarray.scalar,
    ]
    return allowed + [type(numpy.dtype(name)) for name in ("int64", "int32", "float64", "float32", "bool")]


def load_state(path: str) -> Dict[str, Any]:
    """torch.load with weights_only=True and the list above. Never falls back to anything else."""
    try:
        with torch.serialization.safe_globals(allowed_globals()):
            state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise ExportError(f"{path}: no such file") from error
    except Exception as error:  # torch raises UnpicklingError, RuntimeError, EOFError, ...
        reason = str(error).strip().splitlines()
        unsafe = [line for line in reason if "GLOBAL" in line or "global" in line]
        raise ExportError(f"{path}: refused: {(unsafe or reason or [type(error).__name__])[0]}") from error
    if not isinstance(state, dict) or "model" not in state:
        raise ExportError(f"{path}: not a fairseq checkpoint: no entry 'model'")
    return state


def plain(value: Any) -> Any:
    """Configuration values as JSON has them; what is not data becomes None."""
    import omegaconf

    if isinstance(value, (omegaconf.DictConfig, omegaconf.ListConfig)):
        value = omegaconf.OmegaConf.to_container(value, resolve=True, enum_to_str=True)
    if isinstance(value, argparse.Namespace):
        value = vars(value)
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value if isinstance(value, (bool, int, float, str)) or value is None else None


def _generator_state() -> Any:
    import numpy

    raw = torch.get_rng_state().numpy().tobytes()
    left = int(numpy.frombuffer(raw, dtype=numpy.int32, count=1, offset=8)[0])
    return left, numpy.frombuffer(raw, dtype=numpy.uint64, count=624, offset=24).tobytes()


def count_rng_draws(seed: int) -> int:
    """Draws since torch.manual_seed(seed), found by stepping a fresh generator to the same state."""
    target_left, target_block = _generator_state()
    saved = torch.get_rng_state()
    torch.manual_seed(seed)
    draws = 0
    if _generator_state() != (target_left, target_block):
        torch.empty(1, dtype=torch.int32).random_()  # the first draw makes the first block
        draws = 1
        while _generator_state()[1] != target_block:
            torch.empty(624, dtype=torch.int32).random_()
            draws += 624
            if draws > 1 << 36:
                raise ExportError("the random draws of the model's initialisation cannot be counted")
        while _generator_state()[0] != target_left:
            torch.empty(1, dtype=torch.int32).random_()
            draws += 1
    torch.set_rng_state(saved)
    return draws


def _omegaconf(cfg: Any) -> Any:
    """A dict of dicts and Namespaces as OmegaConf, as fairseq's load_checkpoint_to_cpu makes it."""
    import omegaconf

    return omegaconf.OmegaConf.create(cfg, flags={"allow_objects": True})


def load_model(path: str, data: str, languages: Dict[str, Any]) -> LoadedModel:
    """Builds task and model as fairseq does, then loads the weights strictly."""
    from fairseq import tasks
    from fairseq.dataclass.utils import convert_namespace_to_omegaconf

    state = load_state(path)
    cfg = state.get("cfg")
    if cfg is None:
        if state.get("args") is None:
            raise ExportError(f"{path}: neither cfg nor args: the architecture is unknown")
        cfg = convert_namespace_to_omegaconf(state["args"])
    cfg = _omegaconf(cfg) if isinstance(cfg, dict) else cfg
    model_config, task_config = cfg["model"], cfg["task"]
    overrides = {"data": data, **{key: value for key, value in languages.items() if value}}
    for key, value in overrides.items():
        setattr(task_config, key, value)
    task = tasks.setup_task(task_config)
    seed = 1
    torch.manual_seed(seed)
    model = task.build_model(model_config)
    draws = count_rng_draws(seed)
    model.upgrade_state_dict(state["model"])
    try:
        model.load_state_dict(state["model"], strict=True, model_cfg=model_config)
    except RuntimeError as error:
        raise ExportError(f"{path} does not fit the dictionaries in {data}: {error}") from error
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest() if hasattr(hashlib, "file_digest") else (
            hashlib.sha256(file.read()).hexdigest()
        )
    return LoadedModel(
        model=model.float().eval(),
        config={"model": plain(model_config), "task": plain(task_config)},
        source_dictionary=task.source_dictionary,
        target_dictionary=task.target_dictionary,
        rng_draws=draws,
        sha256=digest,
    )
