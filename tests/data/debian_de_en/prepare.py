#!/usr/bin/env python3
"""German-English segment pairs from the message catalogues of unpacked Debian packages.

    prepare.py UNPACKED OUT

UNPACKED has one folder per package: `dpkg-deb -x name_version_arch.deb UNPACKED/name_version_arch`.
Writes OUT/{train,valid,test}.{de,en}, tokenized, and OUT/sources.tsv: pairs used per package and
the licences that its copyright file names.
A package counts only if its Debian copyright file names the GPL, LGPL or MPL.
"""

import collections
import gettext
import hashlib
import html
import pathlib
import re
import sys

MAX_WORDS = 30
SHORT_SHARE = 8  # of the one- and two-word labels, every eighth is kept: whole sentences teach more
VALID, TEST = 300, 200
# Lists of place names, colours or units that a small vocabulary cannot hold.
SKIPPED = re.compile(
    r"kgeography|nations|stardict|kstars|iso_|colors|emoji|kalzium|kf5_entry|hyphen"
)
# Format directives, markup, paths, options and keys: neither words nor translatable.
MARKUP = re.compile(r"[<>{}$\\|@#^~`=%_&*\[\]+/]|--|://|\w\(\)|\.\w|\s-\w\b|\d\d\d")
TOKEN = re.compile(r"\w+(?:[-'’]\w+)*|\.\.\.|[^\w\s]")
SENTENCE_END = re.compile(r"(?<=[.!?:])\s+(?=[A-ZÄÖÜ])")


def plain(text):
    """Text without mnemonic marks and line breaks; quotes as plain ASCII."""
    text = html.unescape(text) if "&" in text and ";" in text else text
    for mark in "_&":
        if text.count(mark) == 1:
            text = re.sub(mark + r"(?=\w)", "", text)
    text = re.sub("[“”„»«‟]|``|''", '"', text.replace("…", "...")).replace("\u00a0", " ")
    text = re.sub(r"[‚‘’‹›]", "'", text)
    return " ".join(text.split())


def usable(de, en):
    """Both sides are words of a comparable length, and not the same ones."""
    n_de, n_en = len(de), len(en)
    a, b = " ".join(de), " ".join(en)
    letters = [sum(c.isalpha() or c == " " for c in s) / len(s) for s in (a, b)]
    return (
        n_en <= MAX_WORDS
        and n_de <= MAX_WORDS
        and n_de <= 1.8 * n_en + 2
        and n_en <= 1.8 * n_de + 2
        and 0.5 < len(a) / len(b) < 2.2
        and min(letters) > 0.8
        and max(map(len, de)) < 28
        and a.lower() != b.lower()
        and a.isprintable()
        and b.isprintable()
    )


def catalogue_pairs(path):
    """(de, en) segments of one .mo file; a message of n sentences on both sides gives n."""
    with open(path, "rb") as f:
        try:
            catalogue = gettext.GNUTranslations(f)._catalog
        except UnicodeDecodeError:  # a few old catalogues have a header that is not UTF-8
            return
    for key, de in catalogue.items():
        en = key[0] if isinstance(key, tuple) else key
        if not en or (isinstance(key, tuple) and key[1] != 0) or not isinstance(de, str):
            continue
        en, de = plain(en.rsplit("\x04", 1)[-1]), plain(de)
        if not en or not de:
            continue
        parts = SENTENCE_END.split(de), SENTENCE_END.split(en)
        if len(parts[0]) != len(parts[1]):
            parts = [de], [en]
        for d, e in zip(*parts):
            if not MARKUP.search(d) and not MARKUP.search(e):
                yield TOKEN.findall(d), TOKEN.findall(e)


def digest(text):
    """A number that depends on the text alone, so that the split is the same everywhere."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:6], "big")


def rights(package):
    """Text of the Debian copyright files in an unpacked package."""
    files = sorted(package.glob("usr/share/doc/*/copyright"))
    return "\n".join(f.read_text(errors="replace") for f in files)


def licence_names(text):
    """Short names of the free licences with copyleft that a copyright file names, or a pointer."""
    names = re.findall(r"^License:\s*(\S*(?:GPL|MPL)\S*)", text, re.M)
    names += re.findall(r"common-licenses/(L?GPL(?:-[\d.]*\d)?)", text)
    return ", ".join(sorted(set(names))) or "GPL (see the package's copyright file)"


def collect(root):
    """{(de, en): package} without repeated German sides, in order of package and catalogue."""
    pairs, seen = {}, set()
    for package in sorted(p for p in root.iterdir() if p.is_dir()):
        if not re.search(r"\b(L?GPL|MPL|General Public License)\b", rights(package)):
            continue
        for path in sorted(package.rglob("*.mo")):
            if "/de/" not in str(path) or SKIPPED.search(path.name):
                continue
            for de, en in catalogue_pairs(path):
                if not de or not en or not usable(de, en):
                    continue
                pair = " ".join(de), " ".join(en)
                label = max(len(de), len(en)) < 3
                if pair[0].lower() in seen or (label and digest(pair[0]) % SHORT_SHARE):
                    continue
                seen.add(pair[0].lower())
                pairs[pair] = package.name
    return pairs


def main():
    root, out = map(pathlib.Path, sys.argv[1:])
    out.mkdir(parents=True, exist_ok=True)
    pairs = collect(root)
    order = sorted(pairs, key=lambda p: digest("\t".join(p)))
    held = [p for p in order if 4 <= len(p[0].split()) <= 18 and p[1][-1] in ".!?"][: VALID + TEST]
    english, german = ({p[side].lower() for p in held} for side in (1, 0))
    train = [p for p in order if p[1].lower() not in english and p[0].lower() not in german]
    for name, part in (("train", train), ("valid", held[TEST:]), ("test", held[:TEST])):
        for side, language in enumerate(("de", "en")):
            (out / f"{name}.{language}").write_text("".join(p[side] + "\n" for p in part))
    used = collections.Counter(pairs[p] for p in [*train, *held])
    tested = collections.Counter(pairs[p] for p in held[:TEST])
    with open(out / "sources.tsv", "w") as f:
        f.write("package\tpairs\tof them in test\tlicences named in its copyright file\n")
        for name, count in sorted(used.items()):
            f.write(f"{name}\t{count}\t{tested[name]}\t{licence_names(rights(root / name))}\n")
    print(len(train), "train pairs;", sum(len(p[1].split()) for p in train), "English words")


if __name__ == "__main__":
    main()
