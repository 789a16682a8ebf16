"""Writes a scripted module's archive again without its debug records.

torch.jit.save puts a ``*.debug_pkl`` beside each source file of the code: which line of which file
on the exporting machine an instruction came from. Nothing that runs the module needs them, and they
would tell whoever gets the archive about the folders of whoever made it.
"""

from typing import Any, BinaryIO, Optional

import torch


class _Output:
    """A file that keeps its error for later: PyTorchFileWriter's destructor writes, too, and an
    exception there ends the process."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.error: Optional[Exception] = None

    def write(self, data: Any) -> int:
        if self.error is None:
            try:
                self._file.write(data)
            except (OSError, ValueError) as error:  # ValueError: closed already
                self.error = error
        return len(data)


def strip_debug_records(source: str, destination: str) -> None:
    """Copies every other record, tensors at the same alignment; the same records, the same bytes.

    Source code that torch.jit.save compressed is stored as it is: the writer's Python side cannot
    compress. The archive's name inside the zip becomes "archive", whatever the file is called.
    Raises OSError.
    """
    reader = torch._C.PyTorchFileReader(source)
    with open(destination, "wb") as file:
        output = _Output(file)
        writer = torch._C.PyTorchFileWriter(output)
        for name in reader.get_all_records():
            # The writer adds the second by itself, a checksum of what it wrote.
            if not name.endswith((".debug_pkl", ".data/serialization_id")):
                content = reader.get_record(name)
                writer.write_record(name, content, len(content))
        writer.write_end_of_file()
        if output.error is not None:
            raise output.error
