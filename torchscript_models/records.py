"""Writes a scripted module's archive again without its debug records.

torch.jit.save puts a ``*.debug_pkl`` beside each source file of the code: which line of which file
on the exporting machine an instruction came from. Nothing that runs the module needs them, and they
would tell whoever gets the archive about the folders of whoever made it.
"""

import torch

# What PyTorchFileWriter adds by itself when it closes the file.
_WRITERS_OWN = ("version", ".data/serialization_id")


def strip_debug_records(source: str, destination: str) -> None:
    """Copies every other record, tensors at the same alignment; the same records, the same bytes.

    Source code that torch.jit.save compressed is stored as it is: the writer's Python side cannot
    compress. The archive's name inside the zip becomes "archive", whatever the file is called.
    """
    reader = torch._C.PyTorchFileReader(source)
    with open(destination, "wb") as file:
        writer = torch._C.PyTorchFileWriter(file)
        # Older torch versions refuse a file by this number; the writer alone would set the lowest.
        writer.set_min_version(int(reader.get_record("version")))
        for name in reader.get_all_records():
            if name not in _WRITERS_OWN and not name.endswith(".debug_pkl"):
                content = reader.get_record(name)
                writer.write_record(name, content, len(content))
        writer.write_end_of_file()
