"""Writes backend/text/unicode_tables.inc from Python's own Unicode data and the module regex.

    python3 backend/text/unicode_tables_gen.py > backend/text/unicode_tables.inc

Needs Python 3.11 and PyPI's regex 2026.11.19, which are what the reference implementations ran with
when the golden files were made: str.lower() and \\w are Python's, the classes P, S and N of sacrebleu's
tokenizer "intl" are regex's.
"""

import re
import sys

import regex

LAST = 0x10FFFF


def code_points():
    return (c for c in range(LAST + 1) if not 0xD800 <= c <= 0xDFFF)


def ranges_of(belongs):
    ranges = []
    for c in code_points():
        if not belongs(chr(c)):
            continue
        if ranges and ranges[-1][1] == c - 1:
            ranges[-1][1] = c
        else:
            ranges.append([c, c])
    return ranges


def print_ranges(name, comment, belongs):
    print(f"\n// {comment}\ninline constexpr CodePointRange {name}[] = {{")
    print_items(f"{{0x{a:x}, 0x{b:x}}}" for a, b in ranges_of(belongs))


def print_items(items):
    line = "   "
    for item in items:
        if len(line) + len(item) + 2 > 100:
            print(line)
            line = "   "
        line += f" {item},"
    print(f"{line}\n}};")


def lower_ranges():
    """(first, last, step, distance): every step-th code point of the range moves by distance."""
    ranges = []
    for c in code_points():
        lower = chr(c).lower()
        if len(lower) != 1 or ord(lower) == c:
            continue
        distance = ord(lower) - c
        if ranges and ranges[-1][3] == distance:
            first, last, step, _ = ranges[-1]
            if c - last == step or (first == last and c - last <= 2):
                ranges[-1] = [first, c, c - last, distance]
                continue
        ranges.append([c, c, 1, distance])
    return ranges


def is_cased(c):
    """What decides on a final sigma before and after it, seen from outside."""
    return ("a" + c + "Σ").lower()[-1] == "ς" and ("\u2028" + c + "Σ").lower()[-1] == "ς"


def is_case_ignorable(c):
    return ("a" + c + "Σ").lower()[-1] == "ς" and ("\u2028" + c + "Σ").lower()[-1] == "σ"


def main():
    print("// Made by unicode_tables_gen.py; do not edit.")
    for name, letter in (("kPunctuation", "P"), ("kSymbol", "S"), ("kNumber", "N")):
        pattern = regex.compile(rf"\p{{{letter}}}")
        print_ranges(name, f"General category {letter}*.", lambda c: pattern.match(c) is not None)
    word = re.compile(r"\w")
    print_ranges("kWord", r"What \w of Python's re matches.", lambda c: word.match(c) is not None)
    print_ranges("kCased", "Unicode's property Cased, unless Case_Ignorable.", is_cased)
    print_ranges("kCaseIgnorable", "Unicode's property Case_Ignorable.", is_case_ignorable)
    print("\n// Lower case of one code point, where that is one other.")
    print("inline constexpr LowerRange kLower[] = {")
    print_items(f"{{0x{a:x}, 0x{b:x}, {s}, {d}}}" for a, b, s, d in lower_ranges())
    longer = [c for c in code_points() if len(chr(c).lower()) != 1]
    assert longer == [0x130], longer


if __name__ == "__main__":
    sys.exit(main())
