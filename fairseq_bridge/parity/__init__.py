"""Proof that elbeam-generate prints what fairseq-generate prints.

Reading order: output.py (the lines), compare.py (what differs), classify.py (why, by fp64 scores),
run.py (the processes), golden.py (stored outputs), report.py (the verdict), demo.py (make demo).
rescore.py is the one file that imports fairseq; it runs under the reference environment's Python.
All else is standard library.
"""


class ParityError(Exception):
    """The comparison could not be made: a program failed, a file is not what it should be."""
