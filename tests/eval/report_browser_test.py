"""elbeam-report's page in a real browser: keys are pressed, segments sorted and filtered, colours
and widths looked at. Skipped where there is no Chromium. ELBEAM_SCREENSHOTS=FOLDER keeps pictures."""

import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest

import browser

ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(os.environ.get("ELBEAM_BIN_DIR", ROOT / "build" / "bin"))
COUNT = 2000
WORDS = "the quick brown fox jumps over the lazy dog and on and on until night".split()
# Contrast of text to what is behind it, as WCAG 2 wants it for small text.
READABLE = 4.5
PAIRS = (
    *(("ink", "paper"), ("soft", "paper"), ("ink", "card"), ("soft", "card")),
    *(("link", "paper"), ("ink", "ins"), ("ink", "del")),
)


def outputs():
    """Two systems: the second one is the reference, the first drops words, now and then all."""
    first, second = [], []
    for i in range(COUNT):
        words = [*WORDS[: 4 + i % 11], f"number{i}", "."]
        second.append(" ".join(words))
        first.append(" ".join(words[i % 5 :]) if i % 7 else " ".join(words))
    first[1234] = "nothing of it here"
    return first, second


def edits(a, b):
    a, b = a.split(), b.split()
    before = list(range(len(b) + 1))
    for i, word in enumerate(a):
        now = [i + 1]
        for j, other in enumerate(b):
            now.append(min(before[j + 1] + 1, now[j] + 1, before[j] + (word != other)))
        before = now
    return before[-1]


def luminance(colour):
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, other):
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@unittest.skipIf(browser.PROGRAM is None, browser.WHY_NOT)
class ReportInABrowser(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="elbeam-report-"))
        cls.addClassCleanup(shutil.rmtree, cls.folder, ignore_errors=True)
        cls.first, cls.second = outputs()
        paths = [cls.folder / "first", cls.folder / "second"]
        for path, lines in zip(paths, (cls.first, cls.second)):
            path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
        cls.page = cls.folder / "report.html"
        command = [BIN / "elbeam-report", "--sys", paths[0], "--sys", paths[1], "--ref", paths[1]]
        command += ["--src", paths[0], "--metrics", "chrf,ter,rouge1", "--stock", "--out", cls.page]
        command += ["--name", "first", "--name", "second", "--samples", "100"]
        counters = {"generated_tokens": 300, "encode_seconds": 0.5, "decode_seconds": 1.0}
        caches = {"cross_cache_bytes": 3 << 20, "self_cache_bytes": 1 << 20}
        for factor in (1, 2):
            path = cls.folder / f"stats{factor}.json"
            values = {**counters, **caches, "generated_tokens": 300 * factor}
            path.write_text(json.dumps(values), encoding="utf-8")
            command += ["--stats", path]
        subprocess.run(list(map(str, command)), check=True, timeout=240)
        cls.browser = browser.Browser()
        cls.addClassCleanup(cls.browser.close)

    def setUp(self):
        self.browser.prefer("light")
        self.browser.resize(1280, 900)
        self.browser.events.clear()
        self.seconds = self.browser.open(self.page)

    def look(self, script):
        return self.browser.evaluate(script)

    def focus(self, name):
        self.look(f"document.getElementById('{name}').focus()")

    def focused(self):
        element = "document.activeElement"
        return self.look(f"{element}.id || {element}.className || {element}.tagName")

    def shown(self):
        """The numbers of the segments on the page, from 0."""
        ids = self.look("[...document.querySelectorAll('#list > li')].map((one) => one.id)")
        return [int(one.removeprefix("segment-")) - 1 for one in ids]

    def count(self):
        return self.look("document.getElementById('count').textContent")

    def choose(self, name, downs):
        """By keyboard: the entry that so many arrow keys lead to."""
        self.focus(name)
        self.browser.press("Home")
        self.browser.press("ArrowDown", downs)

    def picture(self, name):
        folder = os.environ.get("ELBEAM_SCREENSHOTS")
        if folder:
            self.browser.screenshot(pathlib.Path(folder) / f"{name}.png")

    def test_opens_quickly_alone_and_without_complaints(self):
        # The page's own processor time, so that other work on the machine does not count.
        self.assertLess(self.browser.processor_seconds(), 2)
        self.assertLess(self.page.stat().st_size, 5_000_000)
        self.assertEqual(self.count(), f"25 of {COUNT} segments")
        self.assertEqual(self.browser.requested(), [self.page.as_uri()])
        self.assertEqual(self.browser.complaints(), [])
        print(f"opened in {self.seconds:.2f} s", flush=True)

    def test_every_control_is_reached_by_the_keyboard_and_seen(self):
        self.browser.press("Tab")
        self.assertEqual(self.focused(), "skip")
        self.assertGreaterEqual(self.look("document.activeElement.getBoundingClientRect().left"), 0)
        self.picture("skip")
        self.browser.press("Enter")
        self.assertEqual(self.look("location.hash"), "#segments")
        reached = []
        for _ in range(4):
            self.browser.press("Tab")
            reached.append(self.focused())
            style = "getComputedStyle(document.activeElement)"
            self.assertEqual(self.look(f"{style}.outlineStyle"), "solid", reached)
        # Controls that the order chosen does not need are not there.
        self.assertEqual(reached, ["order", "search", "different", "more"])
        self.focus("order")
        before = []
        for _ in range(3):
            self.browser.press("Tab", modifiers=browser.SHIFT)
            before.append(self.focused())
        self.assertEqual(before, ["SUMMARY", "plot-metric", "scores"])

    def test_order_by_score_length_and_difference(self):
        self.choose("order", 1)  # worst of the second system, which is the reference: all alike
        self.assertEqual(self.shown(), list(range(25)))
        self.choose("order-system", 0)
        self.assertEqual(self.shown()[0], 1234)
        self.picture("worst")
        self.choose("order-metric", 1)  # TER: more is worse
        score = "JSON.parse(document.getElementById('data').textContent).scores.ter[0]"
        scores = self.look(score)
        found = [scores[i] for i in self.shown()]
        self.assertEqual(found, sorted(scores, reverse=True)[:25])
        self.choose("order", 2)
        found = [scores[i] for i in self.shown()]
        self.assertEqual(found, sorted(scores)[:25])
        self.choose("order", 3)
        lengths = [len(self.first[i].split()) for i in self.shown()]
        self.assertEqual(lengths, sorted((len(s.split()) for s in self.first), reverse=True)[:25])
        self.choose("order", 4)
        distances = [edits(a, b) for a, b in zip(self.first, self.second)]
        found = [distances[i] for i in self.shown()]
        self.assertEqual(found, sorted(distances, reverse=True)[:25])

    def test_plots_and_the_panel_of_speed(self):
        titles = "[...document.querySelectorAll('{} svg[role] > title')].map((t) => t.textContent)"
        speed = self.look(titles.format("#speed"))
        self.assertEqual(len(speed), 2)
        self.assertIn("first 200.0 tokens/s, second 400.0 tokens/s", speed[0])
        self.assertIn("first 4.0 MiB", speed[1])
        self.assertIn("chrf of segments. first: mean", self.look(titles.format("#plots"))[0])
        self.choose("plot-metric", 2)
        self.assertIn("rouge1 of segments. first: mean", self.look(titles.format("#plots"))[0])
        bars = "document.querySelectorAll('#plots figure:first-child rect').length"
        self.assertEqual(self.look(bars), 32)  # 16 of each system
        # Whole numbers of words: 2 to 16, one bar each.
        bars = "document.querySelectorAll('#plots figure:nth-child(2) rect').length"
        self.assertEqual(self.look(bars), 30)
        self.look("document.getElementById('plots-title').scrollIntoView()")
        self.picture("plots")

    def test_filters(self):
        self.focus("search")
        self.browser.type("Number1999 ")
        self.assertEqual((self.shown(), self.count()), ([1999], "1 of 1 segments"))
        self.look("document.getElementById('search').value = ''")
        self.browser.type("no such words")
        self.assertEqual((self.shown(), self.count()), ([], "0 of 0 segments"))
        self.look("document.getElementById('search').value = ''")
        self.focus("different")
        self.browser.press(" ")
        different = [i for i in range(COUNT) if self.first[i] != self.second[i]]
        self.focus("search")
        self.browser.type("fox")
        wanted = [i for i in different if "fox" in self.first[i] + self.second[i]]
        self.assertEqual(self.shown(), wanted[:25])
        self.assertEqual(self.count(), f"25 of {len(wanted)} segments")
        marked = self.look("document.querySelector('#list ins').textContent")
        self.assertIn(marked, self.second[wanted[0]])

    def test_show_more_moves_the_focus_to_what_is_new(self):
        self.focus("more")
        self.browser.press("Enter")
        self.assertEqual(self.count(), f"50 of {COUNT} segments")
        self.assertEqual(self.focused(), "segment-26")
        self.assertEqual(self.shown(), list(range(50)))

    def test_text_is_readable_in_light_and_dark(self):
        papers = []
        for scheme in ("light", "dark"):
            self.browser.prefer(scheme)
            self.picture(scheme)
            papers.append(self.look("getComputedStyle(document.body).backgroundColor"))
            names = sorted({name for pair in PAIRS for name in pair})
            style = "getComputedStyle(document.documentElement)"
            values = {n: self.look(f"{style}.getPropertyValue('--{n}').trim()") for n in names}
            # #abc is #aabbcc.
            full = {
                name: value if len(value) == 7 else "#" + "".join(c * 2 for c in value[1:])
                for name, value in values.items()
            }
            for text, behind in PAIRS:
                ratio = contrast(full[text], full[behind])
                self.assertGreaterEqual(ratio, READABLE, f"{text} on {behind}, {scheme}")
        self.assertEqual(papers, ["rgb(255, 255, 255)", "rgb(13, 17, 23)"])

    def test_fits_a_phone(self):
        for width in (320, 360, 768):
            self.browser.resize(width, 740, phone=True)
            self.choose("order", 1)  # all controls are there
            self.picture(f"phone-{width}")
            self.look("document.getElementById('segments').scrollIntoView()")
            self.picture(f"phone-{width}-segments")
            self.assertLessEqual(self.look("document.scrollingElement.scrollWidth"), width)
            outside = """[...document.querySelectorAll('body *')]
                .filter((one) => !one.closest('.wide, .skip, svg, option'))
                .filter((one) => one.getClientRects().length)
                .filter((one) => one.getBoundingClientRect().right > innerWidth + .5)
                .map((one) => one.outerHTML.slice(0, 80))"""
            self.assertEqual(self.look(outside), [])
            low = """[...document.querySelectorAll('select, button, input[type=search]')]
                .map((one) => one.getBoundingClientRect().height).filter((height) => height < 40)"""
            self.assertEqual(self.look(low), [0] * len(self.look(low)))  # hidden ones alone


if __name__ == "__main__":
    unittest.main()
