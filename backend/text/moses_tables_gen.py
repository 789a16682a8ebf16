"""Writes moses_characters.inc: the character classes of sacremoses 0.2.0 as ranges of code points.

    $REFERENCE/bin/python backend/text/moses_tables_gen.py > backend/text/moses_characters.inc

sacremoses keeps them as lists of characters, taken from Perl's tables of Unicode properties. They
are nobody's current property: IsAlnum, for one, has no Chinese characters.
"""

from sacremoses import MosesDetokenizer, MosesTokenizer
from sacremoses.corpus import Perluniprops

NAMES = {
    "kTokenizerAlnum": MosesTokenizer.IsAlnum,
    "kTokenizerAlpha": MosesTokenizer.IsAlpha,
    "kNumber": MosesTokenizer.IsN,
    "kLower": MosesTokenizer.IsLower,
    "kDetokenizerAlpha": MosesDetokenizer.IsAlpha,
    "kCurrency": MosesDetokenizer.IsSc,
}
NAMES.update({f"k{name}": "".join(Perluniprops().chars(name))
              for name in ("Hangul", "Han", "Hiragana", "Katakana")})


def ranges(characters):
    found = []
    for code in sorted(set(map(ord, characters))):
        if found and found[-1][1] + 1 == code:
            found[-1][1] = code
        else:
            found.append([code, code])
    return found


print("// Made by moses_tables_gen.py from sacremoses (MIT licence, copyright 2020 alvations), whose")
print("// lists come from the Unicode character database; do not edit.")
print("// clang-format off")
for name, characters in NAMES.items():
    print(f"constexpr CharacterRange {name}[] = {{")
    line = "   "
    for first, last in ranges(characters):
        item = f" {{0x{first:x},0x{last:x}}},"
        if len(line) + len(item) > 100:
            print(line)
            line = "   "
        line += item
    print(line)
    print("};")
print("// clang-format on")
