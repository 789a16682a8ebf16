#!/usr/bin/env python3
"""Stock fairseq's output for every case of FOLDER/cases.json, written where the case says.

    cd tests/data && make_stock.py FOLDER [...]

Needs the environment variable ELBEAM_REFERENCE_PYTHON: the Python that has fairseq. Standard
output is stored as it is (gzip without a date); the log on standard error is not.
"""

import gzip
import json
import os
import pathlib
import subprocess
import sys


def stock_output(python, case):
    generate = str(pathlib.Path(python).with_name("fairseq-generate"))
    command = [generate, case["data"], "--cpu", "--path", case["path"], *case["flags"]]
    environment = dict(
        os.environ,
        OMP_NUM_THREADS="1",
        TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD="1",
        CUDA_VISIBLE_DEVICES="",
    )
    return subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True).stdout


def main():
    python = os.environ.get("ELBEAM_REFERENCE_PYTHON")
    if not python or len(sys.argv) < 2:
        sys.exit(__doc__)
    for folder in sys.argv[1:]:
        for case in json.loads(pathlib.Path(folder, "cases.json").read_text()):
            text = stock_output(python, case)
            with open(case["stock"], "wb") as f, gzip.GzipFile("", "wb", 9, f, mtime=0) as z:
                z.write(text)
            print(case["name"], text.decode().strip().splitlines()[-1])


if __name__ == "__main__":
    main()
