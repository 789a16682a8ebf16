"""Exports fairseq models as TorchScript archives that both of elbeam's engines read.

``python -m torchscript_models.export --path CKPT --data DATA-BIN --out FILE.ts.pt``

The archive holds the scripted encoder and decoder, whose parameters keep fairseq's state-dict names,
and three extra files: ``config.json``, ``dict.src.txt`` and ``dict.tgt.txt``.
"""
