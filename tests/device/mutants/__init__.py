"""Planted bugs: the kernels' tests have to fail for each. `python3 -m tests.device.mutants --help`."""
