"""The processes of a comparison: stock fairseq-generate, elbeam-generate, the fp64 scoring."""

import dataclasses
import json
import os
import pathlib
import subprocess
import tempfile
import time

from . import ParityError

# Scores of these are not the plain sum of log-probabilities that rescore.py computes.
UNSCORABLE_FLAGS = {
    "--sampling",
    "--match-source-len",
    "--diversity-rate",
    "--diverse-beam-groups",
    "--lm-path",
    "--score-reference",
}
POST_PROCESS_FLAGS = {"--post-process", "--remove-bpe"}


@dataclasses.dataclass
class Run:
    text: str  # stdout
    seconds: float
    peak_rss_bytes: int
    command: list


def run(command, folder, name, extra_environment=None):
    """Runs a program to its end. Raises ParityError with the end of its stderr when it fails."""
    environment = dict(os.environ, **(extra_environment or {}))
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as log:
        started = time.monotonic()
        try:
            process = subprocess.Popen(
                command, cwd=folder, stdout=output, stderr=log, env=environment
            )
        except OSError as error:
            raise ParityError(f"{name} does not start: {error}") from error
        try:
            _, status, usage = os.wait4(process.pid, 0)
        except BaseException:
            process.kill()
            process.wait()
            raise
        seconds = time.monotonic() - started
        process.returncode = os.waitstatus_to_exitcode(status)  # it has been waited for
        if process.returncode != 0:
            log.seek(0)
            last = b"\n".join(log.read().splitlines()[-15:]).decode("utf-8", "replace")
            raise ParityError(f"{name} ended with status {process.returncode}:\n{last}")
        output.seek(0)
        text = output.read().decode("utf-8", "replace")
    return Run(text, seconds, usage.ru_maxrss * 1024, [str(part) for part in command])


def reference_environment():
    # torch >= 2.6 refuses fairseq's checkpoints otherwise. This makes the reference run a file's
    # pickles: parity is for checkpoints that one trusts. elbeam itself never needs it.
    return {"TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD": "1"}


def run_stock(python, flags, folder, tool="generate"):
    """tool: "generate" or "interactive"."""
    return run(
        [python, "-m", f"fairseq_cli.{tool}", *flags],
        folder,
        f"stock fairseq-{tool}",
        reference_environment(),
    )


def run_elbeam(binary, flags, extra_flags, model, folder):
    """binary: elbeam-generate or elbeam-interactive. extra_flags: elbeam's own (--engine,
    --attention, ...). model: replaces --path, or None."""
    flags = list(flags)
    if model is not None:
        flags = replace_path(flags, model)
    return run([binary, *flags, *extra_flags], folder, pathlib.Path(binary).name)


def replace_path(flags, model):
    result = []
    following = False
    for flag in flags:
        if following:
            result.append(str(model))
        elif flag.startswith("--path="):
            result.append(f"--path={model}")
        else:
            result.append(flag)
        following = flag == "--path"
    if result == flags and str(model) not in flags:
        raise ParityError("the flags hold no --path to replace")
    return result


def without_post_process(flags):
    """The same flags with whole tokens in the H- lines; None if that is what they give already."""
    result, skipping = [], False
    for flag in flags:
        if skipping and not flag.startswith("-"):
            skipping = False
            continue
        skipping = flag in POST_PROCESS_FLAGS
        if not skipping and flag.split("=")[0] not in POST_PROCESS_FLAGS:
            result.append(flag)
    return None if result == list(flags) else result


def fp64_scores(python, flags, folder, hypotheses):
    """hypotheses: [(sentence id, output.Hypothesis)]. Returns one score or None for each."""
    given = {flag.split("=")[0] for flag in flags}
    if given & UNSCORABLE_FLAGS:
        return [None] * len(hypotheses)
    items = [[sentence_id, one.text, len(one.positional)] for sentence_id, one in hypotheses]
    request = {"flags": list(flags), "hypotheses": items}
    return _ask(python, "rescore.py", request, folder, "fp64 scoring")["scores"]


def resampled(python, flags, folder, outputs):
    """outputs: name -> output.Output of a --sampling run. Returns resample.py's answer for each."""
    runs = {
        name: {
            sentence_id: [[h.text, len(h.positional), h.score] for h in sentence.hypotheses]
            for sentence_id, sentence in one.sentences.items()
        }
        for name, one in outputs.items()
    }
    request = {"flags": list(flags), "runs": runs}
    return _ask(python, "resample.py", request, folder, "fp64 sampling")["runs"]


def _ask(python, script, request, folder, name):
    """Runs a script of this folder under the reference Python on a request; returns its answer."""
    with tempfile.TemporaryDirectory() as scratch:
        question, answer = pathlib.Path(scratch, "request.json"), pathlib.Path(scratch, "answer.json")
        question.write_text(json.dumps(request), encoding="utf-8")
        command = [python, str(pathlib.Path(__file__).with_name(script)), str(question), str(answer)]
        run(command, folder, name, reference_environment())
        return json.loads(answer.read_text(encoding="utf-8"))


def reference_facts(python):
    """Versions of the reference environment, and the instruction set that its torch uses."""
    code = (
        "import json, platform, fairseq, torch; from importlib import metadata\n"
        "names = [n for n in ('fairseq', 'fairseq-fixed') if any(d.metadata['Name'] == n"
        " for d in metadata.distributions())]\n"
        "version = names[0] + ' ' + metadata.version(names[0]) if names else fairseq.__version__\n"
        "print('FACTS' + json.dumps({'fairseq': version, 'torch': torch.__version__,"
        " 'python': platform.python_version(),"
        " 'cpu_capability': torch.backends.cpu.get_cpu_capability()}))"
    )
    text = run([python, "-c", code], None, "the reference Python", reference_environment()).text
    return json.loads(text.rpartition("FACTS")[2])
