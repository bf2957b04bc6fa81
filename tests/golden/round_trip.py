"""Passes networks from torchvision and timm through `vgg-train` and back, and compares their logits.

    pip install torch torchvision timm pillow numpy safetensors onnx onnxruntime onnxscript keras h5py
    cargo build -p vgg-train
    python round_trip.py target/debug/vgg-train               # all: 3 GB of disk, minutes
    python round_trip.py target/debug/vgg-train narrow timm   # those with these words in their names

Of each network, with random weights: what other programs write of it is imported, an image's
probabilities must be theirs (of a photograph's, with torchvision's own preprocessing), the exported
weights must load into the same network (strictly), and the exported ONNX model must pass ONNX's
checker and give the same logits in ONNX Runtime for batches of several sizes. All to 1e-4 of the largest logit; what was exported is the same to the bit.
Networks that locate are trained for a moment from one that classifies, and exported with it: the logits and boxes
of the file in ONNX Runtime must be the probabilities and pixels that `predict` tells.
Networks of Keras (`keras`) are saved in all its formats, and imported: an image's probabilities must be Keras's
own to 1e-5.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import timm
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torchvision import models
from torchvision.transforms import functional

from generate import net

MOST = 1e-4
# Our names of the columns of the paper's table.
PAPER = {"vgg11": "A", "vgg11-lrn": "A-LRN", "vgg13": "B", "vgg16-c": "C", "vgg16": "D", "vgg19": "E"}
# torchvision's, of coloured images.
MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]


def randomised(model):
    """The network with running statistics that are none of the defaults."""
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.uniform_(-0.5, 0.5)
            module.running_var.uniform_(0.5, 2.0)
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.uniform_(module.bias, -0.5, 0.5)
    return model.float().eval()


def photograph(shape):
    """Of the network's own size, but for networks of torchvision's, which scale and cut it."""
    channels, *size = shape
    if shape == (3, 224, 224):
        size = (300, 411)
    image = np.random.default_rng(1).integers(0, 256, (*size, channels), dtype=np.uint8)
    return Image.fromarray(image[..., 0] if channels == 1 else image)


def narrow_networks():
    """The name here, and a function that makes the network: of each, with 1/16 of its channels."""
    for arch, column in PAPER.items():
        for batch_norm in (False, True):
            make = lambda column=column, bn=batch_norm: net("", column, 1 / 16, (3, 96, 96), None, 24, 10, bn)
            yield arch, f"{arch}{'_bn' * batch_norm} narrow", make, (3, 96, 96)
    # Of sides with the same last maps, the program takes 224 or else the smallest.
    for arch, side in [("alexnet", 224), ("alexnet", 65), ("lenet", 28), ("lenet", 96)]:
        width = 1.0 if arch == "lenet" else 1 / 16
        make = lambda arch=arch, side=side, width=width: net(arch, None, width, (1, side, side), None, 24, 10)
        yield arch, f"{arch} {side} narrow", make, (1, side, side)


class OfBlocks(torch.nn.Module):
    """A VGG of other blocks or with another head, as networks for small images are."""

    def __init__(self, blocks, hidden, batch_norm):
        super().__init__()
        convs, c = [], 3
        for block in blocks:
            for channels in block:
                norm = [torch.nn.BatchNorm2d(channels)] * batch_norm
                convs += [torch.nn.Conv2d(c, channels, 3, padding=1), *norm, torch.nn.ReLU()]
                c = channels
            convs.append(torch.nn.MaxPool2d(2, 2))
        self.features, linears = torch.nn.Sequential(*convs), []
        for outputs in hidden:
            linears += [torch.nn.Linear(c, outputs), torch.nn.ReLU(), torch.nn.Dropout()]
            c = outputs
        self.classifier = torch.nn.Sequential(*linears, torch.nn.Linear(c, 10))

    def forward(self, x):
        return self.classifier(self.features(x).flatten(1))


def networks_of_blocks():
    """Of images that leave one place of the last maps."""
    vgg16 = [[4] * 2, [8] * 2, [16] * 3, [32] * 3, [32] * 3]
    others = [[8, 16], [16, 24], [24]]
    for arch, blocks in [("vgg16", vgg16), (json.dumps(others), others)]:
        for hidden in ([], [20], [20, 20, 20]):
            for batch_norm in (False, True):
                make = lambda *args: lambda: OfBlocks(*args)
                name = f"blocks {len(blocks)}, {len(hidden)} hidden{', normalised' * batch_norm}"
                side = 2 ** len(blocks)
                yield arch, name, make(blocks, hidden, batch_norm), (3, side, side)


def whole_networks():
    for name in ("vgg11", "vgg16", "vgg16_bn"):
        make = lambda name=name: models.get_model(name, weights=None)
        yield name.removesuffix("_bn"), f"torchvision {name}", make, (3, 224, 224)


def timm_networks():
    for name in ("vgg11", "vgg16_bn"):
        make = lambda name=name: timm.create_model(name, pretrained=False)
        yield name.removesuffix("_bn"), f"timm {name}", make, (3, 224, 224)


def error(logits, expected):
    """Of the largest logit. A softmax leaves logits but for a constant, which is taken off."""
    assert logits.shape == expected.shape
    return np.abs(logits - expected).max() / np.abs(expected).max()


class Trip:
    """A network's way through the program, in a folder of its own."""

    most = MOST

    def __init__(self, program, folder, arch, name, make, shape):
        self.program, self.folder, self.arch, self.name = program, folder, arch, name
        self.make, self.shape = make, shape
        self.model = randomised(make())
        image = photograph(shape)
        image.save(folder / "image.png")
        if shape == (3, 224, 224):
            image = functional.center_crop(functional.resize(image, 256), 224)
        pixels = np.asarray(image).reshape(*shape[1:], shape[0]).transpose(2, 0, 1)
        self.x = self.normalised(pixels[None].astype(np.float32) / 255)

    def normalised(self, pixels):
        if self.shape[0] == 1:
            return pixels
        mean, std = (np.array(values, np.float32).reshape(1, 3, 1, 1) for values in (MEAN, STD))
        return (pixels - mean) / std

    def logits(self, model, x):
        with torch.no_grad():
            return model(torch.from_numpy(x)).numpy()

    def run(self, *arguments):
        done = subprocess.run(
            [self.program, *map(str, arguments)], cwd=self.folder, capture_output=True, text=True
        )
        assert done.returncode == 0, (arguments, done.stderr)
        return done.stdout

    def into(self, file, *options):
        """Imports a file, and returns the run and how far the image's logits are off."""
        run = f"run-{file}"
        self.run("import", file, "--arch", self.arch, "--to", run, *options)
        (self.folder / file).unlink()
        expected = self.logits(self.model, self.x)[0]
        done = self.run("predict", run, "image.png", "--json", "--top", len(expected), "--device", "cpu")
        logits = np.empty(len(expected))
        for prediction in json.loads(done)["predictions"]:
            logits[prediction["label"]] = np.log(prediction["probability"])
        return run, error(logits - logits.mean(), expected - expected.mean())

    def imports(self):
        """A run of each format, of which the last has all that is in the network."""
        # Of ONNX models, VGGs alone are read; PyTorch takes local response normalisations apart.
        if self.arch.startswith("vgg") and "lrn" not in self.arch:
            for name, dynamo in (("onnx", False), ("dynamo", True)):
                file = self.folder / f"{name}.onnx"
                torch.onnx.export(self.model, (torch.from_numpy(self.x),), file, dynamo=dynamo)
                yield name, *self.into(file.name)
                file.with_name(f"{name}.onnx.data").unlink(missing_ok=True)
        state = self.model.state_dict()
        torch.save(state, self.folder / "zip.pth")
        yield "zip", *self.into("zip.pth")
        torch.save(state, self.folder / "legacy.pth", _use_new_zipfile_serialization=False)
        yield "legacy", *self.into("legacy.pth")
        save_file(state, self.folder / "weights.safetensors")
        yield "safetensors", *self.into("weights.safetensors")

    def back(self, run):
        """How far the exported weights are off in the network that they came from."""
        self.run("export", run, "--format", "safetensors", "--output", "out.safetensors")
        exported = load_file(self.folder / "out.safetensors")
        model = self.make().float().eval()
        model.load_state_dict(exported, strict=True)
        assert all(torch.equal(value, self.model.state_dict()[key]) for key, value in exported.items())
        return error(self.logits(model, self.x), self.logits(self.model, self.x))

    def onnx(self, run):
        """How far the exported ONNX model is off."""
        self.run("export", run, "--format", "onnx", "--output", "out.onnx")
        file = str(self.folder / "out.onnx")
        onnx.checker.check_model(file, full_check=True)
        session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
        (x,), (y,) = session.get_inputs(), session.get_outputs()
        assert (x.name, y.name, x.shape) == ("input", "logits", ["batch", *self.shape])
        told = session.get_modelmeta().custom_metadata_map
        mean, std = (np.array(json.loads(told[key]), np.float32) for key in ("mean", "std"))
        expected = (MEAN, STD) if self.shape[0] == 3 else ([0], [1])
        assert np.allclose([mean, std], expected)
        worst = 0.0
        for batch in (1, 2, 5):
            pixels = np.random.default_rng(batch).integers(0, 256, (batch, *self.shape))
            images = self.normalised(pixels.astype(np.float32) / 255)
            (logits,) = session.run(["logits"], {"input": images})
            worst = max(worst, error(logits, self.logits(self.model, images)))
        return worst

    def all(self):
        errors, run = {}, None
        for what, run, off in self.imports():
            errors[what] = off
        errors |= {"back": self.back(run), "onnx": self.onnx(run)}
        return errors


class TimmTrip(Trip):
    """timm's names come in, and torchvision's go out."""

    def imports(self):
        torch.save(self.model.state_dict(), self.folder / "timm.pth")
        yield "timm", *self.into("timm.pth", "--from", "timm")

    def back(self, run):
        name = self.name.removeprefix("timm ")
        self.make, ours = (lambda: models.get_model(name, weights=None)), self.model
        self.model = torchvisions(ours, self.make())
        off = super().back(run)
        assert error(self.logits(self.model, self.x), self.logits(ours, self.x)) < MOST
        return off


def torchvisions(model, into):
    """timm's network as torchvision's, where fully connected layers are no convolutions."""
    state = {}
    for (key, value), like in zip(model.state_dict().items(), into.state_dict(), strict=True):
        state[like] = value.reshape(into.state_dict()[like].shape)
    into.load_state_dict(state, strict=True)
    return into.eval()


class LocatorTrip(Trip):
    """A network that locates, with the one that it started from."""

    CONFIG = """
    [model]
    width = 0.0625
    image_size = 96
    fc_width = 24
    dropout = 0.0
    [data]
    dataset = "image-folder"
    folder = "images"
    mean = [0.4]
    std = [0.3]
    [train]
    epochs = 8
    batch_size = 4
    [optimizer]
    momentum = 0.9
    """

    def __init__(self, program, folder, boxes, name):
        self.program, self.folder, self.boxes, self.name = program, folder, boxes, name
        random = np.random.default_rng(1)
        self.images, rows = [], ["path,label,x0,y0,x1,y1"]
        for part in ("train", "val"):
            for label in ("bright", "dark"):
                (folder / "images" / part / label).mkdir(parents=True)
                for i in range(6):
                    path = f"{part}/{label}/{i}.png"
                    pixels = random.integers(0, 256, (96, 96, 3), dtype=np.uint8) // (1 + (label == "dark"))
                    Image.fromarray(pixels).save(folder / "images" / path)
                    rows.append(f"{path},{label},{3 * i},{i},{50 + 2 * i},{90 - i}")
                    self.images += [(path, pixels)] * (part == "val")
        (folder / "images" / "boxes.csv").write_text("\n".join(rows))
        (folder / "locator.toml").write_text(self.CONFIG)

    def all(self):
        train = ("train", "locator.toml", "-q", "--device", "cpu", "--set")
        self.run(*train, "name=classifier")
        locate = ["data.boxes=boxes.csv", "init.from=runs/classifier-1", f"model.boxes={self.boxes}", "name=locator"]
        self.run(*train, "model.task=localisation", *(part for it in locate for part in ("--set", it)))
        both = ("runs/locator-1", "--classifier", "runs/classifier-1")
        self.run("export", *both, "--format", "onnx", "--output", "out.onnx")
        file = str(self.folder / "out.onnx")
        onnx.checker.check_model(file, full_check=True)
        session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
        told = session.get_modelmeta().custom_metadata_map
        mean, std = (np.array(json.loads(told[key]), np.float32).reshape(-1, 1, 1) for key in ("mean", "std"))
        x = np.stack([pixels.transpose(2, 0, 1) for _, pixels in self.images]).astype(np.float32)
        logits, boxes = session.run(["logits", "boxes"], {"input": (x / 255 - mean) / std})
        probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
        centres, sizes = np.split(boxes.reshape(len(x), -1, 1, 4), 2, axis=3)
        corners = np.concatenate([centres - sizes / 2, centres + sizes / 2], axis=2).clip(0, 1) * 96
        lines = self.run("predict", *both, *(f"images/{path}" for path, _ in self.images), "--json", "--device", "cpu")
        off, seen = {"classes": 0.0, "boxes": 0.0}, 0
        for i, line in enumerate(map(json.loads, lines.splitlines())):
            assert line["file"] == f"images/{self.images[i][0]}"
            for one in line["boxes"]:
                label = one["label"]
                off["classes"] = max(off["classes"], abs(one["probability"] - probabilities[i, label]))
                expected = corners[i, label if self.boxes == "per-class" else 0].reshape(4)
                if one["box"] is None:
                    assert not (expected[:2] < expected[2:]).all()
                    continue
                off["boxes"], seen = max(off["boxes"], np.abs(one["box"] - expected).max() / 96), seen + 1
        assert i + 1 == len(self.images) and seen > 0
        return off


def keras_networks():
    """The architecture if the program is to be told it, the name, and a function that makes the network."""
    from keras import Input, Model, Sequential, applications, layers

    def of_blocks(blocks, batch_norm, side, graph, pooled=False):
        parts = []
        for block in blocks:
            for channels in block:
                parts.append(layers.Conv2D(channels, 3, padding="same", activation=None if batch_norm else "relu"))
                parts += [layers.BatchNormalization(), layers.ReLU()] * batch_norm
            parts.append(layers.MaxPooling2D())
        parts.append(layers.GlobalAveragePooling2D() if pooled else layers.Flatten())
        for _ in range(2):
            parts += [layers.Dense(20, activation="relu"), layers.Dropout(0.5)]
        parts.append(layers.Dense(10, activation="softmax"))
        start = Input((side, side, 3))
        if not graph:
            return Sequential([start, *parts])
        x = start
        for part in parts:
            x = part(x)
        return Model(start, x)

    counts = {"vgg11": [1, 1, 2, 2, 2], "vgg13": [2] * 5, "vgg16": [2, 2, 3, 3, 3], "vgg19": [2, 2, 4, 4, 4]}
    for arch, counts in counts.items():
        blocks = [[channels] * count for channels, count in zip([4, 8, 16, 32, 32], counts)]
        for batch_norm in (False, True):
            for graph in (False, True):
                make = lambda args=(blocks, batch_norm, 64, graph): of_blocks(*args)
                yield None, f"keras {arch}{'_bn' * batch_norm}{' graph' * graph}", make
    blocks = [[8, 16], [16, 24], [24]]
    yield json.dumps(blocks), "keras blocks", lambda: of_blocks(blocks, True, 24, False)
    of_vgg11 = [[4], [8], [16, 16], [32, 32], [32, 32]]
    yield None, "keras averages", lambda: of_blocks(of_vgg11, False, 224, True, pooled=True)

    def base(top):
        return applications.VGG16(weights=None, include_top=top, input_shape=(64, 64, 3), classes=10)

    yield None, "keras published", lambda: base(True)
    within = lambda: Sequential([Input((64, 64, 3)), base(False), layers.Flatten(), layers.Dense(10, activation="softmax")])
    yield None, "keras within", within


class KerasTrip(Trip):
    """A network of Keras, in each format."""

    # Of probabilities.
    most = 1e-5

    def __init__(self, program, folder, arch, name, make):
        self.program, self.folder, self.name = program, folder, name
        self.options = ["--arch", arch] if arch else []
        make()  # Its layers' names have the numbers 0, 1 and so on: the next one's go on.
        self.model = make()
        random = np.random.default_rng(1)
        for weight in self.model.weights:
            if weight.name == "kernel":
                inputs = np.prod(weight.shape[:-1])
                weight.assign(random.normal(0, np.sqrt(2 / inputs), weight.shape))
            elif weight.name in ("gamma", "moving_variance"):
                weight.assign(random.uniform(0.5, 1.5, weight.shape) * (1 if weight.name == "gamma" else 0.01))
            else:
                weight.assign(random.uniform(-0.2, 0.2, weight.shape))
        side = self.model.input_shape[1]
        pixels = random.integers(0, 256, (side, side, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "image.png")
        if "published" in name or "within" in name:
            from keras.applications.vgg16 import preprocess_input

            self.x = preprocess_input(pixels[None].astype(np.float32))
        else:
            self.x = pixels[None].astype(np.float32) / 255
        # Probabilities of 0 and 1 would be the same whatever differs.
        while self.model.predict(self.x, verbose=0).max() > 0.3:
            for weight in self.model.layers[-1].weights:
                weight.assign(weight / 2)

    def imports(self):
        import h5py
        from keras.src.legacy.saving import legacy_h5_format

        self.model.compile("sgd", "categorical_crossentropy")
        self.model.save(self.folder / "archive.keras")
        self.model.save(self.folder / "whole.h5")
        self.model.save_weights(self.folder / "keras3.weights.h5")
        with h5py.File(self.folder / "keras2.h5", "w") as file:
            legacy_h5_format.save_weights_to_hdf5_group(file, self.model)
        return ["archive.keras", "whole.h5", "keras3.weights.h5", "keras2.h5"]

    def all(self):
        (expected,) = self.model.predict(self.x, verbose=0)
        errors = {}
        for file in self.imports():
            run = f"run-{file}"
            self.run("import", file, "--to", run, *self.options)
            (self.folder / file).unlink()
            done = self.run("predict", run, "image.png", "--json", "--top", len(expected), "--device", "cpu")
            for prediction in json.loads(done)["predictions"]:
                off = abs(prediction["probability"] - expected[prediction["label"]])
                errors[file] = max(errors.get(file, 0.0), off)
        return errors


def main(program, *words):
    torch.manual_seed(1)
    program = Path(program).resolve()
    trips = [(Trip, *case) for case in [*narrow_networks(), *networks_of_blocks(), *whole_networks()]]
    trips += [(TimmTrip, *case) for case in timm_networks()]
    trips += [(LocatorTrip, boxes, f"locator {boxes}") for boxes in ("per-class", "shared")]
    if not words or any(word in "keras" for word in words):
        os.environ.setdefault("KERAS_BACKEND", "torch")
        trips += [(KerasTrip, *case) for case in keras_networks()]
    far = []
    for kind, *case in trips:
        _, name, *_ = case
        if words and not any(word in name for word in words):
            continue
        with tempfile.TemporaryDirectory() as folder:
            trip = kind(program, Path(folder), *case)
            errors = trip.all()
        print(f"{trip.name:22}", "  ".join(f"{what} {off:.1e}" for what, off in errors.items()), flush=True)
        far += [trip.name for off in errors.values() if not off < trip.most]
    assert not far, far


if __name__ == "__main__":
    main(*sys.argv[1:])
