"""The modules that are scripted: fairseq's encoder and decoder with the calls that decoding needs.

The attributes ``encoder`` and ``decoder`` keep the parameters' fairseq names. States are returned
although C++ shares them by reference: a Python caller passes copies.
"""

from typing import Optional

import torch
from torch import Tensor, nn


class Seq2Seq(nn.Module):
    """An encoder-decoder model."""

    def __init__(self, encoder: nn.Module, decoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder

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
        """prev_output_tokens [rows, t + 1] -> logits, state, attention, of the last position.

        logits [rows, vocab]; attention [rows, len]: the last layer's to the source, mean over
        heads, as fairseq's decoder returns it (None where it returns none).
        """
        logits, extra = self.decoder(
            prev_output_tokens, encoder_out=encoder_out, incremental_state=state
        )
        attention = extra["attn"][0]
        return logits[:, -1, :], state, None if attention is None else attention[:, -1, :]

    @torch.jit.export
    def reorder_state(
        self, state: dict[str, dict[str, Optional[Tensor]]], order: Tensor
    ) -> dict[str, dict[str, Optional[Tensor]]]:
        """Row i of every cache becomes row order[i]."""
        self.decoder.reorder_incremental_state_scripting(state, order)
        return state

    def forward(
        self, src_tokens: Tensor, src_lengths: Tensor, prev_output_tokens: Tensor
    ) -> Tensor:
        """Teacher-forced logits [bsz, len, vocab]."""
        encoder_out = self.encoder(src_tokens, src_lengths)
        logits, _extra = self.decoder(prev_output_tokens, encoder_out=encoder_out)
        return logits


class DecOnly(nn.Module):
    """A language model: fairseq's FairseqLanguageModel cannot be scripted, its decoder can."""

    def __init__(self, decoder: nn.Module) -> None:
        super().__init__()
        self.decoder = decoder

    @torch.jit.export
    def step(
        self, prev_output_tokens: Tensor, state: dict[str, dict[str, Optional[Tensor]]]
    ) -> tuple[Tensor, dict[str, dict[str, Optional[Tensor]]]]:
        """prev_output_tokens [rows, t + 1] -> logits [rows, vocab] of the last position, state."""
        logits, _extra = self.decoder(prev_output_tokens, encoder_out=None, incremental_state=state)
        return logits[:, -1, :], state

    @torch.jit.export
    def reorder_state(
        self, state: dict[str, dict[str, Optional[Tensor]]], order: Tensor
    ) -> dict[str, dict[str, Optional[Tensor]]]:
        """Row i of every cache becomes row order[i]."""
        self.decoder.reorder_incremental_state_scripting(state, order)
        return state

    def forward(self, prev_output_tokens: Tensor) -> Tensor:
        """Teacher-forced logits [rows, len, vocab]."""
        logits, _extra = self.decoder(prev_output_tokens)
        return logits


def wrap(model: nn.Module) -> nn.Module:
    """The wrapper that fits the fairseq model, in evaluation mode."""
    if hasattr(model, "encoder"):
        return Seq2Seq(model.encoder, model.decoder).eval()
    return DecOnly(model.decoder).eval()
