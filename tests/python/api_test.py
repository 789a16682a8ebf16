"""`import elbeam`: loading, decoding, options, errors, threads."""

import concurrent.futures
import gzip
import os
import pathlib
import tempfile
import unittest

import elbeam

TOY = pathlib.Path(os.environ["ELBEAM_TEST_DATA"], "toy")
CHECKPOINT = TOY / "ckpt" / "tf.pt"


def toy(**options):
    return elbeam.Generator(CHECKPOINT, data=TOY / "bin-ende", source="en", target="de", **options)


def stock_hypotheses(name):
    """{source line: target words} of a stored stock output."""
    found, source = {}, None
    for line in gzip.open(TOY / name, "rt", encoding="utf-8"):
        fields = line.rstrip("\n").split("\t")
        if line.startswith("S-"):
            source = fields[1]
        elif line.startswith("H-"):
            found.setdefault(source, fields[2])
    return found


class Api(unittest.TestCase):
    def test_translate_gives_what_stock_gives(self):
        stock = stock_hypotheses("stock_tf_beam5_nbest5.txt.gz")
        lines = list(stock)
        for attention in ("el", "mha"):
            results = toy(attention=attention, threads=1).translate(lines, beam=5, nbest=5)
            self.assertEqual([one[0].text for one in results], list(stock.values()))
            scores = [one.score for one in results[0]]
            self.assertEqual(scores, sorted(scores, reverse=True))

    def test_generate_by_ids(self):
        generator = toy(threads=1)
        line = next(iter(stock_hypotheses("stock_tf_beam1.txt.gz")))
        ids = generator.encode_source(line)
        by_ids = generator.generate([ids], beam=1)[0][0]
        by_text = generator.translate([line], beam=1)[0][0]
        self.assertEqual(by_ids.tokens, by_text.tokens)
        self.assertEqual(generator.decode_target(by_ids.tokens), by_text.text)
        self.assertEqual(len(by_ids.positional_scores), len(by_ids.tokens))
        forced = generator.generate([ids], beam=2, prefix_tokens=[[7, 8]])[0][0]
        self.assertEqual(forced.tokens[:2], [7, 8])

    def test_facts(self):
        generator = toy(threads=1)
        self.assertEqual(generator.model_info["source_vocab_size"], 40)
        generator.translate(["the dog"])
        self.assertEqual(generator.statistics["sentences"], 1)

    def test_pack_cache(self):
        expected = toy(threads=1).translate(["the dog"])[0][0]
        with tempfile.TemporaryDirectory() as folder:
            for read, written in ((0, 1), (1, 0)):
                generator = toy(threads=1, pack_cache=True, pack_cache_folder=folder)
                info = generator.model_info
                self.assertEqual(info["pack_caches_read"], read)
                self.assertEqual(info["pack_caches_written"], written)
                self.assertEqual(info["warnings"], [])
                found = generator.translate(["the dog"])[0][0]
                self.assertEqual((found.tokens, found.score), (expected.tokens, expected.score))

    def test_errors(self):
        def error_of(action):
            with self.assertRaises(elbeam.Error) as caught:
                action()
            return caught.exception

        self.assertEqual(error_of(lambda: elbeam.Generator("nowhere.pt")).code, "io")
        unknown = error_of(lambda: toy().translate(["a"], beem=3))
        self.assertEqual(unknown.code, "usage")
        self.assertIn("beem", str(unknown))
        self.assertIn("beam", str(unknown))
        self.assertIn("option beam", str(error_of(lambda: toy().translate(["a"], beam="x"))))
        self.assertIn("el, mha", str(error_of(lambda: toy(attention="best"))))
        self.assertEqual(error_of(lambda: toy().translate(["a"], beam=0)).code, "usage")
        self.assertEqual(error_of(lambda: toy().generate([[4, 40, 2]])).code, "model")
        self.assertEqual(error_of(lambda: toy().generate([[2**40, 2]])).code, "model")
        self.assertEqual(error_of(lambda: elbeam.Generator(CHECKPOINT).translate(["a"])).code, "usage")
        with self.assertRaises(ValueError):
            elbeam.Generator(CHECKPOINT, data=TOY / "bin-ende")

    def test_threads(self):
        generator = toy(threads=1)
        lines = list(stock_hypotheses("stock_tf_beam1.txt.gz"))[:8]
        alone = [generator.translate([line], beam=3)[0][0].tokens for line in lines]
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            together = list(pool.map(lambda line: generator.translate([line], beam=3), lines))
        self.assertEqual([one[0][0].tokens for one in together], alone)


if __name__ == "__main__":
    unittest.main()
