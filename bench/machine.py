"""What the figures were measured on."""

import functools
import os
import subprocess

from .workloads import ROOT

VERSIONS = """
import ctranslate2, fairseq, torch
print(ctranslate2.__version__, fairseq.__version__, torch.__version__)
"""


def _first_line(command):
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    return (
        done.stdout.strip().splitlines()[0]
        if done.returncode == 0 and done.stdout.strip()
        else "unknown"
    )


def _processor():
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        for line in file:
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return "unknown"


@functools.cache
def describe(elbeam, reference):
    versions = _first_line([reference, "-c", VERSIONS]).split()
    ctranslate2, fairseq, torch = versions if len(versions) == 3 else ("unknown",) * 3
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "system": " ".join(os.uname()[i] for i in (0, 2)),
        "elbeam": _first_line([elbeam, "--version"]),
        "commit": _first_line(["git", "rev-parse", "--short", "HEAD"]),
        "ctranslate2": ctranslate2,
        "fairseq": fairseq,
        "torch": torch,
    }
