"""Installs the build into an empty folder and uses it as a stranger would: find_package,
pkg-config, the installed program, and a look at what the shared library shows.

Environment: ELBEAM_BUILD_DIR, CMAKE_COMMAND, CXX.
"""

import os
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

SOURCE = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(SOURCE))
from fairseq_bridge.parity import golden, output  # noqa: E402

BUILD = os.environ["ELBEAM_BUILD_DIR"]
CMAKE = os.environ["CMAKE_COMMAND"]
CXX = os.environ["CXX"]
MODEL = SOURCE / "tests" / "data" / "debian_de_en"


def call(*command, **more):
    result = subprocess.run(command, capture_output=True, text=True, **more)
    if result.returncode != 0:
        raise AssertionError(f"{command} gave {result.returncode}:\n{result.stdout}{result.stderr}")
    return result.stdout


class Install(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.scratch = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.scratch.cleanup)
        cls.folder = pathlib.Path(cls.scratch.name)
        cls.prefix = cls.folder / "prefix"
        call(CMAKE, "--install", BUILD, "--prefix", str(cls.prefix))

    def build(self, project):
        """Builds a project against the installed package; returns its build folder."""
        folder = self.folder / project.name
        call(
            CMAKE,
            *("-S", str(project), "-B", str(folder), "-G", "Ninja"),
            f"-DCMAKE_PREFIX_PATH={self.prefix}",
            f"-DCMAKE_CXX_COMPILER={CXX}",
        )
        call(CMAKE, "--build", str(folder))
        return folder

    def library(self):
        found = sorted(self.prefix.rglob("libelbeam.so"))
        self.assertEqual(len(found), 1)
        return found[0]

    def test_headers_are_those_of_the_tree_and_name_no_libtorch(self):
        installed = self.prefix / "include" / "elbeam"
        tree = SOURCE / "backend" / "include" / "elbeam"
        self.assertEqual(
            sorted(path.relative_to(installed) for path in installed.rglob("*")),
            sorted(path.relative_to(tree) for path in tree.rglob("*")),
        )
        for path in installed.rglob("*.hpp"):
            self.assertNotRegex(path.read_text(), r"#\s*include\s*[<\"](torch|ATen|c10)/")

    def test_the_library_shows_the_public_names_only(self):
        shown = call("nm", "-DC", "--defined-only", str(self.library()))
        public = re.compile(
            r"(typeinfo( name)?|vtable) for elbeam::(Error|StepModel|DecodeState)$"
            r"|(typeinfo( name)?|vtable) for elbeam::eval::Metric$"
            r"|elbeam::(Generator::|SearchOptions::|LoadOptions::|error_code_name|exit_code|version"
            r"|request_cancellation|eval::(make_|Evaluation::|TextFile::(open|next)\(|Metric::corpus_score\("
            r"|paired_bootstrap\(|approximate_randomization\())"
        )
        names = [line.split(" ", 2)[2] for line in shown.splitlines()]
        self.assertTrue(any(name.startswith("elbeam::Generator::") for name in names))
        self.assertEqual([name for name in names if not public.match(name)], [])

    def test_a_model_of_the_users_own(self):
        folder = self.build(SOURCE / "tests" / "install" / "consumer")
        self.assertIn("beam", call(str(folder / "own_model")))

    def test_pkg_config(self):
        pkgconfig = self.library().parent / "pkgconfig"
        text = (pkgconfig / "elbeam.pc").read_text()
        self.assertIn("-lelbeam", text)
        try:
            flags = call(
                *("pkg-config", "--cflags", "--libs", "elbeam"),
                env=dict(os.environ, PKG_CONFIG_PATH=str(pkgconfig)),
            ).split()
        except FileNotFoundError:
            self.skipTest("no pkg-config on this machine")
        program = self.folder / "own_model_pc"
        source = SOURCE / "tests" / "install" / "consumer" / "own_model.cpp"
        rpath = f"-Wl,-rpath,{self.library().parent}"
        call(CXX, str(source), "-o", str(program), *flags, rpath)
        call(str(program))

    def test_the_installed_program(self):
        program = self.prefix / "bin" / "elbeam-generate"
        self.assertIn("--path", call(str(program), "--help"))

    def test_the_example_translates_as_stock_does(self):
        """Stock's lines have whole words, the example takes tokens: the installed program tells the
        tokens of each source, and the words come of the example's answer by removing "@@ "."""
        flags = ["data-bin", "--path", "checkpoint.pt", "-s", "de", "-t", "en", "--beam", "4"]
        flags += ["--cpu", "--required-batch-size-multiple", "1"]
        generate = self.prefix / "bin" / "elbeam-generate"
        tokens = output.parse(call(str(generate), *flags, cwd=MODEL), "elbeam-generate").sentences
        stock = output.parse(
            golden.read_stock(MODEL / "stock_beam4_nbest4.txt.gz"), "stock"
        ).sentences
        self.assertEqual(sorted(tokens), sorted(stock))
        ids = sorted(stock)
        program = self.build(SOURCE / "docs" / "examples" / "translate") / "translate"
        printed = call(
            *(str(program), "checkpoint.pt", "data-bin/dict.de.txt", "data-bin/dict.en.txt"),
            cwd=MODEL,
            input="".join(tokens[sentence].source + "\n" for sentence in ids),
        )
        words = [(line + " ").replace("@@ ", "").rstrip() for line in printed.split("\n")[:-1]]
        self.assertEqual(words, [stock[sentence].hypotheses[0].text for sentence in ids])


if __name__ == "__main__":
    unittest.main()
