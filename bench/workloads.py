"""What is measured: models, data and search options. A workload is the same for all programs."""

import dataclasses
import os
import pathlib
import typing

ROOT = pathlib.Path(__file__).resolve().parents[1]


@dataclasses.dataclass(frozen=True)
class Shape:
    """A model with random weights and sources of random words, made by bench/make_model.py."""

    architecture: str  # fairseq's --arch
    overrides: tuple = ()  # further model options, "name=value"
    words: int = 32000  # types of the dictionary, special symbols not counted
    sentences: int = 64
    source_length: int = 30  # tokens, eos included
    half: bool = False  # weights of 16 bits in the checkpoint, as fairseq-train --fp16 stores them

    @property
    def folder(self):
        parts = [
            self.architecture,
            *self.overrides,
            f"v{self.words}",
            f"n{self.sentences}",
            f"s{self.source_length}",
        ]
        return "-".join(parts).replace("=", "")

    @property
    def model(self):
        """Name of the weights, which shapes that differ in their data alone share."""
        parts = [self.architecture, *self.overrides, f"v{self.words}", *["half"] * self.half]
        return "-".join(parts).replace("=", "")

    @property
    def is_language_model(self):
        return "_lm" in self.architecture


@dataclasses.dataclass(frozen=True)
class Workload:
    name: str
    about: str
    source: str = "src"  # languages; "" for a language model
    target: str = "tgt"
    data: typing.Optional[pathlib.Path] = None
    checkpoint: typing.Optional[pathlib.Path] = None
    shape: typing.Optional[Shape] = None  # instead of the two above
    sentences: int = 0  # the first so many of the data; 0: all
    beam: int = 5
    batch: int = 16
    max_len: int = 200  # --max-len-b
    min_len: int = 1
    lenpen: float = 1.0
    truncate: bool = False  # --truncate-source

    @property
    def forced(self):
        """All outputs have the same length: nothing ends by itself."""
        return self.min_len == self.max_len


BASE = Shape("transformer", sentences=64)
BIG = Shape("transformer_wmt_en_de_big", sentences=32)
BART_POSITIONS = ("max_source_positions=1024", "max_target_positions=1024")
BART = Shape("bart_large", BART_POSITIONS, 50261, 4, 512)
LONG = dataclasses.replace(BART, sentences=2, source_length=1023)
LM = Shape("transformer_lm_gpt", ("tokens_per_sample=1024",), 50253, 16, 33)


def _trained(folder, name, **options):
    return {"data": folder / "data-bin", "checkpoint": folder / name, **options}


def _real(models):
    """Trained models and real text."""
    tests = ROOT / "tests" / "data"
    german = {"source": "de", "target": "en"}
    debian = _trained(tests / "debian_de_en", "checkpoint.pt", **german)
    bundled = _trained(tests / "squad_qg_bart", "checkpoint.pt", truncate=True)
    multi30k = _trained(models / "multi30k_de_en", "checkpoint_best.pt", **german)
    squad = _trained(models / "squad_qg_bart", "checkpoint_best.pt", truncate=True)
    news = _trained(models / "cnndm_bart", "checkpoint_best.pt", truncate=True, beam=4, batch=8)
    news |= {"max_len": 140, "min_len": 55, "lenpen": 2.0, "sentences": 32}
    return [
        Workload("translation", "bundled German-English model, Debian's texts", **debian),
        Workload("questions", "bundled BART, question generation", **bundled),
        Workload("multi30k", "Multi30k test 2016, 1,000 sentences", **multi30k),
        Workload("multi30k-64", "Multi30k, larger batches", batch=64, **multi30k),
        Workload(
            "multi30k-1",
            "250 sentences of Multi30k one at a time",
            batch=1,
            sentences=250,
            **multi30k,
        ),
        Workload("multi30k-greedy", "Multi30k, greedy", beam=1, **multi30k),
        Workload("multi30k-beam10", "Multi30k, beam 10", beam=10, **multi30k),
        Workload("squad", "SQuAD question generation, BART, 1,000 sentences", **squad),
        Workload("squad-64", "SQuAD, larger batches", batch=64, **squad),
        Workload("news", "32 articles of 500-1,000 tokens, CNN/DailyMail, BART", **news),
    ]


def _random():
    """Random weights and forced lengths: only shapes count."""
    base = {"shape": BASE, "min_len": 30, "max_len": 30, "batch": 32}
    big = {"shape": BIG, "min_len": 30, "max_len": 30, "batch": 16, "beam": 4}
    bart = {"shape": BART, "min_len": 32, "max_len": 32, "batch": 4, "beam": 4}
    longer = {"shape": LONG, "min_len": 60, "max_len": 60, "batch": 2, "beam": 4}
    lm = {"shape": LM, "source": "", "target": "", "min_len": 64, "max_len": 64, "beam": 4}
    base_one = base | {"batch": 1, "sentences": 8}
    big_one = big | {"batch": 1, "sentences": 4}
    bart_one = bart | {"batch": 1, "sentences": 1}
    bart_half = bart_one | {"shape": dataclasses.replace(BART, half=True)}
    return [
        Workload("base-32", "Transformer-base shape, 64 sentences, S = T = 30", **base),
        Workload(
            "base-1", "Transformer-base shape, 8 sentences one at a time, S = T = 30", **base_one
        ),
        Workload(
            "base-64", "Transformer-base shape, all 64 sentences at once", **base | {"batch": 64}
        ),
        Workload("big-16", "Transformer-big shape, 32 sentences, S = T = 30", **big),
        Workload("big-1", "Transformer-big shape, 4 sentences one at a time", **big_one),
        Workload("bart-4", "BART-large shape, 4 documents, S = 512, T = 32", **bart),
        Workload("bart-1", "BART-large shape, 1 document, S = 512, T = 32", **bart_one),
        Workload(
            "bart-1-half",
            "the same from a checkpoint of 16-bit weights, computed in fp32",
            **bart_half,
        ),
        Workload("bart-1024", "BART-large shape, 2 documents, S = 1,023, T = 60", **longer),
        Workload("gpt2", "GPT-2-small shape, 16 prompts of 32 tokens, 32 more", **lm),
        Workload(
            "gpt2-1",
            "GPT-2-small shape, 2 prompts one at a time",
            **lm | {"batch": 1, "sentences": 2},
        ),
    ]


def all_workloads():
    """By name. Those whose files are not there are left out."""
    models = pathlib.Path(os.environ.get("ELBEAM_SHARED", ROOT.parent / "shared")) / "models"
    candidates = _real(models) + _random()
    return {w.name: w for w in candidates if w.shape or w.checkpoint.exists()}
