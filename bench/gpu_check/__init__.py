"""`make gpu-check`: whether elbeam is right on this machine's GPU, and how fast. docs/gpu.md says more."""
