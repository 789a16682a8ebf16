#!/usr/bin/env python3
"""Stock fairseq's standard output for the commands of commands.json, as NAME.txt beside it.

    cd tests/data && tools/make.py [NAME ...]

fairseq-eval-lm writes its results to the log: of that, its own lines without the configuration.
Needs the environment variable ELBEAM_REFERENCE_PYTHON: the Python that has fairseq. The numbers of
W- lines are times and differ from run to run.
"""

import json
import os
import pathlib
import subprocess
import sys

ENVIRONMENT = {"OMP_NUM_THREADS": "1", "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD": "1", "CUDA_VISIBLE_DEVICES": ""}


LOGGER = "INFO:fairseq_cli.eval_lm:"


def results_of(tool, finished):
    if tool != "eval-lm":
        return finished.stdout
    lines = [
        line.removeprefix(LOGGER)
        for line in finished.stderr.decode().splitlines()
        if line.startswith(LOGGER)
    ]
    skipped = ("{'_name'", "loading model(s)", "num. model params")
    return "".join(f"{line}\n" for line in lines if not line.startswith(skipped)).encode()


def main():
    python = os.environ.get("ELBEAM_REFERENCE_PYTHON")
    folder = pathlib.Path(__file__).parent
    if not python:
        sys.exit(__doc__)
    for case in json.loads((folder / "commands.json").read_text(encoding="utf-8")):
        if sys.argv[1:] and case["name"] not in sys.argv[1:]:
            continue
        program = pathlib.Path(python).with_name("fairseq-" + case["tool"])
        with open(case.get("stdin", os.devnull), "rb") as stdin:
            result = subprocess.run(
                [program, *case["arguments"]],
                env={**os.environ, **ENVIRONMENT},
                stdin=stdin,
                capture_output=True,
                check=True,
            )
        text = results_of(case["tool"], result)
        (folder / f"{case['name']}.txt").write_bytes(text)
        print(case["name"], len(text))


if __name__ == "__main__":
    main()
