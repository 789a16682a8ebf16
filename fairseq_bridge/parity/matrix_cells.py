"""What the parity matrix compares: models, and the flag sets that each of them is run with."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class MatrixModel:
    name: str
    title: str
    source: str  # folder of the model, relative to --models or --toy
    checkpoint: str
    data: str
    task_flags: tuple  # what this model always needs
    post_process: tuple  # what turns its tokens into text
    is_lm: bool = False
    max_len: int = 60
    held_out: str = "valid"  # another split, whose order fairseq shuffles

    @property
    def languages(self):
        """Source and target; None for a language model, whose data have no language."""
        flags = dict(zip(self.task_flags, self.task_flags[1:]))
        return flags.get("-s"), flags.get("-t")


MODELS = (
    MatrixModel(
        "translation",
        "Transformer, German to English (Multi30k)",
        "models/multi30k_de_en",
        "checkpoint_best.pt",
        "data-bin",
        ("--task", "translation", "-s", "de", "-t", "en"),
        ("--remove-bpe",),
    ),
    MatrixModel(
        "bart",
        "BART, question generation (SQuAD)",
        "models/squad_qg_bart",
        "checkpoint_best.pt",
        "data-bin",
        ("--task", "translation", "-s", "src", "-t", "tgt"),
        ("--bpe", "gpt2", "--gpt2-encoder-json", "encoder.json", "--gpt2-vocab-bpe", "vocab.bpe"),
        max_len=30,
    ),
    MatrixModel(
        "lm",
        "GPT-style language model",
        "models/lm_gpt",
        "checkpoint_best.pt",
        "data-bin",
        ("--task", "language_modeling", "--sample-break-mode", "eos", "--tokens-per-sample", "1024"),
        ("--bpe", "gpt2", "--gpt2-encoder-json", "encoder.json", "--gpt2-vocab-bpe", "vocab.bpe"),
        is_lm=True,
        max_len=40,
    ),
    MatrixModel(
        "toy",
        "toy Transformer with 40 symbols",
        "toy",
        "ckpt/tf/checkpoint_last.pt",
        "bin-ende",
        ("--task", "translation", "-s", "en", "-t", "de"),
        ("--remove-bpe",),
        max_len=16,
    ),
)

BATCH = ("--batch-size", "16")

# name -> flags. {max} is the model's output limit, {text} its post-processing flags. A set that
# says nothing of batches gets --batch-size 16, one without --max-len-b gets {max}.
FLAG_SETS = {
    "beam 5": ("--beam", "5"),
    "greedy": ("--beam", "1"),
    "beam 4, nbest 4": ("--beam", "4", "--nbest", "4"),
    "beam 10, nbest 10": ("--beam", "10", "--nbest", "10"),
    "nbest above beam": ("--beam", "3", "--nbest", "7"),
    "lenpen 0.6": ("--lenpen", "0.6", "--nbest", "5"),
    "lenpen 2, min-len 8": ("--lenpen", "2", "--min-len", "8"),
    "lenpen 0": ("--lenpen", "0"),
    "lenpen -1": ("--lenpen", "-1"),
    "unnormalized": ("--unnormalized", "--nbest", "2"),
    "max-len-a 1.2, max-len-b 5": ("--max-len-a", "1.2", "--max-len-b", "5"),
    "max-len-b 5": ("--max-len-b", "5"),
    "unkpen 3": ("--unkpen", "3"),
    "unkpen -4": ("--unkpen", "-4"),
    "temperature 1.5": ("--temperature", "1.5", "--nbest", "2"),
    "batch by tokens": ("--max-tokens", "1000"),
    "batch of 1": ("--batch-size", "1", "--beam", "2"),
    "batch of 64, multiple 8": ("--batch-size", "64"),
    "batch of 3, last batch dropped": ("--batch-size", "3", "--beam", "2"),
    "multiple 1": ("--max-tokens", "700", "--required-batch-size-multiple", "1"),
    "another split": ("--gen-subset", "{held_out}", "--beam", "2"),
    "another split, seed 5": ("--gen-subset", "{held_out}", "--seed", "5", "--beam", "2"),
    "half of the batches": ("--distributed-world-size", "2", "--distributed-rank", "1"),
    "post-processing": ("{text}", "--beam", "3"),
    "quiet": ("--quiet", "{text}", "--beam", "2"),
    "sacrebleu": ("--scoring", "sacrebleu", "{text}", "--beam", "2"),
    "chrf": ("--scoring", "chrf", "{text}", "--beam", "2"),
    "no-repeat-ngram-size 2": ("--no-repeat-ngram-size", "2"),
    "prefix-size 3": ("--prefix-size", "3"),
    "prefix-size 3, left-padded": ("--prefix-size", "3", "--left-pad-target", "--nbest", "3"),
    "skip long sources": ("--max-source-positions", "14", "--skip-invalid-size-inputs-valid-test"),
    "truncate-source": ("--max-source-positions", "12", "--truncate-source"),
    "source positions below data": ("--max-source-positions", "5"),
    "match-source-len": ("--match-source-len", "--beam", "4"),
    "diverse groups, one batch": (
        "--diverse-beam-groups", "2", "--beam", "4", "--nbest", "4", "--batch-size", "1000",
        "--required-batch-size-multiple", "1",
        "--max-len-b", "20",
    ),
    "diverse groups, batches": ("--diverse-beam-groups", "2", "--beam", "4"),
    "diversity-rate 0.5": ("--diversity-rate", "0.5", "--beam", "4", "--nbest", "4"),
    "sampling": ("--sampling", "--beam", "2", "--nbest", "2"),
    "sampling, batch of 64": ("--sampling", "--beam", "2", "--nbest", "2", "--batch-size", "64"),
    "top-k 10": ("--sampling", "--sampling-topk", "10", "--beam", "3", "--nbest", "3"),
    "top-k 10, seed 7, batch of 64": (
        "--sampling", "--sampling-topk", "10", "--beam", "1", "--seed", "7", "--batch-size", "64",
    ),
    "top-p 0.9": ("--sampling", "--sampling-topp", "0.9", "--beam", "2", "--nbest", "2"),
    "top-p 0.8, seed 7, batch of 64": (
        "--sampling", "--sampling-topp", "0.8", "--beam", "1", "--seed", "7", "--batch-size", "64",
    ),
    "sampling with nbest below beam": ("--sampling", "--beam", "3", "--nbest", "1"),
    "sampling and groups": ("--sampling", "--diverse-beam-groups", "2", "--beam", "2", "--nbest", "2"),
    "print-alignment hard": ("--print-alignment", "hard", "--beam", "2", "--nbest", "2"),
    "print-alignment soft": ("--print-alignment", "soft", "--beam", "2"),
    "score-reference": ("--score-reference",),
    "score-reference, ensemble": ("--score-reference", "--path", "a.pt:b.pt"),
    "ensemble of 2": ("--path", "a.pt:b.pt", "--nbest", "2"),
    "ensemble of 3": ("--path", "a.pt:b.pt:c.pt", "--beam", "3"),
    "LM fusion": ("--lm-path", "lm.pt", "--lm-weight", "0.2", "--beam", "4", "--nbest", "2"),
    "model-overrides": ("--model-overrides", "{{'dropout': 0.3}}", "--beam", "2"),
    "constraints": ("--constraints", "--beam", "2"),
    "print-step": ("--print-step", "--beam", "2"),
    "min-len above max-len": ("--min-len", "50", "--max-len-b", "20"),
    "temperature 0": ("--temperature", "0"),
    "replace-unk": ("--replace-unk", "", "--beam", "2"),
}

# The same for fairseq-interactive; input.txt and constrained.txt lie in the model's folder.
INTERACTIVE_SETS = {
    "interactive": ("--input", "input.txt", "--buffer-size", "16", "--nbest", "2"),
    "interactive, one line at a time": ("--input", "input.txt", "--batch-size", "1", "--beam", "4"),
    "interactive, constraints": (
        "--input", "constrained.txt", "--constraints", "--buffer-size", "16", "--nbest", "2",
    ),  # fmt: skip
    "interactive, top-k 10": (
        "--input", "input.txt", "--buffer-size", "16", "--sampling", "--sampling-topk", "10",
        "--beam", "2", "--nbest", "2", "--seed", "3",
    ),  # fmt: skip
}

ALL_SETS = {**FLAG_SETS, **INTERACTIVE_SETS}


def tool_of(name):
    """The program of a flag set: fairseq-generate and elbeam-generate, or -interactive."""
    return "interactive" if name in INTERACTIVE_SETS else "generate"


def flags_of(model, name):
    """A cell's arguments; paths are relative to the model's folder."""
    flags = []
    for flag in ALL_SETS[name]:
        if flag == "{text}":
            flags.extend(model.post_process)
        else:
            flags.append(flag.format(held_out=model.held_out))
    if "--path" not in flags:
        flags += ["--path", "a.pt"]
    if "--batch-size" not in flags and "--max-tokens" not in flags:
        flags += BATCH
    if "--max-len-b" not in flags:
        flags += ["--max-len-b", str(model.max_len)]
    return ["data-bin", "--cpu", *model.task_flags, *flags]
