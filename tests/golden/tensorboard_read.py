"""Trains with `--tensorboard`, kills and resumes, and reads what came of it with TensorBoard itself.

    pip install tensorboard
    cargo build -p vgg-train
    python tensorboard_read.py target/debug/vgg-train
    python tensorboard_read.py target/debug/vgg-train page.png    # and a picture of its page, by chromium

Every number of `metrics.jsonl` must be among TensorBoard's, rounded to 32 bits, and no other: what a
resumed run does again must have taken back what was told of it. The norms of weights must be those of
the checkpoint. Then the same is asked from TensorBoard's server, with what it makes of the settings.
"""

import json
import logging
import math
import re
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader
from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

CONFIG = """
[model]
width = 0.0625
image_size = 32
batch_norm = true
fc_width = 16
[data]
dataset = "fashion-mnist-sample"
train_limit = 400
test_limit = 100
[train]
epochs = 6
batch_size = 4
[optimizer]
lr = 0.01
[checkpoint]
every_minutes = 0.0005
[device]
kind = "cpu"
"""
KILLS = 3
# Fields of records, and the tags that they have in TensorBoard.
OF_STEP = {
    "train_loss": "loss",
    "train_accuracy": "accuracy",
    "batch_loss": "batch_loss",
    "lr": "learning_rate",
    "images_per_second": "images_per_second",
    "wait_share": "wait_share",
}
OF_TEST = {
    "test_loss": "loss",
    "test_accuracy": "accuracy",
    "test_top5": "top5",
    "test_balanced_accuracy": "balanced_accuracy",
    "test_macro_f1": "macro_f1",
}


def records(run, kind):
    lines = (run / "metrics.jsonl").read_text().splitlines()
    return [record for record in map(json.loads, lines) if record["kind"] == kind]


def event_files(run, part):
    return sorted((run / "tensorboard" / part).iterdir())


def train(program, folder):
    """A run that was killed a few times, once as if it had been about to write."""
    run = folder / "runs" / "tiny-1"
    (folder / "tiny.toml").write_text(CONFIG)
    command = ["tiny.toml", "--tensorboard"]
    for kill in range(KILLS):
        process = subprocess.Popen([program, "-q", *command], cwd=folder)
        last = run / "checkpoints" / "last.safetensors"
        # From the first checkpoint on, and at least an epoch each time.
        wanted = len(records(run, "epoch")) + 1 if run.exists() and last.exists() else 1
        deadline = time.monotonic() + 60
        while not (last.exists() and len(event_files(run, "test")) > kill
                   and count_tests(run) >= wanted):
            assert process.poll() is None and time.monotonic() < deadline, "the run is too short"
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        process.wait()
        if kill == 0:
            with event_files(run, "train")[-1].open("ab") as torn:
                torn.write(struct.pack("<Q", 100) + b"half of a record")
        command = ["resume", "runs/tiny-1"]
    subprocess.run([program, "-q", *command], cwd=folder, check=True)
    return run


def count_tests(run):
    """Finished epochs that the run's file tells of, as another process may look while it is written."""
    text = (run / "metrics.jsonl").read_text()
    return text.count('"kind":"epoch"')


def float32(number):
    return struct.unpack("<f", struct.pack("<f", number))[0]


def accumulated(run, part, **most):
    """All numbers of a part, and so many of other kinds."""
    folder = run / "tensorboard" / part
    accumulator = EventAccumulator(str(folder), size_guidance={"scalars": 0, **most})
    accumulator.Reload()
    return accumulator


def series(accumulator, tag):
    return [(event.step, event.value) for event in accumulator.Scalars(tag)]


def check_scalars(run):
    count = 0
    for part, kind, tags in [("train", "step", OF_STEP), ("test", "epoch", OF_TEST)]:
        accumulator = accumulated(run, part)
        for field, tag in tags.items():
            expected = [(record["step"], float32(record[field])) for record in records(run, kind)]
            assert series(accumulator, tag) == expected, f"{part}/{tag}"
            count += len(expected)
        others = set(accumulator.Tags()["scalars"]) - set(tags.values())
        assert all(re.match("(weights|gradients)/", tag) for tag in others), others
        assert not others or part == "train"
    return count


def check_norms(run):
    accumulator = accumulated(run, "train")
    data = (run / "checkpoints" / "last.safetensors").read_bytes()
    length = struct.unpack("<Q", data[:8])[0]
    tensors = json.loads(data[8:8 + length])
    squares = {}
    for name, tensor in tensors.items():
        layer, _, word = name.rpartition(".")
        if word in ("weight", "bias"):
            start, end = (8 + length + offset for offset in tensor["data_offsets"])
            numbers = struct.unpack(f"<{(end - start) // 4}f", data[start:end])
            squares[layer] = squares.get(layer, 0.0) + sum(x * x for x in numbers)
    tags = [tag for tag in accumulator.Tags()["scalars"] if tag.startswith("weights/")]
    assert {tag.removeprefix("weights/") for tag in tags} == set(squares)
    steps = [record["step"] for record in records(run, "epoch")]
    for layer, square in squares.items():
        # What was told twice is the same.
        weights, gradients = (sorted(set(series(accumulator, f"{of}/{layer}")))
                              for of in ("weights", "gradients"))
        assert [step for step, _ in weights] == [step for step, _ in gradients] == steps, layer
        assert math.isclose(weights[-1][1], math.sqrt(square), rel_tol=1e-6), layer
        assert all(norm > 0 and math.isfinite(norm) for _, norm in gradients), layer
    return len(squares)


def check_images(run):
    """That there are pictures of each network that was the best so far, in the sizes that they tell."""
    best, steps = -1, []
    for record in records(run, "epoch"):
        if record["test_accuracy"] > best:
            best = record["test_accuracy"]
            steps.append(record["step"])
    accumulator = accumulated(run, "test", images=0)
    assert accumulator.Tags()["images"] == ["confusion", "mistakes"]
    for tag in accumulator.Tags()["images"]:
        images = accumulator.Images(tag)
        assert [image.step for image in images] == steps, tag
        for image in images:
            assert image.encoded_image_string.startswith(b"\x89PNG\r\n\x1a\n")
            size = struct.unpack(">II", image.encoded_image_string[16:24])
            assert size == (image.width, image.height) and min(size) > 200, size
    return 2 * len(steps)


def check_files(run):
    """That each process began by taking back what it would tell again, and that there was such."""
    taken_back = 0
    for part in ["train", "test"]:
        told = set()
        files = event_files(run, part)
        assert len(files) == KILLS + 1, files
        for file in files:
            assert re.fullmatch(r"events\.out\.tfevents\.\d{10}\.[\w-]+\.\d+", file.name), file
            events = [Event.FromString(event) for event in RawEventFileLoader(str(file)).Load()]
            assert events[0].file_version == "brain.Event:2"
            assert events[1].session_log.status == SessionLog.START
            first = events[1].step
            taken_back += sum(step >= first for step in told)
            told = {step for step in told if step < first}
            told |= {event.step for event in events[2:]}
            # Of an epoch whose test alone was left, norms are told at the step that was the last.
            assert all(event.step >= first - (part == "train") for event in events[2:])
            assert all(abs(event.wall_time - time.time()) < 600 for event in events)
    assert taken_back > 0, "nothing was done again: try once more"
    return taken_back


def check_settings(run):
    text = accumulated(run, "train").Tensors("config")[-1].tensor_proto.string_val[0].decode()
    assert [line.removeprefix("    ") for line in text.splitlines()] == (
        (run / "config.toml").read_text().splitlines())
    content = accumulated(run, "test").PluginTagToContent("hparams")
    start = HParamsPluginData.FromString(content["_hparams_/session_start_info"])
    hparams = start.session_start_info.hparams
    assert hparams["optimizer.lr"].number_value == 0.01
    assert hparams["model.batch_norm"].bool_value
    assert hparams["data.dataset"].string_value == "fashion-mnist-sample"
    end = HParamsPluginData.FromString(content["_hparams_/session_end_info"])
    assert end.session_end_info.status == 1
    return len(hparams)


def check_server(run, picture):
    """What TensorBoard's page is told, and the page."""
    tensorboard = [sys.executable, "-m", "tensorboard.main", "--logdir", run.parent, "--port", "0"]
    server = subprocess.Popen(tensorboard, stderr=subprocess.PIPE, text=True)
    try:
        url = next(match[0] for line in server.stderr if (match := re.search(r"http://\S+:\d+/", line)))

        def ask(path, body=None):
            data = None if body is None else json.dumps(body).encode()
            headers = {"Content-Type": "application/json"}
            request = urllib.request.Request(f"{url}data/plugin/{path}", data, headers)
            with urllib.request.urlopen(request) as answer:
                return json.load(answer)

        deadline = time.monotonic() + 30
        while not (tags := ask("scalars/tags")) or len(tags) < 2:
            assert time.monotonic() < deadline, tags
            time.sleep(0.2)
        names = ["tiny-1/tensorboard/train", "tiny-1/tensorboard/test"]
        assert sorted(tags) == sorted(names)
        # These share a chart.
        assert {"loss", "accuracy"} <= set(tags[names[0]]) & set(tags[names[1]])
        assert set(tags[names[1]]) == set(OF_TEST.values())
        assert "config" in ask("text/tags")[names[0]]
        request = {"experimentName": "", "allowedStatuses": ["STATUS_SUCCESS"], "colParams": [],
                   "startIndex": 0, "sliceSize": 10}
        [group] = ask("hparams/session_groups", request)["sessionGroups"]
        assert group["name"] == names[1] and group["hparams"]["train.epochs"] == 6.0
        metrics = {value["name"]["tag"]: value["value"] for value in group["metricValues"]}
        last = records(run, "epoch")[-1]
        expected = {tag: float32(last[field]) for field, tag in OF_TEST.items()}
        assert metrics.keys() == expected.keys()
        assert all(math.isclose(metrics[tag], expected[tag], rel_tol=1e-6) for tag in metrics)
        if picture:
            subprocess.run(["chromium", "--headless", "--no-sandbox", f"--screenshot={picture}",
                            "--window-size=1600,1400", "--virtual-time-budget=20000",
                            "--hide-scrollbars", f"{url}?darkMode=false&forceSVG=true#timeseries"],
                           check=True, stderr=subprocess.DEVNULL)
        return len(metrics)
    finally:
        server.terminate()
        server.wait()


def main():
    # It tells of each purge, which is what is wanted here.
    logging.getLogger("tensorboard").setLevel(logging.ERROR)
    program = Path(sys.argv[1]).resolve()
    picture = Path(sys.argv[2]).resolve() if len(sys.argv) > 2 else None
    assert picture is None or shutil.which("chromium"), "chromium is not installed"
    with tempfile.TemporaryDirectory() as folder:
        run = train(program, Path(folder))
        print(f"{check_files(run)} steps were taken back in {KILLS} resumptions")
        print(f"{check_scalars(run)} numbers are those of metrics.jsonl")
        print(f"{check_norms(run)} layers have the norms of the checkpoint's weights")
        print(f"{check_images(run)} pictures are of the best networks")
        print(f"{check_settings(run)} settings are those of config.toml")
        print(f"{check_server(run, picture)} metrics are beside the settings on TensorBoard's page")


main()
