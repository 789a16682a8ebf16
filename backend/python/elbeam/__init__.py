"""elbeam: decoding of fairseq models in C++, from Python.

    import elbeam
    generator = elbeam.Generator("checkpoint_best.pt", data="data-bin", source="de", target="en")
    for hypotheses in generator.translate(["ein kleiner hund"], beam=5):
        print(hypotheses[0].text, hypotheses[0].score)

Options have the names of the C++ structs LoadOptions (Generator) and SearchOptions (translate,
generate), which are those of fairseq's flags. Errors are elbeam.Error, whose `code` is one of usage,
io, format, integrity, limit, unsupported, model, out_of_memory, device, internal.

`import elbeam.eval` has metrics and significance tests.

A Generator may be used from several threads; decoding releases the GIL.
"""

import abc
import os

from . import _elbeam
from ._elbeam import Error, Hypothesis, SpecialTokens, __version__

__all__ = ["Error", "Generator", "Hypothesis", "SpecialTokens", "StepModel", "__version__"]


class StepModel(abc.ABC):
    """A model of one's own, decoded by elbeam's search (the C++ class of the same name).

    Subclasses set the attributes and implement start(). They are called with the GIL held.
    """

    vocab_size: int
    max_decoder_positions: int = 1024  # outputs have at most one token less, eos excluded
    max_source_positions: int = 1024
    has_encoder: bool = True

    @abc.abstractmethod
    def start(self, sentences, *, beam, max_steps, temperature, attention):
        """Encodes a batch and returns its state: an object with a method step(tokens, parents).

        sentences: [[source ids]]; each ends with eos. beam: most rows of a sentence. max_steps:
        step() will be called at most this often. temperature: divide logits by it. attention:
        step() is to return attention too.

        step(tokens, parents) -> log-probabilities, base e, [rows, vocab_size], float32 or float64,
        any object with the buffer protocol (a numpy array); with attention a pair (log_probs,
        attention), attention [rows, longest source]. tokens: [rows], what each row decodes from.
        parents: [rows], the row of the step before whose history each row continues, in the first
        step the number of its sentence. Rows of a sentence are adjacent; one that has finished has
        none.
        """


class Generator:
    """A loaded model. The parameters of `load` besides the model's path: engine ("native",
    "torchscript"), attention ("auto", "el", "mha"), dtype ("fp32", "fp64", "fp16", "bf16", "int8"), threads (0: all)."""

    def __init__(self, path, *, data=None, source=None, target=None, **load):
        """path: fairseq checkpoint or elbeam archive. data: folder of dict.<source>.txt and
        dict.<target>.txt; without it an archive's own dictionaries serve, and a checkpoint has
        none (then generate() works, translate() does not)."""
        if (data is None) != (source is None) or (data is None) != (target is None):
            raise ValueError("data, source and target belong together: give all or none")
        if data is not None:
            load["source_dictionary_path"] = os.path.join(os.fspath(data), f"dict.{source}.txt")
            load["target_dictionary_path"] = os.path.join(os.fspath(data), f"dict.{target}.txt")
        self._generator = _elbeam.Generator(model_path=os.fspath(path), **load)

    @classmethod
    def from_model(cls, model, special=None):
        """A generator over a StepModel of one's own; it has no dictionaries."""
        self = cls.__new__(cls)
        self._generator = _elbeam.Generator._from_model(model, special or SpecialTokens())
        return self

    def generate(self, sentences, **options):
        """Decodes one fairseq batch of id sequences, each ended by eos.

        Returns [[Hypothesis]], best first, nbest of each sentence. Besides search options:
        prefix_tokens [[ids]], constraints [[[ids]]], start_token, return_attention, padded_length
        (the width that fairseq's collater would have padded to; enters max_len_a)."""
        return self._generator.generate([list(sentence) for sentence in sentences], **options)

    def translate(self, lines, **options):
        """Decodes lines of text, words separated by blanks. Returns [[Hypothesis]] with texts."""
        return self._generator.translate(list(lines), **options)

    def encode_source(self, line):
        """Ids of a line, eos appended."""
        return self._generator.encode_source(line)

    def decode_target(self, tokens):
        """Words of target ids, joined by blanks."""
        return self._generator.decode_target(list(tokens))

    @property
    def model_info(self):
        return self._generator.model_info

    @property
    def statistics(self):
        """Counters since the generator was made (C++: struct Statistics)."""
        return self._generator.statistics
