"""What nvcc makes of the device's kernels: registers, spills, instructions of the inner loops, occupancy.

budget_test.py holds them to budgets.json; report.py prints the table of docs/gpu.md. No GPU is needed.
"""
