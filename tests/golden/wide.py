"""Writes a golden file for each network at the sizes it is used with, with PyTorch.

    pip install torch torchvision pillow numpy safetensors
    python wide.py FOLDER                  # all of them: gigabytes of memory, and their time
    python wide.py FOLDER vgg16 lenet-28   # those whose names begin so
    VGG_WIDE_GOLDENS=FOLDER cargo test -p vgg-tests wide -- --nocapture

A and D have all their channels, the others of the paper a quarter of them; each is there with and
without batch normalisation, on 224×224 and on 160×96. A and D of a quarter also regress boxes (appendix
A), one for all classes (scr) and one a class (pcr). AlexNet and LeNet are those of Dive into Deep
Learning. Numbers are computed as in `generate.py`; each file's metadata say what network it is, and
how far PyTorch's own float32 strays, logits and the worst gradient.
"""

import itertools
import os
import sys
from pathlib import Path

import torch
import torch.nn.functional as F

from generate import MARGIN, far_from_decisions, images, net, net_step, sample, save

BATCH = 2
# As many of each gradient, or all.
SAMPLES = 1 << 16

# The column of the paper's table, and the width. Those of torchvision have its average pool.
PAPER = {
    "vgg11": ("A", 1.0),
    "vgg11-lrn": ("A-LRN", 0.25),
    "vgg13": ("B", 0.25),
    "vgg16-c": ("C", 0.25),
    "vgg16": ("D", 1.0),
    "vgg19": ("E", 0.25),
}
SIZES = [(224, 224), (160, 96)]

# Where the objects of the images are: centre across and down, width and height, as shares of the image.
BOXES = torch.tensor([[0.5, 0.25, 0.25, 0.5], [0.375, 0.625, 0.5, 0.1875]], dtype=torch.float64)
# Boxes of ten classes, by the kinds of regression.
LOCATING = {"scr": ("shared", 4), "pcr": ("per-class", 40)}


def networks():
    """Of each network: the name of its file, and its settings in Rust's words."""
    for arch, (column, width) in PAPER.items():
        for h, w in SIZES:
            pools = len(column) == 1 and column != "C" and (h, w) != (224, 224)
            config = dict(arch=arch, width=width, input=[3, h, w], classes=1000, fc_width=4096, dropout=0.0)
            config |= dict(avg_pool=7) if pools else {}
            yield f"{arch}-{h}x{w}", config
            yield f"{arch}_bn-{h}x{w}", config | dict(batch_norm=True)
    for arch, (kind, (boxes, _)) in itertools.product(["vgg11", "vgg16"], LOCATING.items()):
        task = {"localisation": {"boxes": boxes}}
        config = dict(arch=arch, width=0.25, input=[1, 96, 96], classes=10, fc_width=512, dropout=0.0)
        yield f"{arch}_{kind}-96x96", config | dict(task=task)
    for h, w in SIZES:
        yield f"alexnet-{h}x{w}", dict(arch="alexnet", input=[1, h, w], classes=10, dropout=0.0)
    for h, w in [(28, 28), *SIZES]:
        yield f"lenet-{h}x{w}", dict(arch="lenet", input=[1, h, w], classes=10)


def euclidean(predicted, labels):
    """Half the squared distance of each image's own box from the true one, averaged over the images."""
    boxes = predicted.unflatten(1, (-1, 4))
    own = boxes[torch.arange(len(labels)), labels if boxes.shape[1] > 1 else 0]
    return 0.5 * (own - BOXES.to(own.dtype)).square().sum(1).mean()


def run(model, x, labels, loss_of):
    """A step in training mode, and what is thought of the same images after it."""
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.reset_running_stats()
    logits, gradients = net_step(model.train(), x, labels, loss_of)
    state = {name: value for name, value in model.named_buffers() if value.dim() > 0}
    with torch.no_grad():
        after = model.eval()(x) if state else logits
    loss = loss_of(logits, labels).reshape(1)
    return {"logits": after, "loss": loss}, gradients, state


def margin(z):
    """As wide as can be had: a batch normalisation's small variances magnify rounding, and late
    layers, with few decisions a filter, have it of all layers before."""
    return min(1e-3, max(MARGIN, 0.5 / z[:, 0].numel()))


def write(folder, name, config):
    shape = config["input"]
    # Inputs that are large enough for the normalisation to matter.
    std = 0.02 if config["arch"] == "vgg11-lrn" else 1.0
    x, labels = images(BATCH, shape, std), torch.arange(3, 3 + BATCH)
    column, width = PAPER.get(config["arch"], (None, 1.0))
    width = config.get("width", width)
    outputs, loss_of = config["classes"], F.cross_entropy
    if task := config.get("task"):
        kinds = dict(LOCATING.values())
        outputs, loss_of = kinds[task["localisation"]["boxes"]], euclidean
    model = net(
        config["arch"], column, width, shape, config.get("avg_pool"), config.get("fc_width", 4096),
        outputs, config.get("batch_norm", False),
    )
    salts = far_from_decisions(model.float().train(), x, margin)
    values, gradients, state = run(model.double(), x.double(), labels, loss_of)
    values |= {"boxes": BOXES} if loss_of is euclidean else {}
    tensors = salts | values | {f"state.{key}": value for key, value in state.items()}
    for key, gradient in gradients.items():
        tensors[f"norm.{key}"] = gradient.norm().reshape(1)
        tensors[f"sample.{key}"] = sample(gradient, SAMPLES)

    rounded, rounded_gradients, _ = run(model.float(), x, labels, loss_of)
    off = lambda key, g: ((rounded_gradients[key].double() - g).norm() / g.norm()).item()
    strays = {
        "logits": ((rounded["logits"] - values["logits"]).abs().max() / values["logits"].abs().max()).item(),
        # The gradient of a bias before a normalisation is nothing but rounding.
        "gradient": max(off(key, g) for key, g in gradients.items() if tensors[f"norm.{key}"] > 1e-10),
    }
    save(name, tensors, folder, config=config, std=std, images=BATCH, float32_strays=strays)
    print("  float32 strays by", {key: f"{value:.1e}" for key, value in strays.items()}, flush=True)


if __name__ == "__main__":
    torch.use_deterministic_algorithms(True)
    torch.set_num_threads(os.cpu_count())
    folder, *wanted = sys.argv[1:]
    Path(folder).mkdir(parents=True, exist_ok=True)
    for name, config in networks():
        if not wanted or any(name.startswith(start) for start in wanted):
            write(folder, name, config)
