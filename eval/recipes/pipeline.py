"""From raw text to a score table: what the recipes have in common.

Sources and references are cut into shards; each is encoded (elbeam-bpe), made a data-bin
(elbeam-preprocess) and decoded. A shard's result appears under its name when it is complete, so a
run that was killed goes on with the first shard that is missing. Then all are put together, scored
(elbeam-score) and shown (elbeam-report).
"""

import argparse
import dataclasses
import fcntl
import hashlib
import json
import os
import pathlib
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from typing import Callable

ROOT = pathlib.Path(__file__).resolve().parents[2]


class RecipeError(Exception):
    """What is wrong with the input or the command line, for the user to read."""


@dataclasses.dataclass(frozen=True)
class Recipe:
    name: str
    description: str
    generate_flags: tuple[str, ...]
    score_flags: tuple[str, ...]
    metrics: str
    source: Callable[[str], str]  # a line of the raw file to what the model reads
    reference: Callable[[str], str]  # a line of the raw file to what the model would write
    sentences: Callable[[str], str]  # a text to what is scored: sentences joined by <n>
    reference_sentences: Callable[[str], str]  # a raw reference line to the same


def parse_arguments(recipe, arguments):
    parser = argparse.ArgumentParser(
        description=recipe.description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    path = pathlib.Path
    add = parser.add_argument
    add("--source", type=path, required=True, help="raw sources, one a line")
    add("--reference", type=path, required=True, help="raw references, one a line")
    add("--model", type=path, required=True, help="fairseq checkpoint or elbeam archive")
    add("--dict", type=path, help="folder of dict.txt or dict.src.txt, dict.tgt.txt [the model's]")
    add("--encoder-json", type=path, help="GPT-2 BPE [encoder.json beside the model]")
    add("--vocab-bpe", type=path, help="GPT-2 BPE [vocab.bpe beside the model]")
    add("--out", type=path, required=True, help="folder for all that is made")
    add("--bin", type=path, default=ROOT / "build" / "bin", help="elbeam's programs [build/bin]")
    add("--generate", default="elbeam-generate", help="or fairseq-generate: the same flags")
    add("--generate-flags", default="", help="further flags, e.g. '--threads 8' or '--cpu'")
    add("--shard-size", type=int, default=500, help="lines decoded at a time [500]")
    add("--batch-size", type=int, default=16, help="[16]")
    add("--limit", type=int, help="the first N lines only")
    add("--compare", type=path, help="another run's --out: shown beside this one in the report")
    add("--restart", action="store_true", help="throw away what another run left in --out")
    options = parser.parse_args(arguments)
    for name in ("shard_size", "batch_size", "limit"):
        value = getattr(options, name)
        if value is not None and value < 1:
            parser.error(f"--{name.replace('_', '-')} must be at least 1, got {value}")
    return options


def read_lines(path, limit):
    """Lines without their ends. UTF-8 that is none is an error that says where."""
    lines = []
    try:
        with open(path, "rb") as file:
            for number, line in enumerate(file, 1):
                if limit is not None and number > limit:
                    break
                try:
                    lines.append(line.decode("utf-8").rstrip("\r\n"))
                except UnicodeDecodeError as error:
                    raise RecipeError(
                        f"{path}:{number}: byte {error.start + 1} is not UTF-8"
                    ) from None
    except OSError as error:
        raise RecipeError(f"cannot read {path}: {error.strerror}") from None
    return lines


def find_file(given, candidates, what):
    """The first of the paths that is a file."""
    candidates = [given] if given else candidates
    for path in candidates:
        if path.is_file():
            return path.resolve()
    names = " or ".join(map(str, candidates))
    raise RecipeError(f"{what} is not there: looked for {names}")


class Run:
    """One --out folder and what is being made in it."""

    def __init__(self, recipe, options):
        self.recipe = recipe
        self.options = options
        self.out = options.out
        beside = options.model.parent
        self.model = find_file(options.model, [], "the model")
        self.generate_command()  # before anything is written
        self.encoder_json = find_file(
            options.encoder_json, [beside / "encoder.json"], "the BPE's vocabulary (--encoder-json)"
        )
        self.vocab_bpe = find_file(
            options.vocab_bpe, [beside / "vocab.bpe"], "the BPE's merges (--vocab-bpe)"
        )
        folders = [options.dict] if options.dict else [beside / "data-bin", beside]
        self.dictionaries = [
            find_file(
                None,
                [folder / name for folder in folders for name in (f"dict.{side}.txt", "dict.txt")],
                "a dictionary (--dict)",
            )
            for side in ("src", "tgt")
        ]
        self.raw_sources = read_lines(options.source, options.limit)
        self.raw_references = read_lines(options.reference, options.limit)
        sources, references = len(self.raw_sources), len(self.raw_references)
        if sources != references:
            raise RecipeError(
                f"{options.source} has {sources} lines, {options.reference} {references}: "
                f"line {min(sources, references) + 1} is the first that not both have"
            )
        if sources == 0:
            raise RecipeError(f"{options.source} is empty: there is nothing to decode")

    def program(self, name):
        return str(self.options.bin / name)

    def generate_command(self):
        name = self.options.generate
        program = self.program(name) if name.startswith("elbeam-") else name
        if shutil.which(program) is None:
            raise RecipeError(f"there is no program {program} (--bin, --generate)")
        return [program]

    def generate_flags(self):
        bpe = ["--bpe", "gpt2", "--gpt2-encoder-json", str(self.encoder_json)]
        bpe += ["--gpt2-vocab-bpe", str(self.vocab_bpe)]
        batches = ["--batch-size", str(self.options.batch_size)]
        batches += ["--required-batch-size-multiple", "1"]
        return [
            *("--path", str(self.model), "--task", "translation", "-s", "src", "-t", "tgt"),
            *bpe,
            *batches,
            *self.recipe.generate_flags,
            *shlex.split(self.options.generate_flags),
        ]

    def fingerprint(self):
        """What must be the same for shards of an earlier run to be used."""

        def digest(lines):
            return hashlib.sha256("\n".join(lines).encode()).hexdigest()

        return {
            "recipe": self.recipe.name,
            "generate": pathlib.Path(self.options.generate).name,
            "flags": self.generate_flags(),
            "model_bytes": self.model.stat().st_size,
            "shard_size": self.options.shard_size,
            "sources": digest(self.raw_sources),
            "references": digest(self.raw_references),
        }

    def claim_folder(self):
        """Takes --out for this process; returns the lock, to be kept open."""
        if self.options.restart and (self.out / "run.json").exists():
            shutil.rmtree(self.out / "shards", ignore_errors=True)
            (self.out / "run.json").unlink()
        self.out.mkdir(parents=True, exist_ok=True)
        lock = open(self.out / "lock", "w", encoding="utf-8")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise RecipeError(f"another run is working in {self.out}") from None
        mine, path = self.fingerprint(), self.out / "run.json"
        if not path.exists():
            write_whole(path, json.dumps(mine, indent=1))
            return lock
        try:
            earlier = json.loads(path.read_text(encoding="utf-8"))
        except ValueError:
            raise RecipeError(f"{path} is damaged: --restart begins anew") from None
        different = [key for key in mine if earlier.get(key) != mine[key]]
        if different:
            raise RecipeError(
                f"{self.out} holds another run (different: {', '.join(different)}): "
                "give another --out, or --restart"
            )
        return lock

    def shards(self):
        size = self.options.shard_size
        return range(0, len(self.raw_sources), size)

    def decode_all(self):
        total, size = len(self.raw_sources), self.options.shard_size
        started, decoded = time.monotonic(), 0
        for first in self.shards():
            folder = self.out / "shards" / f"{first:07d}"
            count = min(size, total - first)
            if (folder / "generate.txt").exists():
                say(f"lines {first + 1} to {first + count} of {total}: there already")
                continue
            self.decode(folder, first, count)
            decoded += count
            seconds = time.monotonic() - started
            left = sum(
                min(size, total - other)
                for other in self.shards()
                if not (self.out / "shards" / f"{other:07d}" / "generate.txt").exists()
            )
            say(
                f"lines {first + 1} to {first + count} of {total}: decoded, "
                f"{decoded / seconds:.1f} lines/s, {left * seconds / decoded:.0f} s left"
            )

    def decode(self, folder, first, count):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        sides = (
            ("src", self.recipe.source, self.raw_sources),
            ("tgt", self.recipe.reference, self.raw_references),
        )
        for side, clean, lines in sides:
            text = "".join(clean(line) + "\n" for line in lines[first : first + count])
            (folder / f"text.{side}").write_text(text, encoding="utf-8", newline="\n")
            command = [self.program("elbeam-bpe"), "--bpe", "gpt2", "--input"]
            command += [str(folder / f"text.{side}"), "--gpt2-encoder-json"]
            command += [str(self.encoder_json), "--gpt2-vocab-bpe", str(self.vocab_bpe)]
            run_to_file(command, folder / f"bpe.{side}", folder / "log.txt")
        command = [self.program("elbeam-preprocess"), "-s", "src", "-t", "tgt"]
        command += ["--testpref", str(folder / "bpe"), "--destdir", str(folder / "data-bin")]
        command += ["--srcdict", str(self.dictionaries[0]), "--tgtdict", str(self.dictionaries[1])]
        run_to_file(command, folder / "preprocess.txt", folder / "log.txt")
        command = [*self.generate_command(), str(folder / "data-bin"), *self.generate_flags()]
        run_to_file(command, folder / "generate.txt", folder / "log.txt")

    def collect(self):
        """hypothesis.txt, reference.txt and source.txt, a segment a line, in the input's order."""
        texts = []
        for first in self.shards():
            path = self.out / "shards" / f"{first:07d}" / "generate.txt"
            count = min(self.options.shard_size, len(self.raw_sources) - first)
            found = first_hypotheses(path)
            missing = sorted(set(range(count)) - set(found))
            if missing:
                raise RecipeError(
                    f"{path} has no output of line {first + missing[0] + 1} of "
                    f"{self.options.source}"
                    + (f" and of {len(missing) - 1} others" if len(missing) > 1 else "")
                )
            texts += [found[i] for i in range(count)]
        columns = {
            "hypothesis.txt": map(self.recipe.sentences, texts),
            "reference.txt": map(self.recipe.reference_sentences, self.raw_references),
            "source.txt": map(self.recipe.source, self.raw_sources),
        }
        for name, lines in columns.items():
            write_whole(self.out / name, "".join(line + "\n" for line in lines))

    def score_command(self, folder):
        command = [self.program("elbeam-score"), "--format", "plain"]
        for flag, name in (("sys", "hypothesis"), ("ref", "reference"), ("src", "source")):
            command += [f"--{flag}", str(folder / f"{name}.txt")]
        command += ["--sentence-separator", "<n>", "--metrics", self.recipe.metrics]
        return [*command, *self.recipe.score_flags]

    def try_scoring(self):
        """Whether the scores can be had, before hours of decoding: a metric may lack its files."""
        with tempfile.TemporaryDirectory(prefix="elbeam-recipe-") as name:
            folder = pathlib.Path(name)
            for column in ("hypothesis", "reference", "source"):
                write_whole(folder / f"{column}.txt", "one line of text\n")
            run_to_file(self.score_command(folder), folder / "scores.txt", self.out / "log.txt")

    def score(self):
        command = [*self.score_command(self.out), "--confidence"]
        run_to_file([*command, "--json"], self.out / "scores.json", self.out / "log.txt")
        run_to_file(command, self.out / "scores.txt", self.out / "log.txt")
        print((self.out / "scores.txt").read_text(encoding="utf-8"), end="", flush=True)

    def report(self):
        command = [self.program("elbeam-report"), "--title", self.recipe.name]
        command += ["--sys", str(self.out / "hypothesis.txt")]
        if self.options.compare:
            command += ["--sys", str(self.options.compare / "hypothesis.txt")]
        command += ["--ref", str(self.out / "reference.txt")]
        command += ["--src", str(self.out / "source.txt"), "--sentence-separator", "<n>"]
        command += ["--metrics", self.recipe.metrics, "--out", str(self.out / "report.html")]
        command += self.recipe.score_flags
        run_to_file(command, self.out / "report.txt", self.out / "log.txt")
        say(f"report: {self.out / 'report.html'}")


def say(text):
    print(text, file=sys.stderr, flush=True)


def write_whole(path, text):
    """The file is there with all of the text, or as it was."""
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    part.write_text(text, encoding="utf-8", newline="\n")
    part.replace(path)


def run_to_file(command, path, log):
    """What the command prints, in a file that exists only once the command has succeeded."""
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    with open(part, "wb") as out, open(log, "ab") as errors:
        try:
            status = subprocess.run(command, stdout=out, stderr=errors, check=False).returncode
        except OSError as error:
            raise RecipeError(f"cannot run {command[0]}: {error.strerror}") from None
    if status != 0:
        last = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-3:]
        raise RecipeError(
            f"{pathlib.Path(command[0]).name} ended with status {status}:\n"
            + "\n".join(last)
            + f"\n(all of it: {log}; the command: {shlex.join(command)})"
        )
    part.replace(path)


def first_hypotheses(path):
    """{id: text} of the best D- line of each sentence."""
    found = {}
    with open(path, encoding="utf-8", newline="\n") as file:
        for line in file:
            if line.startswith("D-"):
                number, _, text = line.rstrip("\n").split("\t", 2)
                found.setdefault(int(number[2:]), text)
    return found


def main(recipe, arguments=None):
    # A child must not outlive the run: what raises here ends it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        run = Run(recipe, parse_arguments(recipe, arguments))
        with run.claim_folder():
            run.try_scoring()
            run.decode_all()
            run.collect()
            run.score()
            run.report()
    except RecipeError as error:
        say(f"{recipe.name}: error: {error}")
        return 3
    except KeyboardInterrupt:
        say(f"{recipe.name}: interrupted; the same command goes on where it stopped")
        return 130
    return 0
