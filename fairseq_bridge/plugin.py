"""Decoding by elbeam inside stock fairseq: `fairseq-generate ... --user-dir fairseq_bridge`.

fairseq keeps its data, batches and output; SequenceGenerator._generate, which is where the time goes,
runs in elbeam. What elbeam's Python module cannot do inside a foreign process (sampling from torch's
own random state, models that were not loaded from a file, search strategies of one's own) is left to
fairseq, with one warning that says why. ELBEAM_PLUGIN_STRICT=1 makes that an error instead.

The C++ module is looked for as `import elbeam`, then in build/lib/python of this checkout.
ELBEAM_THREADS: threads of elbeam (default: torch's number).
"""

import functools
import importlib
import logging
import os
import pathlib
import sys

import torch
from fairseq import checkpoint_utils, search, sequence_generator

logger = logging.getLogger("elbeam.plugin")


class NotForElbeam(Exception):
    """This search stays with fairseq; the text says why."""


def import_elbeam():
    try:
        return importlib.import_module("elbeam")
    except ImportError:
        built = pathlib.Path(__file__).resolve().parent.parent / "build" / "lib" / "python"
        sys.path.insert(0, str(built))
        try:
            return importlib.import_module("elbeam")
        except ImportError as error:
            raise ImportError(
                f"elbeam's Python module is not there ({error}); build it with `make build` in "
                f"{built.parent.parent.parent}, with this Python ({sys.version.split()[0]})"
            ) from error


def remember_paths(load):
    """Wraps load_model_ensemble: each model remembers the file that it came from."""

    @functools.wraps(load)
    def wrapped(filenames, *arguments, **keywords):
        models, cfg = load(filenames, *arguments, **keywords)
        whole = keywords.get("num_shards", 1) == 1 and not keywords.get("suffix")
        if whole and len(models) == len(filenames) and not keywords.get("arg_overrides"):
            for model, filename in zip(models, filenames):
                model.elbeam_checkpoint = filename
        return models, cfg

    return wrapped


def search_options(generator):
    """SearchOptions of a SequenceGenerator, or NotForElbeam."""
    options = {
        "beam": generator.beam_size,
        "nbest": generator.beam_size,
        "min_len": generator.min_len,
        "max_len_a": generator.max_len_a,
        "max_len_b": generator.max_len_b,
        "normalize_scores": generator.normalize_scores,
        "lenpen": generator.len_penalty,
        "unk_penalty": generator.unk_penalty,
        "temperature": generator.temperature,
    }
    kind = type(generator.search)
    if kind is search.DiverseSiblingsSearch:
        options.update(strategy="diverse_siblings", diversity_rate=generator.search.diversity_rate)
    elif kind is search.LengthConstrainedBeamSearch:
        options.update(strategy="length_constrained")
    elif kind is search.LexicallyConstrainedBeamSearch:
        ordered = generator.search.representation == "ordered"
        options.update(strategy="constrained_ordered" if ordered else "constrained_unordered")
    elif kind is not search.BeamSearch:
        raise NotForElbeam(f"search strategy {kind.__name__}")
    blocker = generator.repeat_ngram_blocker
    if blocker is not None and blocker.use_extension:
        options["no_repeat_ngram_size"] = blocker.no_repeat_ngram_size
    if generator.should_set_src_lengths and kind is not search.LengthConstrainedBeamSearch:
        raise NotForElbeam(f"source lengths in {kind.__name__}")
    if generator.lm_model is not None:
        raise NotForElbeam("fusion with a language model")
    if generator.token_indices_to_suppress is not None:
        raise NotForElbeam("suppressed tokens")
    return options


def checkpoint_of(generator):
    models = list(generator.model.models)
    paths = [getattr(model, "elbeam_checkpoint", None) for model in models]
    if None in paths:
        raise NotForElbeam("a model that was not loaded unchanged from one file")
    if any(parameter.dtype != torch.float32 for model in models for parameter in model.parameters()):
        raise NotForElbeam("models that are not float32")
    return paths


def load_generator(elbeam, generator):
    """The elbeam.Generator of these models, made once for each SequenceGenerator."""
    if not hasattr(generator, "elbeam_generator"):
        threads = int(os.environ.get("ELBEAM_THREADS", torch.get_num_threads()))
        paths = checkpoint_of(generator)
        generator.elbeam_generator = elbeam.Generator(
            paths[0], ensemble_paths=paths[1:], threads=threads
        )
        logger.info("decoding by elbeam %s: %s", elbeam.__version__, ", ".join(paths))
    return generator.elbeam_generator


def sources_of(generator, sample):
    """Sentences without padding, the padded width, and where each sentence begins in its row."""
    tokens = sample["net_input"]["src_tokens"]
    if not generator.model.has_encoder():
        return [[generator.eos]] * tokens.size(0), tokens.size(1), None
    sentences, places = [], []
    for row in tokens:
        kept = row.ne(generator.pad).nonzero().flatten()
        sentences.append(row[kept].tolist())
        places.append(kept.cpu())
    return sentences, tokens.size(1), places


def constraints_of(packed):
    """fairseq.token_generation_constraints.pack_constraints undone."""
    result = []
    for row in packed.tolist():
        count, rest, words = row[0], row[1:], []
        for _ in range(count):
            end = rest.index(0)
            words.append(rest[:end])
            rest = rest[end + 1 :]
        result.append(words)
    return result


def attention_matrix(hypothesis, place, width):
    """[padded source, target], as fairseq's generator gives it; empty without an encoder."""
    if place is None or not hypothesis.attention:
        return torch.empty(0)
    matrix = torch.zeros(width, len(hypothesis.tokens))
    matrix[place] = torch.tensor(hypothesis.attention).t()
    return matrix


def generate(elbeam, generator, sample, prefix_tokens, constraints, bos_token):
    options = search_options(generator)
    decoder = load_generator(elbeam, generator)
    sentences, width, places = sources_of(generator, sample)
    request = {
        "padded_length": width,
        "start_token": bos_token,
        # SequenceGeneratorWithAlignment reads it; nothing else does.
        "return_attention": places is not None and hasattr(generator, "extract_alignment"),
    }
    if prefix_tokens is not None:
        request["prefix_tokens"] = prefix_tokens.tolist()
    if constraints is not None:
        request["constraints"] = constraints_of(constraints)
    results = decoder.generate(sentences, **request, **options)
    return [
        [
            {
                "tokens": torch.tensor(one.tokens),
                "score": torch.tensor(one.score),
                "attention": attention_matrix(one, places and places[i], width),
                "alignment": torch.empty(0),
                "positional_scores": torch.tensor(one.positional_scores),
            }
            for one in hypotheses
        ]
        for i, hypotheses in enumerate(results)
    ]


def install():
    elbeam = import_elbeam()
    original = sequence_generator.SequenceGenerator._generate
    strict = os.environ.get("ELBEAM_PLUGIN_STRICT", "0") not in ("", "0")
    warned = set()

    @functools.wraps(original)
    def replacement(self, sample, prefix_tokens=None, constraints=None, bos_token=None):
        try:
            return generate(elbeam, self, sample, prefix_tokens, constraints, bos_token)
        except (NotForElbeam, elbeam.Error) as error:
            refused = isinstance(error, NotForElbeam) or error.code == "unsupported"
            if strict or not refused:
                raise
            if str(error) not in warned:
                warned.add(str(error))
                logger.warning("fairseq itself decodes here, not elbeam: %s", error)
        return original(self, sample, prefix_tokens, constraints, bos_token)

    sequence_generator.SequenceGenerator._generate = replacement
    checkpoint_utils.load_model_ensemble = remember_paths(checkpoint_utils.load_model_ensemble)
