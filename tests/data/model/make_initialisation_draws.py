"""Writes initialisation_draws.json: how many 32-bit numbers stock fairseq draws from torch's CPU
generator when it builds a model, for several architectures. Needs a Python with fairseq (0.12.3.1
was used) and torch (2.11).

    python make_initialisation_draws.py      # in this directory
"""

import argparse
import json
import logging

import numpy
import torch
from fairseq.data import Dictionary
from fairseq.models import ARCH_CONFIG_REGISTRY, ARCH_MODEL_REGISTRY
from fairseq.models.transformer_lm import TransformerLanguageModelConfig
import fairseq.models.bart  # noqa: F401 (registers its architectures)

TRANSFORMER = dict(
    encoder_embed_dim=16, encoder_ffn_embed_dim=24, encoder_layers=2, encoder_attention_heads=2,
    decoder_embed_dim=16, decoder_ffn_embed_dim=24, decoder_layers=2, decoder_attention_heads=2,
    max_source_positions=20, max_target_positions=20,
)
LM = dict(
    # What the dataclass says, without its references to other parts of the configuration. The
    # architecture functions look whether these are there at all.
    {
        name: None if str(value).startswith("${") else value
        for name, value in vars(TransformerLanguageModelConfig()).items()
        if not name.startswith("_") and name not in ("add_bos_token", "decoder_layerdrop")
    },
    decoder_layerdrop=0.0, decoder_embed_dim=16, decoder_ffn_embed_dim=24, decoder_layers=2, decoder_attention_heads=2,
    max_target_positions=20, tokens_per_sample=20,
)

# architecture, words of both dictionaries (None: one for both), arguments
MODELS = [
    ("transformer", (9, 14), TRANSFORMER),
    ("transformer", None, dict(TRANSFORMER, share_all_embeddings=True)),
    ("transformer", (9, 14), dict(TRANSFORMER, share_decoder_input_output_embed=True)),
    ("transformer", (9, 14), dict(TRANSFORMER, encoder_learned_pos=True, decoder_learned_pos=True,
                                  layernorm_embedding=True)),
    ("transformer", (9, 14), dict(TRANSFORMER, no_token_positional_embeddings=True,
                                  encoder_normalize_before=True, decoder_normalize_before=True)),
    ("transformer", (9, 14), dict(TRANSFORMER, encoder_embed_dim=18, decoder_embed_dim=10,
                                  encoder_layers=1, decoder_layers=3, decoder_output_dim=10)),
    ("transformer", (9, 14), dict(TRANSFORMER, decoder_input_dim=12, decoder_output_dim=20)),
    ("transformer", (9, 14), dict(TRANSFORMER, quant_noise_pq=0.1, quant_noise_pq_block_size=2,
                                  encoder_layerdrop=0.2, decoder_layerdrop=0.1)),
    ("transformer", (40, 60), dict(TRANSFORMER, adaptive_softmax_cutoff="20,40")),
    ("transformer", (1, 0), dict(TRANSFORMER, encoder_embed_dim=2, decoder_embed_dim=2,
                                 decoder_output_dim=2, encoder_learned_pos=True,
                                 decoder_learned_pos=True, max_source_positions=2,
                                 max_target_positions=3)),
    ("transformer_wmt_en_de_big", None, dict(TRANSFORMER, share_all_embeddings=True)),
    ("transformer_iwslt_de_en", (9, 14), dict(TRANSFORMER, no_cross_attention=True)),
    ("transformer_align", (9, 14), TRANSFORMER),
    ("bart_base", None, TRANSFORMER),
    ("bart_large", None, dict(TRANSFORMER, decoder_output_dim=16, quant_noise_pq=0.1,
                              quant_noise_pq_block_size=2)),
    ("mbart_large", None, TRANSFORMER),
    ("transformer_lm", (9, None), LM),
    ("transformer_lm_gpt", (9, None), dict(LM, share_decoder_input_output_embed=True)),
    ("transformer_lm_gpt2_small", (9, None), LM),
    ("transformer_lm", (9, None), dict(LM, decoder_input_dim=12, decoder_output_dim=20)),
    ("transformer_lm", (60, None), dict(LM, adaptive_softmax_cutoff="20,40")),
    ("transformer_lm", (60, None), dict(LM, adaptive_input=True, adaptive_input_cutoff="20,40",
                                        adaptive_softmax_cutoff="20,40",
                                        adaptive_input_factor=2, adaptive_softmax_factor=2)),
    ("transformer_lm", (60, None), dict(LM, adaptive_input=True, adaptive_input_cutoff="20,40",
                                        adaptive_softmax_cutoff="20,40", adaptive_input_factor=2,
                                        adaptive_softmax_factor=2, tie_adaptive_weights=True)),
    ("transformer_lm_wiki103", (60, None), dict(LM, adaptive_input_cutoff="20,40",
                                                adaptive_softmax_cutoff="20,40")),
    ("transformer_lm", (60, None), dict(LM, adaptive_input=True, adaptive_input_cutoff="20,40",
                                        adaptive_softmax_cutoff="20,40", adaptive_input_factor=2,
                                        adaptive_softmax_factor=2, tie_adaptive_weights=True,
                                        decoder_input_dim=12, decoder_output_dim=12)),
    ("transformer", (9, 14), dict(TRANSFORMER, merge_src_tgt_embed=True)),
]


def dictionary(words, first):
    result = Dictionary()
    for i in range(words):
        result.add_symbol(f"w{first + i}")
    return result


class Task:
    def __init__(self, words):
        if words is None:
            self.source_dictionary = self.target_dictionary = dictionary(9, 0)
        else:
            self.source_dictionary = dictionary(words[0], 0)
            self.target_dictionary = (
                self.source_dictionary if words[1] is None else dictionary(words[1], 100)
            )


def draws_since(seed):
    """Where the generator stands, found by its next numbers."""
    following = torch.empty(4, dtype=torch.int32).random_().numpy().astype(numpy.uint32)
    stream = numpy.random.MT19937()
    stream._legacy_seeding(seed)
    numbers = (stream.random_raw(1 << 20) & 0x7FFFFFFF).astype(numpy.uint32)
    for start in numpy.where(numbers == following[0])[0]:
        if (numbers[start : start + 4] == following).all():
            return int(start)
    raise ValueError("the model draws more than the search expects")


def main():
    logging.disable(logging.CRITICAL)
    cases = []
    for arch, words, arguments in MODELS:
        args = argparse.Namespace(arch=arch, **arguments)
        if "adaptive_input" in arguments or arch.endswith("wiki103"):
            args.decoder_input_dim = getattr(args, "decoder_input_dim", args.decoder_embed_dim)
        ARCH_CONFIG_REGISTRY[arch](args)
        torch.manual_seed(3)
        model = ARCH_MODEL_REGISTRY[arch].build_model(args, Task(words))
        draws = draws_since(3)
        config = {k: v for k, v in sorted(vars(args).items()) if isinstance(v, (bool, int, float, str))}
        shapes = {name: list(tensor.shape) for name, tensor in sorted(model.state_dict().items())}
        cases.append({"draws": draws, "model": config, "shapes": shapes})
    with open("initialisation_draws.json", "w") as out:
        out.write("[" + ",\n".join(json.dumps(case) for case in cases) + "]\n")


if __name__ == "__main__":
    main()
