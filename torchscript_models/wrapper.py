"""The module that is scripted: fairseq's encoder and decoder with the calls that decoding needs."""

from typing import Dict, List, Optional, Tuple

import torch
from torch import Tensor, nn


class Seq2Seq(nn.Module):
    """Attributes ``encoder`` and ``decoder`` keep the parameters' fairseq names.

    States are returned although C++ shares them by reference: a Python caller passes copies.
    """

    def __init__(self, encoder: nn.Module, decoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder

    @torch.jit.export
    def encode(self, src_tokens: Tensor, src_lengths: Tensor) -> Dict[str, List[Tensor]]:
        """src_tokens [bsz, len] left-padded, src_lengths [bsz] -> fairseq's encoder_out."""
        return self.encoder(src_tokens, src_lengths)

    @torch.jit.export
    def reorder_encoder_out(
        self, encoder_out: Dict[str, List[Tensor]], order: Tensor
    ) -> Dict[str, List[Tensor]]:
        """Row i of the result is row order[i]."""
        return self.encoder.reorder_encoder_out(encoder_out, order)

    @torch.jit.export
    def step(
        self,
        prev_output_tokens: Tensor,
        encoder_out: Dict[str, List[Tensor]],
        state: Dict[str, Dict[str, Optional[Tensor]]],
    ) -> Tuple[Tensor, Dict[str, Dict[str, Optional[Tensor]]]]:
        """prev_output_tokens [rows, t + 1] -> logits [rows, vocab] of the last position, state."""
        logits, _extra = self.decoder(
            prev_output_tokens, encoder_out=encoder_out, incremental_state=state
        )
        return logits[:, -1, :], state

    @torch.jit.export
    def reorder_state(
        self, state: Dict[str, Dict[str, Optional[Tensor]]], order: Tensor
    ) -> Dict[str, Dict[str, Optional[Tensor]]]:
        """Row i of every cache becomes row order[i]."""
        self.decoder.reorder_incremental_state_scripting(state, order)
        return state

    def forward(self, src_tokens: Tensor, src_lengths: Tensor, prev_output_tokens: Tensor) -> Tensor:
        """Teacher-forced logits [bsz, len, vocab]."""
        encoder_out = self.encoder(src_tokens, src_lengths)
        logits, _extra = self.decoder(prev_output_tokens, encoder_out=encoder_out)
        return logits
