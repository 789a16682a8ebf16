"""The modules that are scripted: fairseq's encoder and decoder with the calls that decoding needs.

The attributes ``encoder`` and ``decoder`` keep the parameters' fairseq names. States are returned
although C++ shares them by reference: a Python caller passes copies.

Every wrapper has ``step``, ``reorder_state`` and ``log_probs``; those of encoder-decoder models
have ``encode`` and ``reorder_encoder_out``, too. What lies between encode and step is the model's
own affair.
"""

from typing import Any, Optional

import torch
from torch import Tensor, nn

from torchscript_models.adaptive import scriptable_decoder


class _Decoding(nn.Module):
    """What all wrappers share; TorchScript compiles inherited methods."""

    def __init__(self, decoder: nn.Module) -> None:
        super().__init__()
        self.decoder = decoder

    @torch.jit.export
    def reorder_state(
        self, state: dict[str, dict[str, Optional[Tensor]]], order: Tensor
    ) -> dict[str, dict[str, Optional[Tensor]]]:
        """Row i of every cache becomes row order[i]."""
        self.decoder.reorder_incremental_state_scripting(state, order)
        return state

    @torch.jit.export
    def log_probs(self, output: Tensor) -> Tensor:
        """What step() returned first, divided by the temperature -> [rows, vocab]."""
        if self.decoder.adaptive_softmax is None:
            return torch.log_softmax(output, dim=-1)
        return self.decoder.adaptive_softmax(output)


class Seq2Seq(_Decoding):
    """An encoder-decoder model whose encoder returns a dictionary: the Transformer's family."""

    def __init__(self, encoder: nn.Module, decoder: nn.Module) -> None:
        super().__init__(decoder)
        self.encoder = encoder

    @torch.jit.export
    def encode(self, src_tokens: Tensor, src_lengths: Tensor) -> dict[str, list[Tensor]]:
        """src_tokens [bsz, len] left-padded, src_lengths [bsz] -> fairseq's encoder_out."""
        return self.encoder(src_tokens, src_lengths)

    @torch.jit.export
    def reorder_encoder_out(
        self, encoder_out: dict[str, list[Tensor]], order: Tensor
    ) -> dict[str, list[Tensor]]:
        """Row i of the result is row order[i]."""
        return self.encoder.reorder_encoder_out(encoder_out, order)

    @torch.jit.export
    def step(
        self,
        prev_output_tokens: Tensor,
        encoder_out: dict[str, list[Tensor]],
        state: dict[str, dict[str, Optional[Tensor]]],
    ) -> tuple[Tensor, dict[str, dict[str, Optional[Tensor]]], Optional[Tensor]]:
        """prev_output_tokens [rows, t + 1] -> output, state, attention, of the last position.

        output: logits [rows, vocab], of adaptive softmax features [rows, dim]; attention
        [rows, len]: the last layer's to the source, mean over heads, as fairseq's decoder returns
        it (None where it returns none).
        """
        output, extra = self.decoder(
            prev_output_tokens, encoder_out=encoder_out, incremental_state=state
        )
        attention = extra["attn"][0]
        return output[:, -1, :], state, None if attention is None else attention[:, -1, :]

    def forward(
        self, src_tokens: Tensor, src_lengths: Tensor, prev_output_tokens: Tensor
    ) -> Tensor:
        """Teacher-forced output [bsz, len, vocab or dim]."""
        encoder_out = self.encoder(src_tokens, src_lengths)
        output, _extra = self.decoder(prev_output_tokens, encoder_out=encoder_out)
        return output


class RecurrentSeq2Seq(_Decoding):
    """fairseq's LSTM: the encoder returns a tuple, the decoder its attention as a tensor."""

    def __init__(self, encoder: nn.Module, decoder: nn.Module) -> None:
        super().__init__(decoder)
        self.encoder = encoder

    @torch.jit.export
    def encode(
        self, src_tokens: Tensor, src_lengths: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """src_tokens [bsz, len] left-padded, src_lengths [bsz] -> fairseq's encoder_out.

        Sentences in any order: the packing asks for longest first, the result is as they came.
        """
        return self.encoder(src_tokens, src_lengths, enforce_sorted=False)

    @torch.jit.export
    def reorder_encoder_out(
        self, encoder_out: tuple[Tensor, Tensor, Tensor, Tensor], order: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Row i of the result is row order[i]."""
        return self.encoder.reorder_encoder_out(encoder_out, order)

    @torch.jit.export
    def step(
        self,
        prev_output_tokens: Tensor,
        encoder_out: tuple[Tensor, Tensor, Tensor, Tensor],
        state: dict[str, dict[str, Optional[Tensor]]],
    ) -> tuple[Tensor, dict[str, dict[str, Optional[Tensor]]], Optional[Tensor]]:
        """As Seq2Seq.step."""
        output, attention = self.decoder(
            prev_output_tokens, encoder_out=encoder_out, incremental_state=state
        )
        return output[:, -1, :], state, None if attention is None else attention[:, -1, :]

    def forward(
        self, src_tokens: Tensor, src_lengths: Tensor, prev_output_tokens: Tensor
    ) -> Tensor:
        """Teacher-forced output [bsz, len, vocab or dim]."""
        encoder_out = self.encoder(src_tokens, src_lengths, enforce_sorted=False)
        output, _attention = self.decoder(prev_output_tokens, encoder_out=encoder_out)
        return output


class DecOnly(_Decoding):
    """A language model: fairseq's FairseqLanguageModel cannot be scripted, its decoder can."""

    @torch.jit.export
    def step(
        self, prev_output_tokens: Tensor, state: dict[str, dict[str, Optional[Tensor]]]
    ) -> tuple[Tensor, dict[str, dict[str, Optional[Tensor]]]]:
        """prev_output_tokens [rows, t + 1] -> output of the last position, state."""
        output, _extra = self.decoder(prev_output_tokens, encoder_out=None, incremental_state=state)
        return output[:, -1, :], state

    def forward(self, prev_output_tokens: Tensor) -> Tensor:
        """Teacher-forced output [rows, len, vocab or dim]."""
        output, _extra = self.decoder(prev_output_tokens)
        return output


def _float_dropouts(module: nn.Module) -> None:
    """A probability that came from the command line as 0 is an int; TorchScript wants a float."""
    for part in module.modules():
        if isinstance(getattr(part, "p", None), int):
            part.p = float(part.p)


def wrap(model: Any) -> nn.Module:
    """The wrapper that fits the fairseq model, in evaluation mode. Shares the model's tensors."""
    decoder = scriptable_decoder(model.decoder)
    if not hasattr(model, "encoder"):
        wrapper: nn.Module = DecOnly(decoder)
    elif type(model.encoder).__name__ == "LSTMEncoder":
        wrapper = RecurrentSeq2Seq(model.encoder, decoder)
    else:
        wrapper = Seq2Seq(model.encoder, decoder)
    _float_dropouts(wrapper)
    return wrapper.eval()
