"""The tool that plants bugs: edits that no longer fit are named, and what a test says is read right."""

import os
import pathlib
import stat
import tempfile
import unittest
from unittest import mock

from tests.device.mutants import __main__ as tool
from tests.device.mutants.mutant_list import MUTANTS, Mutant


class Mutants(unittest.TestCase):
    def test_there_are_enough_and_each_fits(self):
        self.assertGreaterEqual(len(MUTANTS), 30)
        self.assertEqual(list(tool.misfits()), [])

    def test_an_edit_that_does_not_fit_is_named(self):
        lost = Mutant("beam.hpp", "a lost place", "no such text", "", "*")
        twice = Mutant("beam.hpp", "two places", "state.step", "0", "*")
        with mock.patch.object(tool, "MUTANTS", [lost, twice]):
            problems = list(tool.misfits())
        self.assertIn("beam.hpp: a lost place: expected once, found 0 times", problems[0])
        self.assertIn("beam.hpp: two places: expected once", problems[1])

    def test_verdicts(self):
        for output, code, wanted in (
            ("all well", 0, None),
            ("x.cpp:1: Failure\nrace of threads in norm: write by thread 1", 1, "race"),
            ("x.cpp:1: Failure\nread of shared memory that was not written in norm", 1, "unwritten shared memory"),
            ("emulated device: deadlock: a barrier", 1, "machine stopped"),
            ("x.cpp:1: Failure\nsum: 1 instead of 2", 1, "wrong result"),
            ("", 134, "crash"),
        ):  # fmt: skip
            with tempfile.TemporaryDirectory() as folder:
                program = pathlib.Path(folder, "program")
                program.write_text(f"#!/bin/sh\ncat <<'E'\n{output}\nE\nexit {code}\n", encoding="utf-8")
                os.chmod(program, stat.S_IRWXU)
                self.assertEqual(tool.verdict(program, "*"), wanted)


if __name__ == "__main__":
    unittest.main()
