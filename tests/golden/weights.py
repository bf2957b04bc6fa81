"""Writes the folder `weights` beside this script, with PyTorch: the same small network as the files
of several programs, and its logits.

    pip install torch torchvision safetensors keras h5py
    KERAS_BACKEND=torch python weights.py

The network is torchvision's VGG-11 with 1/64 of its channels, hidden layers of 16 numbers, 10
classes and 3×64×64 inputs, so that the classifier sees maps of 2×2. `expected.safetensors` has two
images and the logits for each normalisation, computed in float64.
"""

import argparse
import collections
import datetime
import pathlib
import random
from pathlib import Path

import numpy
import torch
from safetensors.torch import save_file
from torchvision.models import vgg

HERE = Path(__file__).resolve().parent / "weights"
CLASSES, FC_WIDTH = 10, 16

# As in `vgg_model::weights::Convention`.
NORMALIZATIONS = {
    "torchvision": ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
    "caffe": ([123.68 / 255, 116.779 / 255, 103.939 / 255], [1 / 255] * 3),
}


def small_vgg11():
    narrow = [c if c == "M" else c // 64 for c in vgg.cfgs["A"]]
    model = vgg.VGG(vgg.make_layers(narrow), CLASSES, False)
    model.avgpool = torch.nn.Identity()
    model.classifier = torch.nn.Sequential(
        torch.nn.Linear(narrow[-2] * 2 * 2, FC_WIDTH),
        torch.nn.ReLU(True),
        torch.nn.Dropout(),
        torch.nn.Linear(FC_WIDTH, FC_WIDTH),
        torch.nn.ReLU(True),
        torch.nn.Dropout(),
        torch.nn.Linear(FC_WIDTH, CLASSES),
    )
    for layer in model.modules():
        if isinstance(layer, (torch.nn.Conv2d, torch.nn.Linear)):
            torch.nn.init.kaiming_normal_(layer.weight)
            torch.nn.init.uniform_(layer.bias, -0.1, 0.1)
    return model.eval()


def logits(model, images, mean, std):
    mean, std = (torch.tensor(x, dtype=torch.float64).reshape(1, 3, 1, 1) for x in (mean, std))
    with torch.no_grad():
        return model((images.double() / 255 - mean) / std).float()


def renamed(state, convs, linears, weight, bias, separator):
    """The state dictionary by layers' other names, in pairs of weight and bias."""
    names, layers = {}, [key.removesuffix(".weight") for key in state if key.endswith(".weight")]
    for layer, name in zip(layers, [*convs, *linears], strict=True):
        names[f"{layer}.weight"] = f"{name}{separator}{weight}"
        names[f"{layer}.bias"] = f"{name}{separator}{bias}"
    return {names[key]: value for key, value in state.items()}


def script(model, state):
    """What training scripts save beside the weights, or in their place: objects of any type."""
    optimizer = torch.optim.Adam(model.classifier[6].parameters(), amsgrad=True)
    model(torch.zeros(1, 3, 64, 64)).sum().backward()
    optimizer.step()
    model.load_state_dict(state)
    scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, [3, 5])
    best = collections.defaultdict(list, top1=[0.5, numpy.float64(0.25)])
    everything = {
        "args": argparse.Namespace(lr=0.1, device=torch.device("cpu"), output=pathlib.Path("runs")),
        "best": best,
        "counts": collections.Counter("abca"),
        "when": datetime.datetime(2026, 1, 2),
        "function": torch.nn.functional.relu,
        "classes": {"cat", "dog"},
        "frozen": frozenset([1]),
        "bytes": b"\x00\xff" * 200,
        "matrix": numpy.eye(3),
        "random": (random.getstate(), numpy.random.default_rng(1).bit_generator.state),
        "torch_random": torch.get_rng_state(),
        "type": torch.float32,
        "complex": torch.zeros(2, dtype=torch.complex64),
        "sparse": torch.eye(3).to_sparse(),
        "shape": torch.Size([1, 2]),
        "expanded": torch.zeros(1).expand(5),
        "model": collections.OrderedDict((f"module.{key}", value) for key, value in state.items()),
        "optimizer": optimizer.state_dict(),
        "schedule": scheduler.state_dict(),
    }
    for protocol in (2, 5):
        torch.save(everything, HERE / f"script{protocol}.pth", pickle_protocol=protocol)
    torch.save(model, HERE / "whole.pth")
    torch.save({"epoch": 1, "model": model}, HERE / "whole_legacy.pth", _use_new_zipfile_serialization=False)


def of_keras(counts, weights):
    """What Keras writes of a network without names of its own, the second one of the program."""
    import h5py
    from keras import Sequential, layers
    from keras.src.legacy.saving import legacy_h5_format

    def network():
        model, channels = [layers.Input((64, 64, 3))], iter(weights[1::2])
        for count in counts:
            for _ in range(count):
                model.append(layers.Conv2D(len(next(channels)), 3, padding="same", activation="relu"))
            model.append(layers.MaxPooling2D())
        hidden = [layers.Dense(FC_WIDTH, activation="relu"), layers.Dropout(0.5)]
        hidden += [layers.Dense(FC_WIDTH, activation="relu"), layers.Dropout(0.5)]
        return Sequential([*model, layers.Flatten(), *hidden, layers.Dense(CLASSES, activation="softmax")])

    network()
    model = network()
    model.set_weights(weights)
    model.compile("sgd", "categorical_crossentropy")
    model.save(HERE / "keras.keras")
    model.save(HERE / "keras.h5")
    model.save_weights(HERE / "keras.weights.h5")
    # As `save_weights` of Keras 1 and 2 writes.
    with h5py.File(HERE / "keras_weights.h5", "w") as file:
        legacy_h5_format.save_weights_to_hdf5_group(file, model)


def main():
    torch.manual_seed(1)
    HERE.mkdir(exist_ok=True)
    model = small_vgg11()
    state = model.state_dict()
    images = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8)
    expected = {"images": images}
    exact = small_vgg11().double()
    exact.load_state_dict({key: value.double() for key, value in state.items()})
    for name, (mean, std) in NORMALIZATIONS.items():
        expected[f"logits.{name}"] = logits(exact, images, mean, std)
    save_file(expected, HERE / "expected.safetensors", {"torch": torch.__version__})

    torch.save(state, HERE / "zip.pth")
    torch.save(state, HERE / "legacy.pth", _use_new_zipfile_serialization=False)
    # What a training script keeps: a nested dictionary, names from DataParallel, an optimiser's
    # state, parameters that are no plain tensors and lie transposed in a storage they share.
    shared = torch.stack([state["classifier.3.weight"].T.contiguous()] * 2)
    nested = {f"module.{key}": torch.nn.Parameter(value) for key, value in state.items()}
    nested["module.classifier.3.weight"] = shared[1].T
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9).state_dict()
    training = {"epoch": 3, "lr": 0.1, "state_dict": nested, "optimizer": optimizer}
    torch.save(training, HERE / "training.pth")
    torch.save(training, HERE / "training_legacy.pth", _use_new_zipfile_serialization=False)
    script(model, state)
    torch.save(state, HERE / "protocol4.pth", pickle_protocol=4)
    torch.save({key: value.double() for key, value in state.items()}, HERE / "double.pth")

    counts = [1, 1, 2, 2, 2]
    places = [(b + 1, c + 1) for b, count in enumerate(counts) for c in range(count)]
    features = [key.removesuffix(".weight") for key in state if key.startswith("features") and key.endswith(".weight")]

    timm = renamed(state, features, ["pre_logits.fc1", "pre_logits.fc2", "head.fc"], "weight", "bias", ".")
    for fc, side in (("fc1", 2), ("fc2", 1)):
        timm[f"pre_logits.{fc}.weight"] = timm[f"pre_logits.{fc}.weight"].reshape(FC_WIDTH, -1, side, side)
    save_file(timm, HERE / "timm.safetensors")

    caffe = dict(state)
    caffe["features.0.weight"] = caffe["features.0.weight"].flip(1).contiguous()
    keras = {}
    for key, value in caffe.items():
        if key == "classifier.0.weight":
            value = value.reshape(FC_WIDTH, -1, 2, 2).permute(0, 2, 3, 1).flatten(1)
        keras[key] = (value.permute(2, 3, 1, 0) if value.ndim == 4 else value.T if value.ndim == 2 else value).contiguous()
    names = [f"block{b}_conv{c}" for b, c in places]
    save_file(renamed(keras, names, ["fc1", "fc2", "predictions"], "kernel", "bias", "/"), HERE / "keras.safetensors")
    of_keras(counts, [value.numpy() for value in keras.values()])
    names = [f"conv{b}_{c}" for b, c in places]
    save_file(renamed(caffe, names, ["fc6", "fc7", "fc8"], "weight", "bias", "."), HERE / "caffe.safetensors")

    for name, dtype in [("half", torch.float16), ("bfloat16", torch.bfloat16)]:
        rounded = {key: value.to(dtype) for key, value in state.items()}
        save_file(rounded, HERE / f"{name}.safetensors")
        torch.save(rounded, HERE / f"{name}.pth")
    for path in sorted(HERE.iterdir()):
        print(f"{path.name}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
