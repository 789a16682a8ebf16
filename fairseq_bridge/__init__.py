"""Where elbeam meets fairseq. The C++ files are fairseq's flags, data and output lines; the Python
side compares elbeam with stock fairseq: ``python3 -m fairseq_bridge.parity --help``."""
