"""The lines that fairseq-generate and fairseq-interactive write to stdout, as data
(fairseq_cli/generate.py, _main; fairseq_cli/interactive.py, main)."""

import dataclasses
import re
import typing

from . import ParityError

LINE = re.compile(r"^([A-Z])-(\d+)(?:_(\d+))?\t(.*)$")
TIME = re.compile(r"^\d+\.\d{3}\tseconds$")


@dataclasses.dataclass
class Hypothesis:
    score_text: str  # as printed: base 2
    text: str  # target words after --post-process
    detokenized: typing.Optional[str] = None  # the D- line's text
    positional: list[str] = dataclasses.field(default_factory=list)  # as printed, eos included
    alignment: typing.Optional[str] = None

    @property
    def score(self):
        return float(self.score_text)

    @property
    def tokens(self):
        """What can be told of the token sequence from the lines: the words and the token count."""
        return (self.text, len(self.positional))


@dataclasses.dataclass
class Sentence:
    source: typing.Optional[str] = None
    target: typing.Optional[str] = None
    timed: bool = False  # fairseq-interactive prints a W- line with a time
    constraints: list[str] = dataclasses.field(default_factory=list)  # C- lines
    hypotheses: list[Hypothesis] = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class Output:
    sentences: dict[int, Sentence]  # in the order of printing
    tail: list[str]  # "Generate test with beam=5: ..."
    lines: list[str]  # everything, as printed but for the times of W- lines

    @property
    def order(self):
        return list(self.sentences)


def parse(text, name):
    """Reads one program's whole stdout. Raises ParityError naming the line that does not belong."""
    result = Output({}, [], text.split("\n"))
    if result.lines and result.lines[-1] == "":
        result.lines.pop()
    current = None
    for number, line in enumerate(result.lines, 1):
        match = LINE.match(line)
        if not match:
            if not line.startswith("Generate "):
                raise ParityError(
                    f"{name}, line {number}: not a line of fairseq-generate: {line[:200]!r}"
                )
            result.tail.append(line)
            continue
        kind, sentence_id, fields = match.group(1), int(match.group(2)), match.group(4)
        if sentence_id != current and sentence_id in result.sentences:
            raise ParityError(f"{name}, line {number}: sentence {sentence_id} came before already")
        current = sentence_id
        if kind == "W" and TIME.match(fields):
            result.lines[number - 1] = f"W-{sentence_id}\tTIME\tseconds"
        sentence = result.sentences.setdefault(sentence_id, Sentence())
        try:
            _add_line(sentence, kind, fields)
        except (ValueError, IndexError) as error:
            raise ParityError(f"{name}, line {number}: {error}: {line[:200]!r}") from error
    return result


def _add_line(sentence, kind, fields):
    if kind == "S":
        sentence.source = fields
    elif kind == "T":
        sentence.target = fields
    elif kind == "W":
        if not TIME.match(fields):
            raise ValueError("no time in seconds")
        sentence.timed = True
    elif kind == "C":
        sentence.constraints.append(fields)
    elif kind == "H":
        score, text = fields.split("\t", 1)
        float(score)
        sentence.hypotheses.append(Hypothesis(score, text))
    elif kind == "D":
        sentence.hypotheses[-1].detokenized = fields.split("\t", 1)[1]
    elif kind == "P":
        values = fields.split(" ")
        for value in values:
            float(value)
        sentence.hypotheses[-1].positional = values
    elif kind == "A":
        sentence.hypotheses[-1].alignment = fields
    else:
        raise ValueError(f"unknown kind of line {kind}")
