"""Loads a fairseq checkpoint without letting the file run code, and builds its model."""

import argparse
import collections
import hashlib
import inspect
import os
import typing
from dataclasses import dataclass
from typing import Any, Optional

import torch

# Any seed will do: how many numbers a model draws does not depend on it.
COUNTED_SEED = 1


class ExportError(Exception):
    """The input cannot be exported; the message says why and what would mend it."""


@dataclass
class LoadedModel:
    """A fairseq model in evaluation mode, with what it was built from."""

    model: torch.nn.Module
    config: dict[str, Any]  # {"model": ..., "task": ...}, plain values
    source_dictionary: Any
    target_dictionary: Any
    max_source_positions: int
    max_target_positions: int
    rng_draws: int  # 32-bit draws of torch's CPU generator that building the model took
    sha256: str  # of the checkpoint file


@dataclass
class Source:
    """What the user names: a checkpoint, the data whose dictionaries it was trained with."""

    path: str
    data: str
    source_lang: Optional[str] = None  # default: the checkpoint's
    target_lang: Optional[str] = None
    task: Optional[str] = None  # default: the checkpoint's


def allowed_globals() -> list[Any]:
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
    return allowed + [
        type(numpy.dtype(name)) for name in ("int64", "int32", "float64", "float32", "bool")
    ]


def load_state(path: str) -> dict[str, Any]:
    """torch.load with weights_only=True and the list above. Never falls back to anything else."""
    try:
        with torch.serialization.safe_globals(allowed_globals()):
            state = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise ExportError(f"{path}: {error.strerror or error}") from error
    except (
        Exception
    ) as error:  # torch raises UnpicklingError, RuntimeError, EOFError, IndexError, ...
        lines = str(error).strip().splitlines() or [type(error).__name__]
        refused = [line for line in lines if "GLOBAL" in line or "global" in line]
        if refused:
            raise ExportError(
                f"{path}: refused, it refers to what no fairseq checkpoint needs: {refused[0]}"
            ) from error
        raise ExportError(f"{path}: not a checkpoint that torch can read: {lines[0]}") from error
    if not isinstance(state, dict) or "model" not in state:
        raise ExportError(f"{path}: not a fairseq checkpoint: no entry 'model'")
    if state.get("cfg") is None and state.get("args") is None:
        raise ExportError(f"{path}: neither cfg nor args: the architecture is unknown")
    return state


def plain(value: Any) -> Any:
    """Configuration values as JSON has them; what is not data becomes None.

    So do absolute paths: where files lay on a machine is nothing that decoding needs.
    """
    import omegaconf

    if isinstance(value, (omegaconf.DictConfig, omegaconf.ListConfig)):
        value = omegaconf.OmegaConf.to_container(value, resolve=True, enum_to_str=True)
    if isinstance(value, argparse.Namespace):
        value = vars(value)
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, str) and os.path.isabs(value):
        return None
    return value if isinstance(value, (bool, int, float, str)) or value is None else None


def _generator_state() -> tuple[int, bytes]:
    """torch's CPU generator: numbers left in the current block, and the block of mt19937."""
    import numpy

    raw = torch.get_rng_state().numpy().tobytes()
    left = int(numpy.frombuffer(raw, dtype=numpy.int32, count=1, offset=8)[0])
    return left, numpy.frombuffer(raw, dtype=numpy.uint64, count=624, offset=24).tobytes()


def count_rng_draws(seed: int) -> int:
    """Draws since torch.manual_seed(seed), counted by stepping a fresh generator to this state."""
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
                raise ExportError(
                    "the random draws of the model's initialisation cannot be counted"
                )
        while _generator_state()[0] != target_left:
            torch.empty(1, dtype=torch.int32).random_()
            draws += 1
    torch.set_rng_state(saved)
    return draws


def _task_config(source: Source, own: Any) -> Any:
    """The task that fairseq-generate would set up: from its flags, or the checkpoint's own."""
    overrides = {
        "data": source.data,
        "source_lang": source.source_lang,
        "target_lang": source.target_lang,
    }
    overrides = {key: value for key, value in overrides.items() if value}
    if source.task is None:
        for key, value in overrides.items():
            setattr(own, key, value)
        return own
    from fairseq import options
    from fairseq.dataclass.utils import convert_namespace_to_omegaconf

    flags = [source.data, "--path", source.path, "--task", source.task]
    for flag, value in (("-s", source.source_lang), ("-t", source.target_lang)):
        flags += [flag, value] if value else []
    parser = options.get_generation_parser()
    return convert_namespace_to_omegaconf(options.parse_args_and_arch(parser, flags)).task


def _build(source: Source, state: dict[str, Any]) -> tuple[Any, Any, Any, int]:
    """Task, model, model configuration and random draws, in the order of fairseq's loader."""
    import omegaconf
    from fairseq import checkpoint_utils, tasks

    if state.get("cfg") is not None:
        state["cfg"] = omegaconf.OmegaConf.create(state["cfg"], flags={"allow_objects": True})
    # load_checkpoint_to_cpu's upgrade of old states; that function itself would load unsafely.
    config = checkpoint_utils._upgrade_state_dict(state)["cfg"]
    task = tasks.setup_task(_task_config(source, config.task), from_checkpoint=True)
    torch.manual_seed(COUNTED_SEED)
    if "from_checkpoint" in inspect.signature(task.build_model).parameters:
        model = task.build_model(config.model, from_checkpoint=True)
    else:
        model = task.build_model(config.model)
    draws = count_rng_draws(COUNTED_SEED)
    model.load_state_dict(state["model"], strict=True, model_cfg=config.model)
    return task, model, config, draws


def _positions(model: torch.nn.Module) -> tuple[int, int]:
    longest = model.max_positions()
    if isinstance(longest, dict):  # of a multilingual model: the pair that is exported
        longest = next(iter(longest.values()))
    source = longest[0] if isinstance(longest, tuple) else longest
    return int(source), int(model.max_decoder_positions())


def _check_kind(path: str, model: torch.nn.Module) -> None:
    kind = type(model).__name__
    if not hasattr(model, "decoder") or not hasattr(
        model.decoder, "reorder_incremental_state_scripting"
    ):
        raise ExportError(f"{path}: {kind} has no incremental decoder; it cannot be exported")


def _sha256(path: str) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def load_model(source: Source) -> LoadedModel:
    """Builds task and model as fairseq does and loads the weights strictly. Raises ExportError."""
    state = load_state(source.path)
    try:
        task, model, config, draws = _build(source, state)
    except Exception as error:  # fairseq raises whatever a wrong configuration or folder leads to
        reason = str(error).strip() or type(error).__name__
        raise ExportError(
            f"{source.path} with the dictionaries in {source.data}: "
            f"{type(error).__name__}: {reason}"
        ) from error
    _check_kind(source.path, model)
    positions = _positions(model)
    return LoadedModel(
        model=model.float().eval(),
        config={"model": plain(config.model), "task": plain(config.task)},
        source_dictionary=task.source_dictionary,
        target_dictionary=task.target_dictionary,
        max_source_positions=positions[0],
        max_target_positions=positions[1],
        rng_draws=draws,
        sha256=_sha256(source.path),
    )
