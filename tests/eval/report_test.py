"""elbeam-report: its page in a browser (skipped where there is none), and its command line."""

import html
import json
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import time
import unittest

import browser

ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(os.environ.get("ELBEAM_BIN_DIR", ROOT / "build" / "bin"))
STOCK = ROOT / "tests" / "data" / "debian_de_en" / "stock_beam5.txt.gz"
NASTY = (
    "</script><script>document.title = 'owned'</script>",
    "<img src=x onerror=\"document.title = 'owned'\">",
    "<!-- <script> \\u003c &lt; {{data}} {{style}}",
    "\u202eright to left שלום עולם \u2028 end",
    "👩‍👩‍👧 😀 e\u0301",
    "",
)


class Report(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="elbeam-report-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.page = self.folder / "report.html"

    def write(self, name, lines):
        path = self.folder / name
        path.write_text("".join(line + "\n" for line in lines), encoding="utf-8", newline="\n")
        return path

    def run_report(self, *arguments):
        command = [BIN / "elbeam-report", *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)

    def report(self, *arguments):
        result = self.run_report(*arguments, "--out", self.page)
        self.assertEqual(result.returncode, 0, result.stderr)
        return self.page.read_text(encoding="utf-8")

    def data(self, page):
        found = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page, re.S)
        self.assertEqual(len(found), 1)
        return json.loads(found[0])

    def browse(self, *flags):
        """The page's elements after its script has run, and the seconds that took."""
        if browser.PROGRAM is None:
            self.skipTest(browser.WHY_NOT)
        command = [browser.PROGRAM, "--headless", "--no-sandbox", "--disable-gpu", *flags]
        command += [f"--user-data-dir={self.folder / 'profile'}", "--dump-dom", self.page.as_uri()]
        start = time.monotonic()
        result = subprocess.run(command, capture_output=True, timeout=120, check=False)
        seconds = time.monotonic() - start
        self.assertEqual(result.returncode, 0, result.stderr.decode(errors="replace")[-500:])
        return result.stdout.decode("utf-8"), seconds

    def nasty_page(self):
        first = self.write("a.txt", NASTY)
        second = self.write("b.txt", [*NASTY[:-1], "more"])
        return self.report(
            *("--sys", first, "--sys", second, "--ref", first, "--src", first),
            *("--metrics", "bleu,chrf", "--title", NASTY[0], "--name", NASTY[1], "--name", "B"),
        )

    def test_text_is_no_markup(self):
        page = self.nasty_page()
        self.assertEqual(len(re.findall("<script", page)), 2)
        self.assertNotIn("<img", page)
        data = self.data(page)
        self.assertEqual([row["systems"][0] for row in data["rows"]], list(NASTY))
        self.assertEqual(data["title"], NASTY[0])

    def test_text_is_no_markup_in_a_browser(self):
        self.nasty_page()
        dom, _ = self.browse()
        self.assertIn('data-ready="yes"', dom)
        self.assertNotIn("<img", dom)
        self.assertNotRegex(dom, "<title>owned")
        self.assertEqual(len(re.findall('<li id="segment-', dom)), len(NASTY))
        self.assertIn(html.escape(NASTY[1], quote=False), dom)
        self.assertIn("שלום", dom)

    def test_needs_no_network(self):
        page = self.nasty_page()
        self.assertIn("default-src 'none'", page)
        links = re.findall(r"https?://[^\s\"'<]+", page)
        self.assertEqual(set(links), {"http://www.w3.org/2000/svg"})  # a name, never fetched

    def test_two_thousand_segments(self):
        source = "the quick brown fox jumps over the lazy dog and on and on {}"
        first = self.write("a.txt", [source.format(i) for i in range(2000)])
        second = self.write("b.txt", [source.format(i * (i % 5 > 0)) for i in range(2000)])
        self.report(
            *("--sys", first, "--sys", second, "--ref", second, "--src", first),
            *("--metrics", "bleu,chrf,rouge1,rougeL", "--stock"),
        )
        self.assertLess(self.page.stat().st_size, 5_000_000)
        dom, seconds = self.browse()
        self.assertIn('data-ready="yes"', dom)
        self.assertEqual(len(re.findall('<li id="segment-', dom)), 25)
        self.assertIn("25 of 2000 segments", dom)
        self.assertIn("Different: 399 of 2000 texts", dom)
        # With the browser's own start; generous, for machines that do other work.
        self.assertLess(seconds, 30)

    def test_accessible_names(self):
        self.nasty_page()
        dom, _ = self.browse()
        for tag in ("select", "input"):
            for attributes in re.findall(f"<{tag}([^>]*)>", dom):
                name = re.search('id="([^"]+)"', attributes).group(1)
                labelled = f'for="{name}"' in dom or re.search(f'<label><input id="{name}"', dom)
                self.assertTrue(labelled, name)
        images = re.findall(r"<svg[^>]*>(?:<title>[^<]+)?", dom)
        for image in images:
            self.assertTrue("<title>" in image or "aria-hidden" in image, image)
        self.assertRegex(dom, '<th scope="row">')
        self.assertIn('lang="en"', dom)
        self.assertLess(dom.index('class="skip"'), dom.index("<header"))

    def test_parity_of_fairseq_outputs(self):
        page = self.report(
            *("--sys", STOCK, "--sys", STOCK, "--ref", STOCK, "--src", STOCK),
            *("--metrics", "bleu", "--stock"),
        )
        parity = self.data(page)["parity"][0]
        self.assertEqual(
            (parity["segments"], parity["equal"], parity["equal_tokens"]), (200, 200, 200)
        )
        self.assertEqual(parity["score_difference"], 0)

    def test_rows_and_cut_sources(self):
        lines = ["good words here"] * 50 + ["bad"] + ["good words here"] * 49
        system, reference = self.write("a", lines), self.write("b", ["good words here"] * 100)
        sources = self.write("s", ["é" * 50] * 100)
        flags = ("--sys", system, "--ref", reference, "--src", sources, "--metrics", "chrf")
        data = self.data(self.report(*flags, "--rows", 10, "--source-characters", 20))
        self.assertEqual(data["segments"], 100)
        self.assertLessEqual(len(data["rows"]), 10)
        self.assertIn(50, [row["id"] for row in data["rows"]])
        self.assertEqual(data["rows"][0]["source"], "é" * 20 + " …")
        self.assertEqual(len(data["scores"]["chrf"][0]), 100)

    def test_bad_command_lines_and_files(self):
        text, out = self.write("a", ["x"]), ("--out", self.page)
        flags = ("--sys", text, "--ref", text, "--metrics", "bleu")
        broken = self.write("stats.json", ["[1]"])
        for status, part, arguments in (
            (2, "--out", flags),
            (2, "--name", (*flags, *out, "--name", "a", "--name", "b")),
            (2, "second one", (*flags, *out, "--stock")),
            (2, "--rows", (*flags, *out, "--rows", "1")),
            (2, "unknown metric", (*flags[:-1], "nought", *out)),
            (2, "--sys", (*flags[2:], *out)),
            (3, "JSON object", (*flags, *out, "--stats", broken)),
            (3, "cannot write", (*flags, "--out", self.folder / "none" / "x.html")),
            (3, "number of segments", ("--sys", text, *flags[2:], *out, "--ref", STOCK)),
        ):
            with self.subTest(part=part):
                result = self.run_report(*arguments)
                self.assertEqual(result.returncode, status, result.stderr)
                self.assertIn(part, result.stderr)
                self.assertFalse(self.page.exists())


if __name__ == "__main__":
    unittest.main()
