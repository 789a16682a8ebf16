"""Holds an archive against the eager model that it was made from."""

from typing import Dict, List, Optional

import torch
from torch import Tensor

from torchscript_models.checkpoint import ExportError

TOLERANCE = 1e-5  # of log-probabilities; scripted and eager encoders differ by about 7e-7
BATCHES = 4
STEPS = 6


def _random_batch(generator: torch.Generator, vocabulary: int) -> List[Tensor]:
    """Ragged sentences, left-padded as fairseq's collater does, longest first."""
    lengths = sorted(torch.randint(1, 12, (5,), generator=generator).tolist(), reverse=True)
    tokens = torch.full((len(lengths), lengths[0]), 1, dtype=torch.int64)
    for row, length in enumerate(lengths):
        tokens[row, lengths[0] - length :] = torch.randint(4, vocabulary, (length,), generator=generator)
        tokens[row, -1] = 2
    return [tokens, torch.tensor(lengths)]


@torch.no_grad()
def verify_archive(path: str, eager: torch.nn.Module, source_vocabulary: int, target_vocabulary: int) -> float:
    """Runs both over seeded batches with beam reorders. Returns the largest difference.

    Raises ExportError when it exceeds TOLERANCE or the best token differs.
    """
    archive = torch.jit.load(path, map_location="cpu").eval()
    generator = torch.Generator().manual_seed(20260101)
    worst = 0.0
    for batch in range(BATCHES):
        source, lengths = _random_batch(generator, source_vocabulary)
        outs = [module.encode(source, lengths) for module in (eager, archive)]
        empty: Dict[str, Dict[str, Optional[Tensor]]] = {}
        states = [empty, dict(empty)]
        rows = source.size(0)
        prefix = torch.full((rows, 1), 2, dtype=torch.int64)
        for step in range(STEPS):
            results = [m.step(prefix, out, state) for m, out, state in zip((eager, archive), outs, states)]
            states = [state for _, state in results]
            eager_lprobs, archive_lprobs = (torch.log_softmax(logits.float(), dim=-1) for logits, _ in results)
            difference = (eager_lprobs - archive_lprobs).abs().max().item()
            worst = max(worst, difference)
            same = torch.equal(eager_lprobs.argmax(-1), archive_lprobs.argmax(-1))
            if not difference <= TOLERANCE or not same:
                raise ExportError(
                    f"the archive differs from the eager model: batch {batch}, step {step}, largest difference "
                    f"{difference:.3e} (allowed {TOLERANCE:.0e}); nothing was written"
                )
            order = torch.randint(0, rows, (rows,), generator=generator)
            states = [m.reorder_state(state, order) for m, state in zip((eager, archive), states)]
            outs = [m.reorder_encoder_out(out, order) for m, out in zip((eager, archive), outs)]
            chosen = torch.randint(4, target_vocabulary, (rows, 1), generator=generator)
            prefix = torch.cat([prefix.index_select(0, order), chosen], dim=1)
    return worst
