"""Whether one to four ranks come to the same, whatever joins them: threads, or processes of an MPI.

    tests/ranks/same.py target/debug/vgg-train mpirun.openmpi mpiexec.mpich …

Each run has four shards. For each way of training and each launcher it tells the SHA-256 of the last
checkpoint and of the records without times, if they are those of one rank without a launcher, or which runs
differ. LAUNCHER=FILE names the library, as VGG_MPI does. It takes Linux and some minutes; no data set.
"""

import hashlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

COMMON = """
name = "it"
[data]
dataset = "fashion-mnist-sample"
train_limit = 48
test_limit = 20
[model]
width = 0.0625
image_size = 64
fc_width = 256
[train]
epochs = 2
batch_size = 16
shards = 4
[optimizer]
lr = 0.01
[report]
page = false
[device]
kind = "cpu"
threads = 1
"""
MOMENTUM = ["optimizer.momentum=0.9"]
WAYS = {
    "plain": [],
    "momentum": MOMENTUM,
    "clip": MOMENTUM + ["optimizer.clip_norm=0.1"],
    "EMA": MOMENTUM + ["optimizer.average_decay=0.9"],
    "freeze": MOMENTUM + ["optimizer.freeze=['features']"],
    "mixup": MOMENTUM + ["data.augment.mixup=0.2"],
    "batch norm": MOMENTUM + ["model.batch_norm=true"],
    "AdamW": ["optimizer.kind=adamw", "optimizer.lr=0.002", "optimizer.weight_decay=0.01"],
    "short last batch": MOMENTUM + ["data.train_limit=45"],
    "fewer images than shards": MOMENTUM + ["train.batch_size=3", "data.train_limit=8"],
}
TIMES = ["images_per_second", "wait_share", "seconds"]
OPEN_MPI = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}


def digests(run):
    """Of the last checkpoint, and of what is recorded of steps and epochs."""
    records = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
    told = [record for record in records if record["kind"] in ("step", "epoch")]
    for record in told:
        for time in TIMES:
            record.pop(time, None)
    checkpoint = (run / "checkpoints/last.safetensors").read_bytes()
    return [hashlib.sha256(it).hexdigest()[:12] for it in (checkpoint, json.dumps(told).encode())]


def trained(program, settings, ranks, launcher):
    """What a run comes to; without a launcher its ranks are threads."""
    command = [program, "it.toml", "-q", *(part for it in settings for part in ("--set", it))]
    environment = {**os.environ, **OPEN_MPI}
    if launcher is None:
        command += ["--ranks", str(ranks)]
    else:
        launcher, _, library = launcher.partition("=")
        environment.update({"VGG_MPI": library} if library else {})
        many = ["--oversubscribe"] if "openmpi" in launcher else []
        command = [launcher, *many, "-n", str(ranks), *command]
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "it.toml").write_text(COMMON)
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
        if done.returncode != 0:
            return done.stderr.strip().splitlines()[-1:]
        return digests(Path(folder) / "runs/it-1")


def main():
    program, launchers = str(Path(sys.argv[1]).resolve()), [None, *sys.argv[2:]]
    print("way | weights | records | " + " | ".join(it or "threads" for it in launchers))
    all_same = True
    for way, settings in WAYS.items():
        one = trained(program, settings, 1, None)
        told = []
        for launcher in launchers:
            came = {ranks: trained(program, settings, ranks, launcher) for ranks in (1, 2, 3, 4)}
            others = [f"{ranks}: {it}" for ranks, it in came.items() if it != one]
            all_same &= not others
            told.append("; ".join(others) or "the same")
        print(f"{way} | {' | '.join(one)} | {' | '.join(told)}", flush=True)
    sys.exit(not all_same)


main()
