"""What gpu_check starts: elbeam's programs, and those it is compared with where they are installed."""

import json
import os
import pathlib
import re
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
TRANSLATED = re.compile(r"Translated ([\d,]+) sentences \(([\d,]+) tokens\) in ([\d.]+)s")


class Failed(Exception):
    """A program ended with another exit code than 0; carries the code and the end of what it said."""

    def __init__(self, command, code, text):
        super().__init__(f"{' '.join(map(str, command))}: exit code {code}: {text.strip()[-1500:]}")
        self.code = code
        self.said = text.strip()


def run(command, timeout, environment=None):
    """Standard output and error, apart."""
    command = list(map(str, command))
    try:
        result = subprocess.run(
            command, capture_output=True, text=True, timeout=timeout, check=False, cwd=ROOT,
            env={**os.environ, **(environment or {})},
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise Failed(command, "none", f"not ended after {timeout:.0f} s") from error
    except OSError as error:
        raise Failed(command, "none", str(error)) from error
    if result.returncode != 0:
        raise Failed(command, result.returncode, result.stderr or result.stdout)
    return result.stdout, result.stderr


class Place:
    """Where the programs are, and how long they may take in all."""

    def __init__(self, build, device, seconds, reference):
        self.build = pathlib.Path(build).resolve()
        self.device = device
        self.reference = reference
        self._end = time.monotonic() + seconds

    def left(self):
        return max(self._end - time.monotonic(), 1.0)

    def limits(self):
        """What the device is and can; outside of the time that the parts may take."""
        program = self.build / "bin" / "elbeam-device-bench"
        return json.loads(run([program, self.device, "limits"], 120)[0])

    def device_bench(self, *words):
        program = self.build / "bin" / "elbeam-device-bench"
        return json.loads(run([program, self.device, *words], self.left())[0])

    def kernel_tests(self, pattern):
        program = self.build / "tests" / "device_kernels_test"
        output, _ = run(
            [program, f"--gtest_filter={pattern}"], self.left(), {"ELBEAM_TEST_DEVICE": self.device}
        )
        return int(re.search(r"\[  PASSED  \] (\d+) test", output).group(1))

    def decode(self, model, *flags):
        """Output lines and (sentences, tokens, seconds) of elbeam-generate."""
        program = self.build / "bin" / "elbeam-generate"
        command = [program, model / "data-bin", "--path", model / "checkpoint.pt", *flags]
        output, log = run(command, self.left())
        return output.splitlines(), translated(log + output)

    def torch_el(self, shape, dtype):
        """Unfused EL-attention by PyTorch; None where that has no such device."""
        device = "cpu" if self.device == "cuda-emulated" else self.device
        script = pathlib.Path(__file__).with_name("torch_el.py")
        try:
            output, _ = run([self.reference, script, device, dtype, *shape], self.left())
        except Failed as error:
            return {"left out": error.said.splitlines()[-1] if error.said else str(error)}
        return json.loads(output)

    def peers(self, model, sources, beam, batch):
        """Stock fairseq and CTranslate2 on the GPU, each where the reference python has it; `sources` are sentences."""
        if self.device == "cuda-emulated":
            return {}
        found = {}
        for name, command in self._peer_commands(model, sources, beam, batch):
            try:
                output, log = run(command, self.left(), {"TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD": "1"})
                found[name] = dict(
                    zip(("sentences", "tokens", "seconds"), translated(log + output), strict=True)
                )
            except Failed as error:
                found[name] = {"left out": str(error)[-300:]}
        return found

    def _peer_commands(self, model, sources, beam, batch):
        folder = pathlib.Path(self.reference).parent
        if (stock := folder / "fairseq-generate").exists():
            yield "stock fairseq", [stock, model / "data-bin", "--path", model / "checkpoint.pt", "--fp16", "--beam", beam,
                                    "--batch-size", batch, "--required-batch-size-multiple", 1]  # fmt: skip
        if (converter := folder / "ct2-fairseq-converter").exists():
            converted = self.build / "gpu_check.ct2"
            text = self.build / "gpu_check.sources"
            text.write_text("".join(f"{line}\n" for line in sources), encoding="utf-8")
            run([converter, "--unsafe_deserialization", "--model_path", model / "checkpoint.pt", "--data_dir",
                 model / "data-bin", "--source_lang", "de", "--target_lang", "en", "--output_dir", converted,
                 "--force"], self.left(), {"TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD": "1"})  # fmt: skip
            yield "CTranslate2", [self.reference, ROOT / "bench" / "ctranslate2_driver.py", "--model", converted, "--sources",
                                  text, "--device", "cuda", "--compute-type", "float16", "--beam", beam,
                                  "--batch", batch]  # fmt: skip


def translated(text):
    found = TRANSLATED.search(text)
    if found is None:
        raise Failed(["a decoder"], 0, "it did not say what it translated")
    return tuple(float(number.replace(",", "")) for number in found.groups())


def python():
    return os.environ.get("ELBEAM_REFERENCE_PYTHON", sys.executable)
