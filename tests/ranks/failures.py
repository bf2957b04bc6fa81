"""What becomes of a run of several processes of which one fails: in a step, an exchange, a save, a test.

    tests/ranks/failures.py target/debug/vgg-train mpirun.openmpi

Each run is one in which the place of the failure takes most of the time, so that a process that gets a
signal at any moment is likely there. For each it tells how long it took until all had ended, what the
launcher ended with and what was said, and whether the run, resumed on four ranks, came to the bits of one
that nobody disturbed. It takes Linux, two cores and some minutes; no data set.
"""

import hashlib
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

COMMON = """
name = "it"
[data]
dataset = "fashion-mnist-sample"
train_limit = {train}
test_limit = {test}
[model]
width = {width}
image_size = {size}
fc_width = {fc}
[train]
epochs = 1000000
batch_size = 16
shards = 4
[optimizer]
lr = 0.001
momentum = 0.9
[checkpoint]
every_minutes = {every}
[report]
page = false
[device]
kind = "cpu"
threads = 1
"""
PLACES = {
    "step": dict(train=64, test=10, width=0.25, size=64, fc=16, every=0.01),
    "exchange": dict(train=64, test=10, width=0.0625, size=32, fc=2048, every=0.01),
    "save": dict(train=64, test=10, width=0.0625, size=32, fc=2048, every=1e-9),
    "test": dict(train=16, test=100, width=0.25, size=64, fc=16, every=0.01),
}
# The signal, and the rank that gets it.
KINDS = {
    "is killed": (signal.SIGKILL, 1),
    "aborts": (signal.SIGABRT, 1),
    "hangs": (signal.SIGSTOP, 1),
    "is asked to stop": (signal.SIGTERM, 1),
    "is killed, the first one": (signal.SIGKILL, 0),
    "hangs, the first one": (signal.SIGSTOP, 0),
}
OPEN_MPI = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}


def ranks_in(folder, program):
    """The processes of the run in a folder, by rank."""
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            here = os.readlink(process / "cwd") == str(folder)
            if not here or os.readlink(process / "exe") != str(program):
                continue
            variables = (process / "environ").read_bytes().decode(errors="replace")
        except OSError:
            continue
        rank = re.search(r"(?:OMPI_COMM_WORLD_RANK|PMI_RANK)=(\d+)", variables)
        if rank:
            found[int(rank[1])] = int(process.name)
    return found


def digest(folder):
    files = sorted(folder.glob("checkpoints/last*.safetensors"))
    return [hashlib.sha256(file.read_bytes()).hexdigest() for file in files]


def said(text):
    """What names a rank, in a line."""
    words = [line.strip() for line in text.splitlines() if re.search(r"\brank \d", line)]
    words = [line for line in words if not line.startswith(("rank", "help"))] or words
    return "; ".join(dict.fromkeys(words))[:150]


def finish(program, folder, run, *arguments):
    """Has a run come to its end alone: its digests, or why not."""
    command = [program, *arguments, "-q"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    return digest(folder / run) if done.returncode == 0 else done.stderr


def begun(folder):
    """The epochs that a run has begun."""
    epochs = re.findall(r'"epoch":(\d+)', (folder / "metrics.jsonl").read_text())
    return max(map(int, epochs))


def fail(program, launcher, folder, kind):
    number, rank = KINDS[kind]
    many = ["--oversubscribe"] if "openmpi" in launcher else []
    command = [launcher, *many, "-n", "2", str(program), "it.toml", "-q"]
    told = open(folder / "told.txt", "w+")
    run = subprocess.Popen(command, cwd=folder, stdout=told, stderr=told, env={**os.environ, **OPEN_MPI})
    last = folder / "runs/it-1/checkpoints/last.safetensors"
    while not last.exists():
        time.sleep(0.05)
        assert run.poll() is None, (folder / "told.txt").read_text()
    time.sleep(1)
    os.kill(ranks_in(folder, program)[rank], number)
    start = time.time()
    code = run.wait()
    seconds = time.time() - start
    assert not ranks_in(folder, program), "a process is left"
    told.seek(0)
    text = told.read()
    epochs = ["--set", f"train.epochs={begun(folder / 'runs/it-1') + 1}"]
    resumed = finish(program, folder, "runs/it-1", "resume", "runs/it-1", "--ranks", "4", *epochs)
    undisturbed = finish(program, folder, "runs/it-2", "it.toml", *epochs)
    go_on = "yes" if "vgg-train resume" in text else "no"
    same = "the same" if resumed == undisturbed else f"NOT THE SAME: {resumed} {undisturbed}"
    print(f"{seconds:.1f} s | {code} | {said(text)} | {go_on} | {same}", flush=True)


def main():
    program, launcher = Path(sys.argv[1]).resolve(), sys.argv[2]
    print("in a | the process | ends after | code | said of ranks | how to go on | resumed on 4 ranks")
    for place, keys in PLACES.items():
        for kind in KINDS:
            with tempfile.TemporaryDirectory() as folder:
                (Path(folder) / "it.toml").write_text(COMMON.format(**keys))
                print(f"{place} | {kind} | ", end="")
                fail(program, launcher, Path(folder).resolve(), kind)


main()
