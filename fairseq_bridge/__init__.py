"""Where elbeam meets fairseq. The C++ files are fairseq's flags, data and output lines; the Python
side compares elbeam with stock fairseq: ``python3 -m fairseq_bridge.parity --help``.

fairseq imports this package for ``--user-dir fairseq_bridge``, and then elbeam decodes: plugin.py."""

import sys

if "fairseq.options" in sys.modules:
    from . import plugin

    plugin.install()
