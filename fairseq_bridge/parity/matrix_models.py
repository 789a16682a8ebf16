"""Makes the folder that a column of the parity matrix runs in. Imports torch and stock fairseq:

    PY matrix_models.py REQUEST.json

REQUEST: {"checkpoint", "data", "files", "out", "sentences", "is_lm", "languages"}. The folder gets data-bin (each
split cut to its first sentences), a.pt (the model), b.pt and c.pt (its weights with 2 and 4 per cent
of noise: ensembles need members that disagree) and lm.pt (a language model over the target
dictionary: the model itself if it is one, else a small one with random weights).
"""

import json
import pathlib
import shutil
import sys

import torch
from fairseq import options, tasks
from fairseq.data import Dictionary, indexed_dataset
from fairseq.dataclass.utils import convert_namespace_to_omegaconf


def cut_split(prefix, out, sentences):
    source = indexed_dataset.MMapIndexedDataset(str(prefix))
    builder = indexed_dataset.MMapIndexedDatasetBuilder(str(out) + ".bin", dtype=source._index.dtype)
    for i in range(min(sentences, len(source))):
        builder.add_item(source[i])
    builder.finalize(str(out) + ".idx")


def cut_data(data, out, sentences):
    out.mkdir(parents=True)
    for path in sorted(data.iterdir()):
        if path.name.startswith("dict."):
            shutil.copy(path, out / path.name)
        elif path.name.endswith(".idx") and not path.name.startswith("train."):
            cut_split(path.with_suffix(""), out / path.with_suffix("").name, sentences)
    if not (out / "dict.txt").exists():  # the dictionary of lm.pt
        dictionary = sorted(out.glob("dict.*.txt"))
        target = [path for path in dictionary if path.name in ("dict.en.txt", "dict.tgt.txt")]
        shutil.copy((target or dictionary)[0], out / "dict.txt")


def words_of(data, language, sentences):
    """The first sentences of the test split in the dictionary's words, without eos."""
    names = sorted(data.glob(f"test.*.{language}.idx" if language else "test.idx"))
    lines = indexed_dataset.MMapIndexedDataset(str(names[0].with_suffix("")))
    dictionary = Dictionary.load(str(data / (f"dict.{language}.txt" if language else "dict.txt")))
    return [dictionary.string(lines[i]).split() for i in range(min(sentences, len(lines)))]


def write_inputs(out, languages, sentences):
    sources, targets = (words_of(out / "data-bin", language, sentences) for language in languages)
    # A line of a language model is a prompt: half of a sentence, and short.
    if languages[0] is None:
        sources = [words[: max(1, min(20, len(words) // 2))] for words in sources]
    (out / "input.txt").write_text("".join(" ".join(s) + "\n" for s in sources), encoding="utf-8")
    with open(out / "constrained.txt", "w", encoding="utf-8") as file:
        for number, (source, target) in enumerate(zip(sources, targets)):
            wanted = [target[len(target) // 2 :][:1], target[-2:-1]][: 1 + number % 2]
            file.write("\t".join(" ".join(words) for words in [source, *wanted]) + "\n")


def with_noise(checkpoint, share, seed):
    """Adds normal noise of `share` of each tensor's standard deviation; tied tensors stay tied."""
    generator = torch.Generator().manual_seed(seed)
    done = {}
    noisy = dict(checkpoint, model={})
    for name, value in checkpoint["model"].items():
        key = (value.data_ptr(), tuple(value.shape))
        if value.is_floating_point() and value.numel() > 1 and key not in done:
            noise = torch.randn(value.shape, generator=generator)
            done[key] = (value.float() + noise * share * value.float().std()).to(value.dtype)
        noisy["model"][name] = done.get(key, value)
    return noisy


def random_lm(data):
    torch.manual_seed(1)
    parser = options.get_training_parser()
    arguments = [
        str(data), "--task", "language_modeling", "--arch", "transformer_lm",
        "--decoder-layers", "2", "--decoder-embed-dim", "64", "--decoder-ffn-embed-dim", "128",
        "--decoder-attention-heads", "4", "--tokens-per-sample", "1024", "--max-tokens", "1000",
    ]
    cfg = convert_namespace_to_omegaconf(options.parse_args_and_arch(parser, arguments))
    task = tasks.setup_task(cfg.task)
    model = task.build_model(cfg.model)
    return {"cfg": cfg, "args": None, "model": model.state_dict(), "extra_state": {},
            "optimizer_history": [], "last_optimizer_state": None}


def main(request_path):
    request = json.loads(pathlib.Path(request_path).read_text(encoding="utf-8"))
    out = pathlib.Path(request["out"])
    cut_data(pathlib.Path(request["data"]), out / "data-bin", request["sentences"])
    for name in request["files"]:
        shutil.copy(name, out / pathlib.Path(name).name)
    shutil.copy(request["checkpoint"], out / "a.pt")
    checkpoint = torch.load(request["checkpoint"], map_location="cpu", weights_only=False)
    torch.save(with_noise(checkpoint, 0.02, 1), out / "b.pt")
    torch.save(with_noise(checkpoint, 0.04, 2), out / "c.pt")
    if request["is_lm"]:
        shutil.copy(request["checkpoint"], out / "lm.pt")
    else:
        torch.save(random_lm(out / "data-bin"), out / "lm.pt")
    write_inputs(out, request["languages"], request["sentences"])
    (out / "complete").write_text("", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
