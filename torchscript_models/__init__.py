"""Exports fairseq models as TorchScript archives that both of elbeam's engines read.

``python -m torchscript_models.export --path CKPT --data DATA-BIN --out FILE.ts.pt``

The archive holds the scripted encoder and decoder (of a language model: the decoder), whose
parameters keep fairseq's state-dict names, and three extra files: ``config.json`` with what
scripted modules do not show, ``dict.src.txt`` and ``dict.tgt.txt`` with one symbol a line,
line = id.

checkpoint.py loads without running code of the file; wrapper.py and adaptive.py have what is
scripted; records.py leaves the exporting machine's paths out; verify.py holds the result against
stock fairseq; export.py is the command.
"""
