"""Adaptive softmax and adaptive input as modules that TorchScript compiles.

fairseq's own index lists of modules by variables, which TorchScript does not allow. These hold the
same parts under the same names, so that an archive's tensors are named as in the checkpoint.
Grave et al., "Efficient softmax approximation for GPUs" (2017); Baevski and Auli, "Adaptive input
representations for neural language modeling" (2019).
"""

import copy
from typing import Any

import torch
from torch import Tensor, nn


class TiedHead(nn.Module):
    """fairseq's TiedHeadModule: word scores from the input embedding, and those of the bands."""

    def __init__(self, head: Any) -> None:
        super().__init__()
        self.word_proj = head.word_proj
        self.class_proj = head.class_proj
        self.register_buffer("_float_tensor", head._float_tensor)

    def forward(self, features: Tensor) -> Tensor:
        """[rows, dim] -> [rows, words of the first band + further bands]."""
        return torch.cat([self.word_proj(features), self.class_proj(features)], dim=1)


class AdaptiveLogProbs(nn.Module):
    """fairseq's AdaptiveSoftmax.get_log_prob over the whole vocabulary."""

    def __init__(self, softmax: Any) -> None:
        super().__init__()
        tied = type(softmax.head).__name__ == "TiedHeadModule"
        self.head = TiedHead(softmax.head) if tied else softmax.head
        self.tail = softmax.tail
        self.register_buffer("version", softmax.version)
        self.first = int(softmax.cutoff[0])  # words of the first band

    def forward(self, features: Tensor) -> Tensor:
        """[rows, dim] -> log-probabilities [rows, vocab]: a word's in its band plus its band's."""
        head = torch.log_softmax(self.head(features), dim=-1)
        bands = [head[:, : self.first]]
        for band, tail in enumerate(self.tail):
            prior = head[:, self.first + band].unsqueeze(1)
            bands.append(torch.log_softmax(tail(features), dim=-1) + prior)
        return torch.cat(bands, dim=1)


class AdaptiveEmbedding(nn.Module):
    """fairseq's AdaptiveInput: rarer bands of words have narrower embeddings, projected."""

    def __init__(self, embedding: Any) -> None:
        super().__init__()
        self.embeddings = embedding.embeddings
        self.cutoff: list[int] = [int(end) for end in embedding.cutoff]
        self.width = int(embedding.embedding_dim)
        self.register_buffer("_float_tensor", embedding._float_tensor)

    def forward(self, tokens: Tensor) -> Tensor:
        """[rows, len] -> [rows, len, width]."""
        result = self._float_tensor.new_zeros([tokens.size(0), tokens.size(1), self.width])
        start = 0
        for band, embedding in enumerate(self.embeddings):
            end = self.cutoff[band]
            inside = tokens.ge(start) & tokens.lt(end)
            result[inside] = embedding(tokens[inside] - start)
            start = end
        return result


def scriptable_decoder(decoder: Any) -> Any:
    """The decoder itself, or a copy of it that shares its tensors, with the above in place."""
    replaced: dict[str, nn.Module] = {}
    if getattr(decoder, "adaptive_softmax", None) is not None:
        replaced["adaptive_softmax"] = AdaptiveLogProbs(decoder.adaptive_softmax)
    if type(getattr(decoder, "embed_tokens", None)).__name__ == "AdaptiveInput":
        replaced["embed_tokens"] = AdaptiveEmbedding(decoder.embed_tokens)
    if not replaced:
        return decoder
    result = copy.copy(decoder)
    result._modules = {**decoder._modules, **replaced}  # copy.copy shares the table
    return result
