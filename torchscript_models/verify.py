"""Holds an archive against the stock model that it was made from.

Both run in float64: fairseq's eager encoder takes other kernels than the scripted one, and in
float32 their rounding reaches 7e-6 on small models already. What is left in float64 is below 3e-6
there (fairseq's softmax, log_softmax and gelu compute in float32 whatever they are given), so that
TOLERANCE tells a wrong archive from a rounded one. The weights are compared bit by bit before they
are widened.
"""

from typing import Any, NamedTuple, Optional

import torch
from torch import Tensor

from torchscript_models.checkpoint import ExportError, LoadedModel
from torchscript_models.wrapper import wrap

TOLERANCE = 1e-5  # of log-probabilities
BATCHES = 4
SENTENCES = 5
BEAM = 2
STEPS = 6
SEED = 20260101

State = dict[str, dict[str, Optional[Tensor]]]


class StepResult(NamedTuple):
    """Of the last position of each row."""

    log_probs: Tensor  # [rows, vocab]
    attention: Optional[Tensor]  # [rows, source length, padding included]; None: there is none


class StockModel:
    """The eager model, called as fairseq's EnsembleModel (sequence_generator.py) calls it."""

    def __init__(self, model: torch.nn.Module) -> None:
        self._model = model
        self._encoder_out: Any = None
        self._state: State = {}

    def start(self, source: Tensor, lengths: Tensor) -> None:
        self._state = {}
        if hasattr(self._model, "encoder"):
            net_input = {"src_tokens": source, "src_lengths": lengths}
            self._encoder_out = self._model.encoder.forward_torchscript(net_input)

    def reorder_encoder_out(self, order: Tensor) -> None:
        if self._encoder_out is not None:
            self._encoder_out = self._model.encoder.reorder_encoder_out(self._encoder_out, order)

    def reorder_state(self, order: Tensor) -> None:
        self._model.decoder.reorder_incremental_state_scripting(self._state, order)

    def step(self, prefix: Tensor, temperature: float = 1.0) -> StepResult:
        output, extra = self._model.decoder(
            prefix, encoder_out=self._encoder_out, incremental_state=self._state
        )
        last = output[:, -1:, :] / temperature
        # As EnsembleModel.forward_decoder: a Transformer returns a dictionary, an LSTM a tensor.
        attention = extra["attn"][0] if isinstance(extra, dict) else extra
        return StepResult(
            self._model.get_normalized_probs((last, None), True, None)[:, -1, :],
            None if attention is None else attention[:, -1, :],
        )


class ArchiveModel:
    """The archive, called as elbeam's TorchScript engine calls it."""

    def __init__(self, module: torch.jit.ScriptModule) -> None:
        self._module = module
        self._encoder_out: Any = None
        self._state: State = {}

    def start(self, source: Tensor, lengths: Tensor) -> None:
        self._state = {}
        if hasattr(self._module, "encode"):
            self._encoder_out = self._module.encode(source, lengths)

    def reorder_encoder_out(self, order: Tensor) -> None:
        if self._encoder_out is not None:
            self._encoder_out = self._module.reorder_encoder_out(self._encoder_out, order)

    def reorder_state(self, order: Tensor) -> None:
        self._state = self._module.reorder_state(self._state, order)

    def step(self, prefix: Tensor) -> StepResult:
        inputs = [prefix] if self._encoder_out is None else [prefix, self._encoder_out]
        output, self._state, *attention = self._module.step(*inputs, self._state)
        if hasattr(self._module, "log_probs"):
            log_probs = self._module.log_probs(output)
        else:  # an archive from before the exporter wrote that
            log_probs = torch.log_softmax(output, dim=-1)
        return StepResult(log_probs, attention[0] if attention else None)


def _random_batch(loaded: LoadedModel, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Ragged sentences, left-padded as fairseq's collater does, longest first."""
    dictionary = loaded.source_dictionary
    longest = min(12, loaded.max_source_positions)
    drawn = torch.randint(1, longest + 1, (SENTENCES,), generator=generator).tolist()
    lengths = sorted(drawn, reverse=True)
    tokens = torch.full((SENTENCES, lengths[0]), dictionary.pad(), dtype=torch.int64)
    for row, length in enumerate(lengths):
        words = torch.randint(dictionary.nspecial, len(dictionary), (length,), generator=generator)
        tokens[row, lengths[0] - length :] = words
        tokens[row, -1] = dictionary.eos()
    return tokens, torch.tensor(lengths)


def _check_weights(loaded: LoadedModel, module: torch.jit.ScriptModule) -> None:
    """Every tensor that decoding needs is in the archive, under fairseq's name, bit by bit."""
    stored = module.state_dict()
    for name, tensor in wrap(loaded.model).state_dict().items():
        if name not in stored:
            raise ExportError(f"the archive lacks the tensor {name}")
        if tensor.dtype != stored[name].dtype or not torch.equal(tensor, stored[name]):
            raise ExportError(f"the archive's tensor {name} differs from the model's")


def _difference(stock: Tensor, archive: Tensor, what: str) -> float:
    if stock.shape != archive.shape:
        raise ExportError(f"{what} of shape {list(archive.shape)}, expected {list(stock.shape)}")
    difference = (stock - archive).abs().max().item()
    if not difference <= TOLERANCE:  # NaN is not <= either
        raise ExportError(f"largest difference of {what} {difference:.3e}, allowed {TOLERANCE:.0e}")
    return difference


def _check_step(stock: StepResult, archive: StepResult) -> float:
    """The largest difference of log-probabilities. Raises ExportError without saying where."""
    difference = _difference(stock.log_probs, archive.log_probs, "log-probabilities")
    if not torch.equal(stock.log_probs.argmax(-1), archive.log_probs.argmax(-1)):
        raise ExportError("the best tokens are not equal")
    if (stock.attention is None) != (archive.attention is None):
        has = "no attention" if archive.attention is None else "attention that stock has not"
        raise ExportError(f"it gives {has}")
    if stock.attention is not None and archive.attention is not None:
        _difference(stock.attention, archive.attention, "attention")
    return difference


@torch.no_grad()
def verify_archive(path: str, loaded: LoadedModel) -> float:
    """Runs both over seeded batches with beam reorders. Returns the largest difference.

    Raises ExportError where they differ. Leaves the loaded model in float64. The archive's code is
    run: path must come from a source that may run code here.
    """
    module = torch.jit.load(path, map_location="cpu").eval()
    _check_weights(loaded, module)
    models: list[Any] = [StockModel(loaded.model.double()), ArchiveModel(module.double())]
    generator = torch.Generator().manual_seed(SEED)
    target = loaded.target_dictionary
    worst = 0.0
    for batch in range(BATCHES):
        source, lengths = _random_batch(loaded, generator)
        # As in the generator: one row per sentence becomes one per beam before the first step.
        expand = torch.arange(SENTENCES).repeat_interleave(BEAM)
        rows = expand.numel()
        for model in models:
            model.start(source, lengths)
            model.reorder_encoder_out(expand)
        prefix = torch.full((rows, 1), target.eos(), dtype=torch.int64)
        for step in range(min(STEPS, loaded.max_target_positions)):
            try:
                worst = max(worst, _check_step(*(model.step(prefix) for model in models)))
            except ExportError as error:
                place = f"batch {batch}, step {step}"
                raise ExportError(
                    f"the archive differs from the stock model at {place}: {error}"
                ) from error
            order = torch.randint(0, rows, (rows,), generator=generator)
            for model in models:
                model.reorder_state(order)
                model.reorder_encoder_out(order)
            words = torch.randint(target.nspecial, len(target), (rows, 1), generator=generator)
            prefix = torch.cat([prefix.index_select(0, order), words], dim=1)
    return worst
