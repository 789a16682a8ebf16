"""Binary files below tests/data must not tell about the machine that made them.

What torch writes holds paths where nobody looks: the debug records of scripted modules, the
configuration in a checkpoint; sentencepiece's models name their training text. Every member of every zip is decompressed and searched, and so are
checkpoints of torch's older container, which is no zip.
"""

import io
import pathlib
import re
import unittest
import zipfile

DATA = pathlib.Path(__file__).resolve().parents[1] / "data"
# Any absolute path of two names, whatever the machine; names of a zip's members are relative. Three
# letters and more, so that the bytes of tensors do not look like one.
MACHINE_PATH = re.compile(
    rb"(?:(?<![\w.:/<>])/[A-Za-z][\w.-]{2,}(?:/[\w.-]{3,}|(?:/[\w.-]+){2,})|site-packages)[\x20-\x7e]{0,60}"
)
# A default of fairseq's configuration (plasma_path), the same wherever a checkpoint was made.
FAIRSEQ_DEFAULT = b"/tmp/plasma"


def machine_paths(content):
    """Paths in the bytes of a file; of a zip, in the bytes of its members."""
    if zipfile.is_zipfile(io.BytesIO(content)):
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return [
                f"{name}: {path}"
                for name in archive.namelist()
                for path in [name.encode(), archive.read(name)]
                for path in machine_paths(path)
            ]
    found = MACHINE_PATH.findall(content)
    return [repr(path) for path in found if not path.startswith(FAIRSEQ_DEFAULT)]


class DataPaths(unittest.TestCase):
    def test_committed_archives_hold_no_machine_paths(self):
        files = [path for path in sorted(DATA.rglob("*")) if path.is_file()]
        binary = [p for p in files if p.suffix in (".pt", ".model") or zipfile.is_zipfile(p)]
        self.assertGreater(len(binary), 5)
        for path in binary:
            with self.subTest(file=str(path.relative_to(DATA))):
                self.assertEqual(machine_paths(path.read_bytes()), [])

    def test_paths_are_found_in_compressed_members(self):
        inner, outer = io.BytesIO(), io.BytesIO()
        with zipfile.ZipFile(inner, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("code/x.debug_pkl", b"\x80\x02X\x12\x00\x00\x00/home/someone/x.pyq\x01" * 9)
        with zipfile.ZipFile(outer, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("inner.zip", inner.getvalue())
            archive.writestr("plain", b"/tmp/plasma")
        self.assertNotIn(b"/home/", outer.getvalue())
        self.assertEqual(len(machine_paths(outer.getvalue())), 9)
        self.assertEqual(machine_paths(b"lib/site-packages/x\x00/tmp/plasma"), ["b'site-packages/x'"])


if __name__ == "__main__":
    unittest.main()
