"""elbeam-score on real texts against sacrebleu, rouge-score and nltk as they are installed.

Needs ELBEAM_REFERENCE_PYTHON, a Python with sacrebleu and rouge-score; uses the real test sets below
ELBEAM_SHARED (default: shared/ of the source tree) where they are. Skipped, with a message, without.
"""

import gzip
import json
import os
import pathlib
import subprocess
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = pathlib.Path(os.environ.get("ELBEAM_BIN_DIR", ROOT / "build" / "bin")) / "elbeam-score"
PYTHON = os.environ.get("ELBEAM_REFERENCE_PYTHON")
SHARED = pathlib.Path(os.environ.get("ELBEAM_SHARED", ROOT / "shared"))
OUTPUTS = (
    ROOT / "tests" / "data" / "debian_de_en" / "stock_beam5.txt.gz",
    SHARED / "models" / "squad_qg_bart" / "stock_beam5.txt.gz",
    SHARED / "models" / "cnndm_bart" / "stock_beam5.txt.gz",
    SHARED / "models" / "multi30k_de_en" / "stock_beam5.txt.gz",
)
ORACLE = """
import json, sys
import sacrebleu
from rouge_score import rouge_scorer
sys_lines, ref_lines = json.load(sys.stdin)
found = {
    "bleu": sacrebleu.BLEU().corpus_score(sys_lines, [ref_lines]).score,
    "chrf": sacrebleu.CHRF().corpus_score(sys_lines, [ref_lines]).score,
    "chrf++": sacrebleu.CHRF(word_order=2).corpus_score(sys_lines, [ref_lines]).score,
}
if max(len(line.split()) for line in sys_lines) < 80:  # sacrebleu takes minutes for longer ones
    found["ter"] = sacrebleu.TER().corpus_score(sys_lines, [ref_lines]).score
types = ["rouge1", "rouge2", "rougeL"]
scorer = rouge_scorer.RougeScorer(types)
scores = [scorer.score(r, h) for r, h in zip(ref_lines, sys_lines)]
found.update({t: sum(s[t].fmeasure for s in scores) / len(scores) for t in types})
print(json.dumps(found))
"""


def usable():
    if not PYTHON:
        return False
    command = [PYTHON, "-c", "import sacrebleu, rouge_score"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def texts_of(path):
    """Best D- lines and T- lines in the order of ids."""
    lines = {"D": {}, "T": {}}
    with gzip.open(path, "rt", encoding="utf-8", newline="\n") as file:
        for line in file:
            if line[:2] in ("D-", "T-"):
                fields = line.rstrip("\n").split("\t")
                lines[line[0]].setdefault(int(fields[0][2:]), fields[-1])
    return [[lines[kind][i] for i in sorted(lines[kind])] for kind in "DT"]


@unittest.skipUnless(usable(), "needs ELBEAM_REFERENCE_PYTHON with sacrebleu and rouge-score")
class Live(unittest.TestCase):
    def compare(self, texts, command):
        oracle = subprocess.run(
            [PYTHON, "-c", ORACLE], input=json.dumps(texts), capture_output=True, text=True, check=True
        )
        expected = json.loads(oracle.stdout)
        result = subprocess.run(
            [PROGRAM, *command, "--metrics", ",".join(expected), "--json"],
            capture_output=True,
            check=True,
        )
        found = json.loads(result.stdout)
        for metric, score in expected.items():
            with self.subTest(metric=metric):
                self.assertAlmostEqual(found[metric]["score"], score, delta=1e-9)

    def test_outputs_of_stock_fairseq(self):
        for path in OUTPUTS:
            if path.is_file():
                with self.subTest(path=path.name):
                    self.compare(texts_of(path), ["--sys", path, "--ref", path])

    def test_articles_and_published_summaries(self):
        folder = SHARED / "data" / "cnndm"
        if not folder.is_dir():
            self.skipTest("there are no CNN/DailyMail articles")
        texts = []
        for name in ("fastseq_cnndm_128.txt", "fastseq_expected_bart_output.hypo"):
            texts.append((folder / name).read_text(encoding="utf-8").split("\n")[:128])
        texts[0] = [" ".join(text.split()[:90]) for text in texts[0]]
        with tempfile.TemporaryDirectory() as scratch:
            paths = [pathlib.Path(scratch, name) for name in ("sys", "ref")]
            for path, lines in zip(paths, texts):
                path.write_text("".join(l + "\n" for l in lines), encoding="utf-8", newline="\n")
            self.compare(texts, ["--sys", paths[0], "--ref", paths[1]])


if __name__ == "__main__":
    unittest.main()
