"""elbeam-score against the scores that the reference implementations gave (tests/data/eval)."""

import gzip
import json
import os
import pathlib
import subprocess
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = pathlib.Path(os.environ.get("ELBEAM_BIN_DIR", ROOT / "build" / "bin")) / "elbeam-score"
DATA = ROOT / "tests" / "data" / "eval"
SP_MODEL = ROOT / "tests" / "data" / "encoders" / "sp.model"
WORDNET = pathlib.Path("/usr/share/wordnet")  # Debian's wordnet-base
TOLERANCE = 1e-9


FILES = ("real", "summaries", "odd")


def run(*arguments):
    result = subprocess.run(
        [PROGRAM, *map(str, arguments), "--json"], capture_output=True, timeout=300, check=False
    )
    if result.returncode != 0:
        raise AssertionError(result.stderr.decode())
    return json.loads(result.stdout)


def score(file, metric, flags):
    """What elbeam-score says of a file that holds hypotheses and references."""
    path = DATA / f"{file}.jsonl.gz"
    flags = [SP_MODEL if flag == SP_MODEL.name else flag for flag in flags]
    return run("--sys", path, "--ref", path, "--metrics", metric, *flags, "--segments")[metric]


def needs_wordnet(entry):
    if entry["metric"] == "meteor":
        return "none" not in entry["flags"]
    return entry["metric"].startswith("rouge155") and "--rouge-stemmer" in entry["flags"]


class Golden(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        with gzip.open(DATA / "expected.json.gz") as file:
            cls.expected = json.load(file)

    def check(self, part, least):
        entries = self.expected[part]
        self.assertGreaterEqual(len(entries), least)
        if not WORDNET.is_dir():
            entries = [entry for entry in entries if not needs_wordnet(entry)]
        for entry in entries:
            for file in FILES:
                with self.subTest(metric=entry["metric"], flags=entry["flags"], file=file):
                    if file in entry:
                        self.compare(score(file, entry["metric"], entry["flags"]), entry[file])

    def compare(self, found, expected):
        segments = expected["segments"]
        self.assertEqual(len(found["segments"]), len(segments))
        for index, (ours, theirs) in enumerate(zip(found["segments"], segments)):
            self.assertAlmostEqual(ours, theirs, delta=TOLERANCE, msg=f"segment {index}")
        for name, value in expected.items():
            if name == "signature":
                self.assertEqual(found[name], value)
            elif name != "segments":
                self.assertAlmostEqual(found[name], value, delta=TOLERANCE, msg=name)

    def test_sacrebleu(self):
        self.check("sacrebleu", 22)

    def test_rouge_score(self):
        self.check("rouge", 10)

    def test_rouge155(self):
        """Averages and intervals to the last printed digit, although both are of resamples."""
        self.check("rouge155", 12)

    def test_meteor(self):
        self.check("meteor", 2)

    def test_significance(self):
        """p-values exactly; means and intervals up to sacrebleu's arithmetic in 32 bits."""
        with gzip.open(DATA / "real.jsonl.gz", "rt", encoding="utf-8") as file:
            segments = [json.loads(line) for line in file][:400]
        with tempfile.TemporaryDirectory() as name:
            reference = write(name, "reference", [s["reference"][0] for s in segments])
            flags = ["--ref", reference]
            for system, lines in systems_of(segments):
                flags += ["--sys", write(name, system, lines)]
            for entry in self.expected["significance"]:
                metric = entry["metric"]
                found = run(*flags, "--metrics", metric, *entry["flags"])["systems"]
                with self.subTest(metric=metric, flags=entry["flags"]):
                    for ours, theirs in zip(found, entry["systems"], strict=True):
                        ours = ours["metrics"][metric]
                        self.assertAlmostEqual(ours["score"], theirs["score"], delta=TOLERANCE)
                        self.assertEqual(ours.get("p_value"), theirs.get("p_value"))
                        for part in ("mean", "ci"):
                            self.assertEqual(part in ours, part in theirs)
                            if part in ours:
                                self.assertAlmostEqual(ours[part], theirs[part], delta=1e-3)


def write(folder, name, lines):
    path = pathlib.Path(folder) / name
    path.write_text("".join(line + "\n" for line in lines), encoding="utf-8", newline="\n")
    return path


def systems_of(segments):
    """As in tests/data/eval/make_scores.py."""
    first = [s["hypothesis"] for s in segments]
    second = [" ".join(t.split()[:-1]) if i % 3 == 0 else t for i, t in enumerate(first)]
    third = [s["reference"][0] if i % 9 == 0 else t for i, (s, t) in enumerate(zip(segments, first))]
    return [("first", first), ("second", second), ("third", third)]


if __name__ == "__main__":
    unittest.main()
