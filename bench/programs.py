"""The programs that are compared: how each is started, and what it tells of its run."""

import dataclasses
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time

from . import data_bin
from .workloads import ROOT

sys.path.insert(0, str(ROOT))

from fairseq_bridge.parity import output  # noqa: E402

HERE = pathlib.Path(__file__).resolve().parent
TRANSLATED = re.compile(
    r"Translated ([\d,]+) sentences \(([\d,]+) tokens\) in ([\d.]+)s(?:.* ([\d.]+) tokens/s)?"
)
COMPUTE_TYPES = {"fp32": "float32", "int8": "int8", "bf16": "bfloat16", "fp16": "float16"}


@dataclasses.dataclass
class Setting:
    """What a workload runs with; the same for every program."""

    threads: int
    dtype: str
    beam: int
    batch: int
    isa: str = ""  # the most that programs may use; "": what each of them chooses
    flags: tuple = ()  # further options of elbeam-generate


@dataclasses.dataclass
class Place:
    """Where the programs and the files made for them are."""

    elbeam: pathlib.Path
    reference: str  # a python that has fairseq and ctranslate2
    scratch: pathlib.Path


def _make(place, script, *arguments):
    environment = dict(os.environ, TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD="1")
    command = (
        [place.reference, *map(str, arguments)]
        if script is None
        else [str(script), *map(str, arguments)]
    )
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(
            f"bench: {' '.join(command)}: exit {done.returncode}\n{done.stderr[-2000:]}"
        )


class Files:
    """A workload's model and data, made where they are not there yet."""

    def __init__(self, work, place):
        self.work = work
        self.language_model = not work.source
        self.data, self.checkpoint = work.data, work.checkpoint
        if work.shape:
            self._random(work.shape, place)
        if work.sentences:
            self._cut(place)
        self.place = place

    def _random(self, shape, place):
        self.data = place.scratch / "data" / shape.folder
        self.checkpoint = place.scratch / f"{shape.model}.pt"
        if self.data.exists() and self.checkpoint.exists():
            return
        place.scratch.mkdir(parents=True, exist_ok=True)
        arguments = [
            "--architecture",
            shape.architecture,
            "--words",
            shape.words,
            "--sentences",
            shape.sentences,
        ]
        arguments += [
            "--length",
            shape.source_length,
            "--data",
            self.data,
            "--checkpoint",
            self.checkpoint,
        ]
        arguments += ["--language-model"] if shape.is_language_model else []
        arguments += ["--half"] if shape.half else []
        for override in shape.overrides:
            arguments += ["--override", override]
        _make(place, None, HERE / "make_model.py", *arguments)

    def splits(self):
        if self.language_model:
            return ["test"]
        pair = f"test.{self.work.source}-{self.work.target}"
        return [f"{pair}.{self.work.source}", f"{pair}.{self.work.target}"]

    def _cut(self, place):
        whole, self.data = (
            self.data,
            place.scratch / "data" / f"{self.work.name}-n{self.work.sentences}",
        )
        if self.data.exists():
            return
        part = self.data.with_suffix(".part")
        part.mkdir(parents=True, exist_ok=True)
        for dictionary in whole.glob("dict.*"):
            (part / dictionary.name).write_bytes(dictionary.read_bytes())
        for split in self.splits():
            data_bin.write(part / split, data_bin.read(whole / split)[: self.work.sentences])
        part.rename(self.data)

    def sources(self):
        """The tokens of the sources, one sentence a line, as CTranslate2 reads them."""
        path = self.place.scratch / f"{self.work.name}.{self.data.name}.sources"
        if not path.exists():
            name = "dict.txt" if self.language_model else f"dict.{self.work.source}.txt"
            words = data_bin.words(self.data / name)
            longest = 1022  # --truncate-source keeps the positions of the models here, less the eos
            with open(path.with_suffix(".part"), "w", encoding="utf-8", newline="\n") as file:
                for sentence in data_bin.read(self.data / self.splits()[0]):
                    tokens = [token for token in sentence if token != 2]
                    tokens = tokens[:longest] if self.work.truncate else tokens
                    file.write(" ".join(words[token] for token in tokens) + "\n")
            path.with_suffix(".part").rename(path)
        return path

    def converted(self):
        """The model in CTranslate2's format."""
        name = (
            self.checkpoint.stem
            if self.work.shape
            else f"{self.checkpoint.parent.name}-{self.checkpoint.stem}"
        )
        path = self.place.scratch / f"{name}.ct2"
        if not path.exists():
            converter = pathlib.Path(self.place.reference).parent / "ct2-fairseq-converter"
            arguments = [
                "--unsafe_deserialization",
                "--model_path",
                self.checkpoint,
                "--data_dir",
                self.data,
            ]
            if not self.language_model:
                arguments += ["--source_lang", self.work.source, "--target_lang", self.work.target]
            _make(self.place, converter, *arguments, "--output_dir", path.with_suffix(".part"))
            path.with_suffix(".part").rename(path)
        return path


def _fairseq_flags(files, setting):
    work = files.work
    flags = [str(files.data), "--path", str(files.checkpoint), "--beam", str(setting.beam)]
    flags += ["--batch-size", str(setting.batch), "--required-batch-size-multiple", "1"]
    flags += [
        "--max-len-b",
        str(work.max_len),
        "--min-len",
        str(work.min_len),
        "--lenpen",
        str(work.lenpen),
    ]
    if files.language_model:
        return flags + ["--task", "language_modeling", "--sample-break-mode", "eos"]
    flags += ["--task", "translation", "-s", work.source, "-t", work.target]
    return flags + (["--truncate-source"] if work.truncate else [])


class Elbeam:
    name = "elbeam"

    def __init__(self, files, setting):
        self.stats = files.place.scratch / "stats.json"
        self.command = [
            str(files.place.elbeam),
            *_fairseq_flags(files, setting),
            "--threads",
            str(setting.threads),
        ]
        self.command += ["--dtype", setting.dtype, "--stats", str(self.stats), *setting.flags]
        self.command += ["--quality-sample", "0"]  # the bench measures agreement itself

    def read(self, text, log):
        stats = json.loads(self.stats.read_text(encoding="utf-8"))
        seconds = stats["encode_seconds"] + stats["decode_seconds"]
        tokens = int(TRANSLATED.search(log).group(2).replace(",", ""))
        return {"decoding s": seconds, "tokens/s": tokens / seconds, "stats": stats}, output.parse(
            text, "elbeam"
        )


class Stock:
    name = "stock"

    def __init__(self, files, setting):
        program = pathlib.Path(files.place.reference).parent / "fairseq-generate"
        self.command = [str(program), *_fairseq_flags(files, setting), "--cpu"]

    def read(self, text, log):
        match = TRANSLATED.search(log)
        tokens, speed = int(match.group(2).replace(",", "")), float(match.group(4))
        return {"decoding s": tokens / speed, "tokens/s": speed}, output.parse(text, "stock")


class CTranslate2:
    name = "ctranslate2"

    def __init__(self, files, setting):
        work = files.work
        # fairseq's last step writes the eos; CTranslate2 stops before it. A forced length is
        # as many steps in all.
        extra = 1 if work.forced else 0
        self.command = [
            files.place.reference,
            str(HERE / "ctranslate2_driver.py"),
            "--model",
            str(files.converted()),
        ]
        self.command += [
            "--sources",
            str(files.sources()),
            "--compute-type",
            COMPUTE_TYPES[setting.dtype],
        ]
        self.command += [
            "--threads",
            str(setting.threads),
            "--batch",
            str(setting.batch),
            "--beam",
            str(setting.beam),
        ]
        self.command += ["--lenpen", str(work.lenpen), "--max-len", str(work.max_len + extra)]
        self.command += ["--min-len", str(work.min_len + extra)]
        self.command += ["--language-model"] if files.language_model else []

    def read(self, text, log):
        match = TRANSLATED.search(log)
        tokens, seconds = int(match.group(2).replace(",", "")), float(match.group(3))
        lines = [line.split("\t", 1)[1] for line in text.splitlines()]
        return {"decoding s": seconds, "tokens/s": tokens / seconds}, lines


PROGRAMS = {program.name: program for program in (Elbeam, Stock, CTranslate2)}


def limits(isa):
    """What makes the programs, and the libraries under them, do without wider instructions."""
    return {
        "": {},
        "avx2": {
            "ELBEAM_ISA": "avx2",
            "ATEN_CPU_CAPABILITY": "avx2",
            "CT2_FORCE_CPU_ISA": "AVX2",
            "MKL_ENABLE_INSTRUCTIONS": "AVX2",
            "ONEDNN_MAX_CPU_ISA": "AVX2",
        },
    }[isa]


def run(program, setting):
    """One process; its figures and its output."""
    threads = str(setting.threads)
    environment = dict(os.environ, OMP_NUM_THREADS=threads, MKL_NUM_THREADS=threads)
    environment |= limits(setting.isa)
    environment["TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"] = (
        "1"  # stock cannot load its own files otherwise
    )
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        begin = time.perf_counter()
        process = subprocess.Popen(program.command, stdout=out, stderr=err, env=environment)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        wall = time.perf_counter() - begin
        out.seek(0)
        err.seek(0)
        log = err.read()
        if process.returncode != 0:
            raise SystemExit(
                f"bench: {' '.join(program.command)}: exit {process.returncode}\n{log[-2000:]}"
            )
        figures, result = program.read(out.read(), log)
        return {"wall s": wall, **figures, "peak RSS MiB": usage.ru_maxrss / 1024}, result
