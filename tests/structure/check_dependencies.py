#!/usr/bin/env python3
"""Holds the source tree to the house's rules, by reading it: no compiler needed.

    python3 tests/structure/check_dependencies.py [--root FOLDER]

1. Modules depend one way. ALLOWED is the picture; an include against it is an error.
2. LibTorch's headers appear only where TORCH_MODULES says: they cost 15 s a file, what does not see
   them can be sanitized and fuzzed, and only the plug-in may need LibTorch at run time.
3. No file has more than 500 lines, no function of a source file more than 80. Generated tables
   (.inc) are data and may be longer.

Prints one line per violation, "file:line: what, and what to do"; exit status 1 if there is any.
"""

import argparse
import pathlib
import re
import sys

MAX_FILE_LINES = 500
MAX_FUNCTION_LINES = 80

# module -> what it may include. Transitive: what a module may use, its users may use too.
ALLOWED = {
    "base": [],
    "text": ["base"],
    "search": ["text"],
    "archive": ["base"],
    "kernels": ["base"],
    "attention": ["kernels"],
    "model": ["archive", "attention"],
    "torchscript": ["base"],  # a plug-in: runtime sees its one C function, no more
    "device": ["model", "search"],
    "runtime": ["device", "torchscript"],
    "fairseq_bridge": ["runtime", "eval"],
    "cli": ["fairseq_bridge"],
    "python": ["runtime"],
    "eval": ["text"],
}
TORCH_MODULES = {"torchscript"}
TORCH_FOLDERS = {"torch", "ATen", "c10", "caffe2"}
# The facade's header promises what only runtime can keep; the other public headers are plain types.
FACADE_HEADER, FACADE_MODULE = "elbeam/generator.hpp", "runtime"

CPP_SUFFIXES = {".cpp", ".hpp", ".h", ".cu", ".cuh", ".inc"}
COUNTED_SUFFIXES = CPP_SUFFIXES - {".inc"} | {".py", ".sh", ".cmake"}
SKIPPED_FOLDERS = {".git", ".deps", ".cache", "__pycache__"}

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')


def allowed_closure(module):
    reached, waiting = {module}, list(ALLOWED[module])
    while waiting:
        name = waiting.pop()
        if name not in reached:
            reached.add(name)
            waiting += ALLOWED[name]
    return reached


def module_of(path):
    """Module of a file given relative to the root, or None for tests, tools and public headers."""
    parts = path.parts
    if parts[0] == "backend" and len(parts) > 2 and parts[1] in ALLOWED:
        return parts[1]
    if parts[0] in ("fairseq_bridge", "eval"):
        return parts[0]
    return None


def check_include(module, opening, target):
    """The violation that this include is, or None."""
    first = target.split("/")[0]
    if ".." in target.split("/"):
        return f'include "{target}" leaves its folder; write it from backend/ or from the root'
    if first in TORCH_FOLDERS and module not in TORCH_MODULES:
        return f"{module} includes LibTorch ({target}); only {', '.join(sorted(TORCH_MODULES))} may"
    if target == FACADE_HEADER and FACADE_MODULE not in allowed_closure(module):
        return f"{module} includes the facade {target}, which stands above it"
    if opening == '"' and first in ALLOWED and first not in allowed_closure(module):
        usable = ", ".join(sorted(allowed_closure(module)))
        return f"{module} includes {target}; it may use only: {usable}"
    return None


def check_includes(path, lines):
    module = module_of(path)
    if module is None:
        return
    for number, line in enumerate(lines, 1):
        match = INCLUDE.match(line)
        problem = match and check_include(module, match.group(1), match.group(2))
        if problem:
            yield f"{path}:{number}: {problem}"


def check_function_lengths(path, lines):
    """clang-format leaves a function of a namespace between a line that begins in column 0 and a
    line "}": that is enough to measure it."""
    start = None
    for number, line in enumerate(lines, 1):
        if line.startswith("}"):
            if line.rstrip() == "}" and start is not None and number - start >= MAX_FUNCTION_LINES:
                length = number - start + 1
                yield f"{path}:{start}: function of {length} lines; at most {MAX_FUNCTION_LINES}"
            start = None  # "};" ends a type or a table
        elif re.match(
            r"(namespace|struct|class|enum|union|extern|template|using|#|//)\b|[#/]", line
        ):
            start = None
        elif re.match(r"[A-Za-z_\[]", line):
            if line.rstrip().endswith(";"):
                start = None
            elif start is None:
                start = number


def source_files(root):
    for path in sorted(root.rglob("*")):
        relative = path.relative_to(root)
        folders = relative.parts[:-1]
        if any(part in SKIPPED_FOLDERS or part.startswith("build") for part in folders):
            continue
        if path.is_file() and path.suffix in CPP_SUFFIXES | COUNTED_SUFFIXES:
            yield relative


def check_tree(root):
    problems = []
    for path in source_files(root):
        lines = (root / path).read_text(encoding="utf-8").splitlines()
        if path.suffix in COUNTED_SUFFIXES and len(lines) > MAX_FILE_LINES:
            problems.append(
                f"{path}:{MAX_FILE_LINES}: file of {len(lines)} lines; at most {MAX_FILE_LINES}"
            )
        if path.suffix in CPP_SUFFIXES:
            problems += check_includes(path, lines)
        if path.suffix in (".cpp", ".cu"):
            problems += check_function_lengths(path, lines)
    return problems


def main(arguments):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--root", type=pathlib.Path, default=pathlib.Path(__file__).resolve().parents[2]
    )
    root = parser.parse_args(arguments).root
    count = sum(1 for _ in source_files(root))
    if not (root / "backend").is_dir() or count == 0:
        print(f"{root} holds no source tree", file=sys.stderr)
        return 2
    problems = check_tree(root)
    for problem in problems:
        print(problem)
    print(f"{count} files read, {len(problems)} violations")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
