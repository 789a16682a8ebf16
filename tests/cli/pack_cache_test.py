"""--pack-cache as a user's shell sees it: the same output, files where they belong, warnings."""

import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(os.environ.get("ELBEAM_BIN_DIR", ROOT / "build" / "bin"))
TOY = ROOT / "tests" / "data" / "toy"
GPT2 = ROOT / "tests" / "data" / "gpt2_tiny"


class PackCache(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="elbeam-pack-"))
        self.addCleanup(shutil.rmtree, self.folder)
        self.caches = self.folder / "caches"
        self.caches.mkdir()
        self.model = self.folder / "tf.pt"
        shutil.copy(TOY / "ckpt" / "tf.pt", self.model)

    def start(self, *arguments, isa=None, **options):
        stats = self.folder / f"stats{options.pop('number', 0)}.json"
        command = [BIN / "elbeam-generate", TOY / "bin-ende", "--threads", "1", "--max-len-b", "12"]
        command += ["--stats", stats, *arguments]
        environment = {**os.environ, **({"ELBEAM_ISA": isa} if isa else {})}
        return stats, subprocess.Popen(
            list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env=environment, **options
        )  # fmt: skip

    def finish(self, started):
        stats, process = started
        output, log = process.communicate(timeout=120)
        self.assertEqual(process.returncode, 0, log)
        counters = json.loads(stats.read_text())
        return output, (counters["pack_caches_read"], counters["pack_caches_written"]), log

    def generate(self, *arguments, **options):
        return self.finish(self.start("--path", self.model, *arguments, **options))

    def files(self):
        return sorted(path.name for path in self.caches.iterdir())

    def test_second_start_reads_what_the_first_one_wrote(self):
        for dtype in ("fp32", "fp64", "fp16", "bf16", "int8"):
            with self.subTest(dtype=dtype):
                flags = ("--dtype", dtype, "--quality-sample", "0")
                expected, counts, _ = self.generate(*flags)
                self.assertEqual(counts, (0, 0))
                for counts in ((0, 1), (1, 0)):
                    result = self.generate(*flags, "--pack-cache-dir", self.caches)
                    self.assertEqual(result[:2], (expected, counts))
                    self.assertNotIn("pack cache", result[2])

    def test_beside_the_model(self):
        expected = self.generate()[0]
        self.assertEqual(self.generate("--pack-cache")[:2], (expected, (0, 1)))
        packed = [path for path in self.folder.iterdir() if path.suffix == ".packed"]
        self.assertEqual(len(packed), 1)
        self.assertTrue(packed[0].name.startswith("tf.pt."), packed)
        moved = self.folder / "moved"
        moved.mkdir()
        for path in (self.model, packed[0]):
            shutil.move(path, moved)
        self.model = moved / "tf.pt"
        self.assertEqual(self.generate("--pack-cache")[:2], (expected, (1, 0)))

    def test_each_model_of_an_ensemble_and_each_instruction_set(self):
        other = self.folder / "other"
        other.mkdir()
        shutil.copy(self.model, other / "tf.pt")
        both = ("--path", f"{self.model}:{other / 'tf.pt'}", "--pack-cache-dir", self.caches)
        expected = self.finish(self.start(*both[:2]))[0]
        for counts in ((0, 2), (2, 0)):
            self.assertEqual(self.finish(self.start(*both))[:2], (expected, counts))
        self.assertEqual(len(self.files()), 2)
        generic = self.finish(self.start(*both[:2], isa="generic"))[0]
        for counts in ((0, 2), (2, 0)):
            self.assertEqual(self.finish(self.start(*both, isa="generic"))[:2], (generic, counts))
        self.assertEqual(len(self.files()), 4)
        self.assertEqual(sum(".generic-fp32-" in name for name in self.files()), 2)

    def test_several_processes_at_once(self):
        expected = self.generate()[0]
        flags = ("--path", self.model, "--pack-cache-dir", self.caches)
        started = [self.start(*flags, number=number) for number in range(4)]
        for one in started:
            output, counts, log = self.finish(one)
            self.assertEqual((output, sum(counts)), (expected, 1), log)
            self.assertNotIn("pack cache", log)
        self.assertEqual(len(self.files()), 1)
        self.assertEqual(self.generate("--pack-cache-dir", self.caches)[1], (1, 0))

    def test_what_cannot_be_used_or_written_is_a_warning(self):
        expected = self.generate()[0]
        missing = self.folder / "missing"
        output, counts, log = self.generate("--pack-cache-dir", missing)
        self.assertEqual((output, counts), (expected, (0, 0)))
        self.assertIn("WARNING", log)
        self.assertIn(f"pack cache {missing}/tf.pt.", log)
        self.assertIn("cannot be created: No such file or directory", log)
        self.generate("--pack-cache-dir", self.caches)
        (self.caches / self.files()[0]).write_bytes(b"ELBPACK1" + bytes(1000))
        output, counts, log = self.generate("--pack-cache-dir", self.caches)
        self.assertEqual((output, counts), (expected, (0, 1)))
        self.assertIn("pack cache not used, and made anew: ", log)
        self.assertEqual(self.generate("--pack-cache-dir", self.caches)[:2], (expected, (1, 0)))

    def test_a_changed_model_is_packed_anew(self):
        self.generate("--pack-cache-dir", self.caches)
        shutil.copy(TOY / "ckpt" / "tf_legacy.pt", self.model)
        expected = self.generate()[0]
        for counts in ((0, 1), (1, 0)):
            result = self.generate("--pack-cache-dir", self.caches)
            self.assertEqual(result[:2], (expected, counts))
        self.assertEqual(len(self.files()), 1)

    def test_usage(self):
        flags = ("--path", self.model, "--pack-cache")
        for wrong in (("--engine", "torchscript"), ("--device", "cuda-emulated"),
                      ("--pack-cache-dir", "")):  # fmt: skip
            with self.subTest(flags=wrong):
                _, process = self.start(*flags, *wrong)
                _, log = process.communicate(timeout=60)
                self.assertEqual(process.returncode, 2, log)
                self.assertIn("--pack-cache", log)

    def test_a_folder_of_hugging_face(self):
        folder = self.folder / "gpt2"
        shutil.copytree(GPT2, folder)
        data = self.folder / "data"
        data.mkdir()
        command = [BIN / "elbeam-interactive", data, "--task", "language_modeling", "--path", folder]
        command += ["--threads", "1", "--max-len-b", "12"]
        texts = []
        for flags in ((), ("--pack-cache",), ("--pack-cache",)):
            result = subprocess.run(
                list(map(str, [*command, *flags])), input="5 6 7\n", capture_output=True, text=True,
                timeout=60,
            )  # fmt: skip
            self.assertEqual(result.returncode, 0, result.stderr)
            texts.append([line for line in result.stdout.splitlines() if line[:2] in ("H-", "P-")])
        self.assertEqual(len(texts[0]), 2)
        self.assertEqual(texts[0], texts[1])
        self.assertEqual(texts[0], texts[2])
        packed = list(folder.glob("model.safetensors.*.packed"))
        self.assertEqual(len(packed), 1)


if __name__ == "__main__":
    unittest.main()
