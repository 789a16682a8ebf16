"""Each rule of check_dependencies.py must fail on a tree that breaks it, and only there."""

import pathlib
import tempfile
import unittest

import check_dependencies


class CheckTree(unittest.TestCase):
    def problems(self, files):
        with tempfile.TemporaryDirectory() as folder:
            root = pathlib.Path(folder)
            for name, text in files.items():
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                (root / name).write_text(text)
            return check_dependencies.check_tree(root)

    def assert_one(self, files, *words):
        problems = self.problems(files)
        self.assertEqual(len(problems), 1, problems)
        for word in words:
            self.assertIn(word, problems[0])

    def test_a_tree_that_keeps_the_rules(self):
        self.assertEqual(
            self.problems(
                {
                    "backend/search/loop.cpp": '#include "search/loop.hpp"\n#include "text/x.hpp"\n'
                    '#include "base/x.hpp"\n'
                    "#include <elbeam/options.hpp>\n#include <vector>\n",
                    "backend/torchscript/x.cpp": "#include <ATen/ATen.h>\n",
                    "backend/runtime/generator.cpp": "#include <elbeam/generator.hpp>\n"
                    '#include "model/x.hpp"\n#include "torchscript/x.hpp"\n',
                    "backend/cli/main.cpp": '#include "fairseq_bridge/x.hpp"\n'
                    '#include "base/x.hpp"\n',
                    "tests/text/x_test.cpp": '#include "model/x.hpp"\n',
                }
            ),
            [],
        )

    def test_an_arrow_to_the_right(self):
        self.assert_one(
            {"backend/text/x.cpp": '\n#include "search/topk.hpp"\n'},
            "backend/text/x.cpp:2",
            "search/topk.hpp",
        )

    def test_between_branches(self):
        self.assert_one(
            {"backend/attention/x.hpp": '#include "archive/checkpoint.hpp"\n'}, "attention includes"
        )
        self.assert_one({"eval/bleu.cpp": '#include "search/topk.hpp"\n'}, "eval includes")

    def test_libtorch_where_it_may_not_be(self):
        for include in ("<ATen/ATen.h>", "<torch/script.h>", '"c10/util/Half.h"'):
            self.assert_one({"backend/model/x.cpp": f"  #  include {include}\n"}, "LibTorch")

    def test_the_facade_from_below(self):
        self.assert_one({"backend/search/x.cpp": "#include <elbeam/generator.hpp>\n"}, "facade")

    def test_a_path_that_goes_around(self):
        self.assert_one(
            {"backend/text/x.cpp": '#include "../search/topk.hpp"\n'}, "leaves its folder"
        )

    def test_a_long_file(self):
        self.assertEqual(self.problems({"fairseq_bridge/x.py": "\n" * 500}), [])
        self.assert_one({"fairseq_bridge/x.py": "\n" * 501}, "501 lines")

    def test_a_long_function(self):
        def function(lines):
            return (
                "namespace a {\n\nint f(\n    int x) {\n"
                + "  x;\n" * (lines - 3)
                + "}\n\n}  // namespace a\n"
            )

        self.assertEqual(self.problems({"backend/base/x.cpp": function(79)}), [])
        self.assertEqual(self.problems({"backend/base/x.cpp": function(80)}), [])
        self.assert_one({"backend/base/x.cpp": function(81)}, "x.cpp:3", "81 lines")

    def test_a_table_is_not_a_function(self):
        table = "constexpr int kTable[] = {\n" + "    1,\n" * 100 + "};\n"
        self.assertEqual(
            self.problems({"backend/base/x.cpp": table, "backend/base/x.inc": "1,\n" * 600}), []
        )

    def test_build_folders_are_not_read(self):
        self.assertEqual(
            self.problems({"build-asan/x.cpp": "\n" * 900, ".deps/x.hpp": "\n" * 900}), []
        )


if __name__ == "__main__":
    unittest.main()
