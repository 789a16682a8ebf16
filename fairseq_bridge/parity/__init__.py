"""Proof that elbeam-generate prints what fairseq-generate prints.

Reading order: output.py (the lines), compare.py (what differs), classify.py (why, by fp64 scores),
run.py (the processes), golden.py (stored outputs), report.py (the verdict), demo.py (make demo),
matrix.py (docs/parity.md: cells in matrix_cells.py).
rescore.py and matrix_models.py are the files that import fairseq; they run under the reference environment's Python.
All else is standard library.
"""


class ParityError(Exception):
    """The comparison could not be made: a program failed, a file is not what it should be."""
