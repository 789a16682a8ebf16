"""Writes this folder's texts and preprocess.json: the hashes of what stock fairseq-preprocess makes.

    $REFERENCE/bin/python tests/data/preprocess/make_preprocess.py

fairseq 0.12.3.1 (fairseq-fixed). Arguments with a folder are relative to this one, or to the
destination of the case that {N} numbers.
"""

import hashlib
import json
import os
import random
import shutil
import tempfile

from fairseq import options
from fairseq_cli import preprocess

HERE = os.path.dirname(os.path.abspath(__file__))
ODD = [
    "", "  ", " a\tb \u00a0c ", "x\x00y \x01", "日本 語 😀", "<unk> <s> </s> a",
    "madeupword0000 madeupword0001", "\u2028 a\x85b", "é e\u0301", "w " * 300, "a\x0bb\x0cc\x1cd", "0-0 1-1",
]
ALL = "-s de -t en --trainpref train --validpref valid,odd --testpref test".split()
CASES = [
    ALL,
    ALL + ["--workers", "3"],
    ALL + ["--joined-dictionary"],
    ALL + "--thresholdsrc 3 --thresholdtgt 2 --padding-factor 1".split(),
    ALL + "--nwordssrc 100 --nwordstgt 3 --padding-factor 64".split(),
    ALL + "--dataset-impl cached --workers 2".split(),
    ALL + "--dataset-impl lazy --align-suffix align".split(),
    ALL + "--dataset-impl raw --align-suffix align".split(),
    ALL + "--align-suffix align --alignfile train.align --compat fairseq-main".split(),
    ALL + ["--dict-only"],
    "-s de --only-source --trainpref train --validpref valid".split(),
    "--only-source --trainpref train.de --testpref empty.de,test.de".split(),
    "--trainpref train.de".split(),
    "--only-source --srcdict {0}/dict.de.txt --testpref test.de".split(),
    "-s de -t en --srcdict {0}/dict.de.txt --tgtdict {0}/dict.en.txt --testpref test".split(),
    "-s de -t en --tgtdict {0}/dict.en.txt --joined-dictionary --testpref test".split(),
]


def write(name, lines, end="\n"):
    with open(name, "w", encoding="utf-8", newline="") as f:
        f.write("".join(line + end for line in lines))


def texts():
    rng = random.Random(1)
    sides = {}
    for side in ("de", "en"):
        with open(f"../debian_de_en/test.{side}", encoding="utf-8") as f:
            sides[side] = [line.rstrip("\n") for line in f]
    train = {"de": (sides["de"][:60] + ODD) * 2, "en": (sides["en"][:60] + ODD[::-1]) * 2}
    for side in ("de", "en"):
        write(f"train.{side}", train[side])
        write(f"valid.{side}", sides[side][50:70] + ["unseen words"])
        write(f"odd.{side}", ODD)
        write(f"empty.{side}", [])
        mixed = "a b\r\nc\rd\n\r\n\n" + "\n".join(sides[side][:8]) + "\rno end"
        write(f"test.{side}", [mixed], end="")
    alignments = []
    for source, target in zip(train["de"], train["en"]):
        n, m = len(source.split()), len(target.split())
        special = "<" in source + target
        count = 0 if special else min(n, m, 5)
        alignments.append(" ".join(f"{rng.randrange(n)}-{rng.randrange(m)}" for _ in range(count)))
    write("train.align", alignments)
    write("valid.align", alignments[:21])


def run(arguments, destination):
    if "--compat" in arguments:  # elbeam's own
        arguments = arguments[: arguments.index("--compat")]
    parser = options.get_preprocessing_parser()
    preprocess.main(parser.parse_args(arguments + ["--destdir", destination]))
    # A run of its own would end here, and with it the log file.
    preprocess.logger.removeHandler(preprocess.logger.handlers[-1])


def main():
    os.chdir(HERE)
    texts()
    scratch = tempfile.mkdtemp()
    cases = []
    for number, arguments in enumerate(CASES):
        destination = os.path.join(scratch, str(number))
        run([a.replace("{0}", os.path.join(scratch, "0")) for a in arguments], destination)
        hashes = {}
        for name in sorted(os.listdir(destination)):
            if name != "preprocess.log":
                with open(os.path.join(destination, name), "rb") as f:
                    hashes[name] = hashlib.sha256(f.read()).hexdigest()
        with open(os.path.join(destination, "preprocess.log"), encoding="utf-8") as f:
            log = [line for line in f.read().splitlines() if line.startswith("[")]
        cases.append({"arguments": arguments, "files": hashes, "log": log})
    shutil.rmtree(scratch)
    with open("preprocess.json", "w", encoding="ascii") as f:
        json.dump(cases, f, indent=0)
        f.write("\n")


main()
