"""Writes the golden files beside this script, with PyTorch and Pillow.

    pip install torch torchvision pillow numpy safetensors
    python generate.py

`wide.py` does the same for the networks at the sizes they are used with, whose files are not kept.

Numbers are computed in float64, from float32 inputs, and stored as float32. Where a test
needs to know what rounding does to them, PyTorch's own float32 computation is the yardstick: the
metadata say how far it strays. Versions and seed are in the metadata of each file.
"""

import gzip
import hashlib
import itertools
import json
import math
from pathlib import Path

import numpy as np
import PIL
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors import safe_open
from safetensors.numpy import save_file
from torch import nn
from torchvision.models import vgg

SEED = 1
HERE = Path(__file__).resolve().parent
SAMPLE = HERE.parents[1] / "crates" / "vgg-data" / "sample"


def save(name, tensors, folder=HERE, **metadata):
    """Writes a file, with `metadata` as JSON in it."""
    arrays = {}
    for key, value in tensors.items():
        array = value.detach().numpy() if isinstance(value, torch.Tensor) else np.asarray(value)
        arrays[key] = np.ascontiguousarray(
            array.astype(np.float32) if array.dtype == np.float64 else array
        )
    versions = {"torch": torch.__version__, "pillow": PIL.__version__, "numpy": np.__version__}
    # One key, because safetensors writes several in random order.
    generator = {"seed": SEED, "versions": versions, **metadata}
    path = Path(folder) / f"{name}.safetensors"
    save_file(arrays, path, {"generator": json.dumps(generator)})
    print(f"{path.name}: {path.stat().st_size} bytes")


# --- single operations ------------------------------------------------------------------------


def uniform(*shape, scale=1.0):
    return ((torch.rand(*shape) * 2 - 1) * scale).double()


def integers(*shape, limit):
    return torch.randint(-limit, limit + 1, shape).double()


def few(*shape):
    return integers(*shape, limit=1)


def gradients(y, dy, *inputs):
    return torch.autograd.grad(y, inputs, dy)


def operations():
    """Convolutions, max-pools and local response normalisation: inputs, outputs, gradients."""
    torch.manual_seed(SEED)
    tensors = {}

    # Fused convolutions; whole numbers bring sums of zero and windows with several maxima.
    convs = {
        "bias_3x3": (2, 5, 6, 7, 9, 3, 1, uniform),
        "bias_1x1": (1, 3, 5, 4, 2, 1, 0, uniform),
        "relu_3x3": (2, 3, 8, 5, 8, 3, 1, uniform),
        "relu_5x5": (1, 2, 9, 8, 3, 5, 0, uniform),
        "relu_ties": (2, 2, 7, 6, 5, 3, 1, few),
        "pool_3x3": (2, 3, 9, 10, 17, 3, 1, uniform),
        "pool_ties": (2, 2, 7, 6, 5, 3, 1, few),
    }
    for name, (n, c_in, h, w, c_out, kernel, padding, draw) in convs.items():
        x, weight = draw(n, c_in, h, w), draw(c_out, c_in, kernel, kernel)
        bias = draw(c_out)
        for tensor in (x, weight, bias):
            tensor.requires_grad_()
        y = F.conv2d(x, weight, bias, padding=padding)
        if not name.startswith("bias"):
            y = F.relu(y)
        if name.startswith("pool"):
            y = F.max_pool2d(y, 2)
        dy = integers(*y.shape, limit=3)
        dx, dweight, dbias = gradients(y, dy, x, weight, bias)
        values = dict(x=x, weight=weight, bias=bias, y=y, dy=dy, dx=dx, dweight=dweight, dbias=dbias)
        tensors |= {f"conv2d.{name}.{key}": value for key, value in values.items()}

    # A fully connected layer on maps, flattened in C, H, W order.
    for name, draw in [("relu", uniform), ("relu_ties", few)]:
        x, weight, bias = draw(3, 2, 3, 2), draw(7, 12), draw(7)
        for tensor in (x, weight, bias):
            tensor.requires_grad_()
        y = F.relu(F.linear(x.flatten(1), weight, bias))
        dy = integers(*y.shape, limit=3)
        dx, dweight, dbias = gradients(y, dy, x, weight, bias)
        values = dict(x=x, weight=weight, bias=bias, y=y, dy=dy, dx=dx, dweight=dweight, dbias=dbias)
        tensors |= {f"linear.{name}.{key}": value for key, value in values.items()}

    for kernel, stride in [(2, 2), (3, 2), (3, 1), (2, 3)]:
        x = integers(2, 3, 7, 6, limit=1).requires_grad_()
        y = F.max_pool2d(x, kernel, stride)
        dy = integers(*y.shape, limit=9)
        (dx,) = gradients(y, dy, x)
        values = dict(x=x, y=y, dy=dy, dx=dx)
        tensors |= {f"max_pool2d.{kernel}_{stride}.{key}": value for key, value in values.items()}

    # The alpha of Krizhevsky et al. is 1e-4; PyTorch divides its own by the window.
    for channels in (3, 9):
        x = uniform(2, channels, 3, 2, scale=200).requires_grad_()
        y = F.local_response_norm(x, size=5, alpha=5e-4, beta=0.75, k=2.0)
        dy = uniform(*y.shape)
        (dx,) = gradients(y, dy, x)
        values = dict(x=x, y=y, dy=dy, dx=dx)
        tensors |= {f"lrn.{channels}.{key}": value for key, value in values.items()}

    save("operations", tensors)


# --- a small VGG-11 ---------------------------------------------------------------------------

WIDTH, CLASSES, FC_WIDTH, IMAGES, BATCH, STEPS = 0.05, 10, 32, 12, 8, 10
MEAN, STD = 0.2860, 0.3530
# The optimiser's settings are the same in float32 and float64.
LR, MOMENTUM, WEIGHT_DECAY = 2**-4, 0.875, 2**-8


def small_vgg11():
    """torchvision's VGG-11 with narrow layers, no dropout, and 1×32×32 inputs."""
    narrow = [c if c == "M" else round(c * WIDTH) for c in vgg.cfgs["A"]]
    model = vgg.VGG(vgg.make_layers(narrow), CLASSES, False)
    model.features[0] = torch.nn.Conv2d(1, narrow[0], 3, padding=1)
    model.avgpool = torch.nn.Identity()
    model.classifier = torch.nn.Sequential(
        torch.nn.Linear(narrow[-2], FC_WIDTH),
        torch.nn.ReLU(True),
        torch.nn.Dropout(0.0),
        torch.nn.Linear(FC_WIDTH, FC_WIDTH),
        torch.nn.ReLU(True),
        torch.nn.Dropout(0.0),
        torch.nn.Linear(FC_WIDTH, CLASSES),
    )
    for layer in model.modules():
        if isinstance(layer, (torch.nn.Conv2d, torch.nn.Linear)):
            torch.nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            torch.nn.init.uniform_(layer.bias, -0.1, 0.1)
    return model


SGD = {
    "plain": {},
    "momentum": dict(momentum=MOMENTUM),
    "nesterov": dict(momentum=MOMENTUM, nesterov=True, weight_decay=WEIGHT_DECAY),
    "weight_decay": dict(weight_decay=WEIGHT_DECAY),
}


def vgg11_run(dtype, initial, pixels, labels):
    """Logits, loss and gradients of one batch; losses and weights of training steps."""
    # As torchvision's ToTensor and Normalize compute it, whatever comes after.
    x = ((pixels.float() / 255.0 - MEAN) / STD).to(dtype)
    results = {}

    def fresh():
        model = small_vgg11().to(dtype)
        model.load_state_dict({name: value.to(dtype) for name, value in initial.items()})
        return model

    model = fresh()
    logits = model(x[:BATCH])
    loss = F.cross_entropy(logits, labels[:BATCH])
    loss.backward()
    results["logits"], results["loss"] = logits.detach(), loss.detach().reshape(1)
    for name, parameter in model.named_parameters():
        results[f"gradient.{name}"] = parameter.grad

    for run, settings in SGD.items():
        model = fresh()
        optimizer = torch.optim.SGD(model.parameters(), LR, **settings)
        losses = []
        for step in range(STEPS):
            # Every other batch is the short rest of the images.
            batch = slice(0, BATCH) if step % 2 == 0 else slice(BATCH, IMAGES)
            loss = F.cross_entropy(model(x[batch]), labels[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.detach())
        results[f"losses.{run}"] = torch.stack(losses)
        for name, parameter in model.named_parameters():
            results[f"final.{run}.{name}"] = parameter.detach()
    return results


def vgg11():
    torch.manual_seed(SEED)
    initial = {name: value.clone() for name, value in small_vgg11().state_dict().items()}
    pixels = torch.randint(0, 256, (IMAGES, 1, 32, 32), dtype=torch.uint8)
    labels = torch.randint(0, CLASSES, (IMAGES,))
    exact = vgg11_run(torch.float64, initial, pixels, labels)
    rounded = vgg11_run(torch.float32, initial, pixels, labels)

    # How far float32 strays, as a share of the largest number of the quantity.
    strays = {}
    for name, value in exact.items():
        kind = ".".join(name.split(".")[:2]) if "." in name else name
        kind = "gradient" if kind.startswith("gradient") else kind
        stray = ((rounded[name] - value).abs().max() / value.abs().max()).item()
        strays[kind] = max(strays.get(kind, 0.0), stray)

    # The final weights of one run are enough; the losses show the others.
    kept = {
        name: value
        for name, value in exact.items()
        if not name.startswith("final") or name.startswith("final.nesterov")
    }
    save(
        "vgg11",
        {"pixels": pixels, "labels": labels.to(torch.uint8)}
        | {f"initial.{name}": value for name, value in initial.items()}
        | kept,
        float32_strays=strays,
        settings=dict(
            width=WIDTH, classes=CLASSES, fc_width=FC_WIDTH, mean=MEAN, std=STD, batch=BATCH,
            lr=LR, momentum=MOMENTUM, weight_decay=WEIGHT_DECAY,
        ),
    )
    for run in SGD:
        print(f"  {run}:", " ".join(f"{loss:.4f}" for loss in exact[f"losses.{run}"]))
    print("  float32 strays by", {key: f"{value:.1e}" for key, value in strays.items()})


# What a step has besides the optimiser, of which each run has a part.
CLIP_NORM, AVERAGE_DECAY, SMOOTHING, FROZEN = 0.5, 0.75, 0.125, ("features.0", "classifier.3")
# Of classes; the last ones count most.
WEIGHTS = [(1 + class_) / 8 for class_ in range(CLASSES)]
RECIPES = [
    "parts", "clipped", "averaged", "smooth", "mixed", "frozen", "weighted", "weighted_smooth",
    "weighted_mixed", "groups",
]


def groups_of(model):
    """Own rates and penalties: all features but the last, and two layers of the classifier."""
    groups = {}
    for name, parameter in model.named_parameters():
        part, index, _ = name.split(".")
        factor, decay = {"classifier.0": (0.5, 0.25), "classifier.6": (1.0, 0.125)}.get(
            f"{part}.{index}", (0.125 if part == "features" and int(index) < 18 else 1.0, 0.0)
        )
        groups.setdefault((factor, decay), []).append(parameter)
    return [
        {"params": parameters, "lr": LR * factor, "weight_decay": decay}
        for (factor, decay), parameters in groups.items()
    ]


def recipe_run(run, dtype, initial, pixels, labels, others, shares):
    """Losses of training steps, and some weights after them."""
    x = ((pixels.float() / 255.0 - MEAN) / STD).to(dtype)
    model = small_vgg11().to(dtype)
    model.load_state_dict({name: value.to(dtype) for name, value in initial.items()})
    if run == "frozen":
        for name, parameter in model.named_parameters():
            parameter.requires_grad = not name.startswith(FROZEN)
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups = groups_of(model) if run == "groups" else parameters
    optimizer = torch.optim.SGD(groups, LR, momentum=MOMENTUM)
    decay = torch.optim.swa_utils.get_ema_multi_avg_fn(AVERAGE_DECAY)
    average = torch.optim.swa_utils.AveragedModel(model, multi_avg_fn=decay)
    average.update_parameters(model)  # its first call copies
    losses = []
    for step in range(STEPS):
        batch = slice(0, BATCH) if step % 2 == 0 else slice(BATCH, IMAGES)
        target, smoothing = labels[batch], SMOOTHING if run.endswith(("smooth", "mixed")) else 0.0
        if run.endswith("mixed"):
            own, other = F.one_hot(target, CLASSES), F.one_hot(others[batch], CLASSES)
            share = shares[batch].to(dtype)[:, None]
            target = (1 - share) * own + share * other
        optimizer.zero_grad()
        total = 0.0
        # Parts of four images: the short batch is one part alone.
        size = 4 if run == "parts" else BATCH
        inputs = x[batch]
        for part, of_part in zip(inputs.split(size), target.split(size)):
            weight = torch.tensor(WEIGHTS, dtype=dtype) if run.startswith("weighted") else None
            loss = F.cross_entropy(model(part), of_part, weight=weight, label_smoothing=smoothing)
            share_of_batch = len(part) / len(inputs)
            (loss * share_of_batch).backward()
            total += loss.detach() * share_of_batch
        if run == "clipped":
            torch.nn.utils.clip_grad_norm_(parameters, CLIP_NORM)
        optimizer.step()
        average.update_parameters(model)
        losses.append(total)
    results = {f"losses.{run}": torch.stack(losses)}
    trained = average.module if run == "averaged" else model
    for name, parameter in trained.named_parameters():
        if name.endswith("bias"):
            results[f"final.{run}.{name}"] = parameter.detach()
    return results


def recipes():
    with safe_open(HERE / "vgg11.safetensors", "pt") as golden:
        tensor = golden.get_tensor
        initial = {name: tensor(f"initial.{name}") for name in small_vgg11().state_dict()}
        pixels, labels = tensor("pixels"), tensor("labels").long()
    torch.manual_seed(SEED)
    others, shares = torch.randint(0, CLASSES, (IMAGES,)), torch.rand(IMAGES) / 2
    kept, strays = {}, {}
    for run in RECIPES:
        settings = (initial, pixels, labels, others, shares)
        exact = recipe_run(run, torch.float64, *settings)
        rounded = recipe_run(run, torch.float32, *settings)
        stray = lambda name: (rounded[name] - exact[name]).abs().max() / exact[name].abs().max()
        strays[run] = max(stray(name).item() for name in exact)
        kept |= exact
        print(f"  {run}:", " ".join(f"{loss:.4f}" for loss in exact[f"losses.{run}"]))
    save("recipes", kept | {"others": others.to(torch.uint8), "shares": shares}, float32_strays=strays)
    print("  float32 strays by", {key: f"{value:.1e}" for key, value in strays.items()})


# --- a whole step of VGG-11 at the width it is used with --------------------------------------

# Of each parameter's gradient, these many numbers are kept.
SAMPLES = 512
# The gradient jumps where a ReLU or a max-pool decides otherwise, and of millions of decisions
# some are so near that rounding takes them. So a filter (a row of a layer's weight, with its bias)
# with an output that is nearer to another decision than this share of the layer's root mean square
# is replaced by another one.
MARGIN = 2e-5


def mix(x):
    """A hash of uint32: the finaliser of MurmurHash3 (Appleby 2011)."""
    x = (x ^ (x >> np.uint32(16))) * np.uint32(0x85EBCA6B)
    x = (x ^ (x >> np.uint32(13))) * np.uint32(0xC2B2AE35)
    return x ^ (x >> np.uint32(16))


def hashed(stream, first, n):
    """Numbers `first` to `first + n` of a stream, as uint32."""
    return mix(mix(np.arange(first, first + n, dtype=np.uint32)) + np.uint32(stream))


def filters(parameter, dims, salts, rows):
    """Some rows of a parameter, uniform within Kaiming's bound, or ±0.1 for vectors; another salt
    gives a row other numbers.

    129 million numbers are too many to store, but the test can compute them as well.
    """
    length = math.prod(dims[1:])
    bound = 0.1 if len(dims) == 1 else math.sqrt(6 / length)
    values = np.empty((len(rows), length), np.float32)
    for value, row in zip(values, rows):
        bits = hashed(parameter + 256 * int(salts[row]), int(row) * length, length)
        value[:] = bound * ((bits.astype(np.float64) + 0.5) / 2.0**31 - 1.0)
    return torch.from_numpy(values.reshape(len(rows), *dims[1:])).double()


def fill(model):
    """Gives each parameter of a network numbers that the test computes as well."""
    scales = {name for name, module in model.named_modules() if isinstance(module, nn.BatchNorm2d)}
    with torch.no_grad():
        for i, (name, parameter) in enumerate(model.named_parameters()):
            rows = np.arange(parameter.shape[0])
            salts = np.zeros(len(rows), np.uint8)
            parameter.copy_(filters(i, tuple(parameter.shape), salts, rows))
            if name.removesuffix(".weight") in scales:
                parameter += 1
    return model


def stages(model):
    """Of each layer that multiplies: its name, itself, and the modules up to the next one."""
    found = []
    for name, module in model.named_modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            found.append((name, module, []))
        elif found and not list(module.children()):
            found[-1][2].append(module)
    return found


def largest_two(z, pool):
    """The largest two numbers of each window."""
    size, stride = pool.kernel_size, pool.stride
    h, w = ((side - size) // stride + 1 for side in z.shape[2:])
    first = second = torch.full((), -math.inf, dtype=z.dtype)
    for i, j in itertools.product(range(size), repeat=2):
        x = z[:, :, i : i + stride * h : stride, j : j + stride * w : stride][:, :, :h, :w]
        second = torch.maximum(second, torch.minimum(first, x))
        first = torch.maximum(first, x)
    return first, second


def nearest_decisions(z, pool):
    """For each channel of `z`, how near it comes to another decision of ReLU or the max-pool."""
    gaps = z.abs()
    if pool is not None:
        first, second = largest_two(z, pool)
        # Which one is the largest does not matter where ReLU lets none through.
        gaps = torch.minimum(first.abs(), torch.where(first > 0, first - second, first.abs()))
    return gaps.transpose(0, 1).flatten(1).amin(1)


def sums(layer, x, rows):
    """What some of a layer's filters give."""
    if isinstance(layer, nn.Linear):
        return F.linear(x, layer.weight[rows], layer.bias[rows])
    return F.conv2d(x, layer.weight[rows], layer.bias[rows], layer.stride, layer.padding)


@torch.no_grad()
def far_from_decisions(model, x, margin_of=lambda z: MARGIN):
    """Replaces filters of a network until none of its decisions on `x` is a near one: nearer than a
    layer's margin, as a share of its root mean square. Returns the salts of each layer's."""
    salts = {}
    index = {name: i for i, (name, _) in enumerate(model.named_parameters())}
    for name, layer, following in stages(model):
        of = lambda kind: next((module for module in following if isinstance(module, kind)), None)
        norm, pool, lrn = of(nn.BatchNorm2d), of(nn.MaxPool2d), of(nn.LocalResponseNorm)
        x = x.flatten(1) if isinstance(layer, nn.Linear) else x
        everyone = rows = np.arange(len(layer.weight))
        salt = salts[f"salts.{name}"] = np.zeros(len(rows), np.uint8)
        # The first sums are nearly exact; and as neighbours must agree, more is hardly to be had.
        z, rms = None, None
        while len(rows) > 0 and of(nn.ReLU):
            for kind, parameter in layer.named_parameters():
                numbers = filters(index[f"{name}.{kind}"], tuple(parameter.shape), salt, rows)
                parameter[rows] = numbers.to(parameter.dtype)
            part = sums(layer, x, rows)
            if norm:
                scale, shift = norm.weight[rows], norm.bias[rows]
                part = F.batch_norm(part, None, None, scale, shift, True, eps=norm.eps)
            if lrn:
                # A filter has a part in its neighbours' numbers.
                z = part if z is None else z.index_copy(1, torch.from_numpy(rows), part)
                part, rows = torch.where(z > 0, lrn(z.relu()), z), everyone
            if rms is None:
                margin = MARGIN / 20 if lrn else margin_of(part)
                rms = part.square().mean().sqrt()
            rows = rows[(nearest_decisions(part, pool) < margin * rms).numpy()]
            salt[rows] += 1
        x = nn.Sequential(layer, *following)(x)
    return salts


def sample(gradient, samples=SAMPLES):
    """Numbers from all over a gradient."""
    numbers = gradient.flatten()
    if len(numbers) <= samples:
        return numbers
    places = mix(np.arange(samples, dtype=np.uint32)) % np.uint32(len(numbers))
    return numbers[torch.from_numpy(places.astype(np.int64))]


def whole_steps():
    """VGG-11 on 1×224×224, small and full: loss and gradient of two images of noise."""
    pixels = (hashed(255, 0, 2 * 224 * 224) >> np.uint32(24)).astype(np.uint8)
    x = torch.from_numpy(pixels.reshape(2, 1, 224, 224)).float() / 255.0
    labels = torch.tensor([3, 7])
    tensors, strays, replaced = {"labels": labels.to(torch.uint8)}, {}, {}
    for name, width in [("small", 0.25), ("full", 1.0)]:
        model = fill(vgg_net("A", width, 1, None, 4096, CLASSES, 224, 224)).double()
        salts = far_from_decisions(model, x.double())
        logits, gradients = net_step(model, x.double(), labels)
        tensors[f"{name}.loss"] = F.cross_entropy(logits, labels).reshape(1)
        tensors |= {f"{name}.{key}": value for key, value in salts.items()}
        tensors |= {f"{name}.norm.{key}": g.norm().reshape(1) for key, g in gradients.items()}
        tensors |= {f"{name}.sample.{key}": sample(g) for key, g in gradients.items()}

        _, rounded = net_step(model.float(), x, labels)
        stray = lambda key, g: ((rounded[key].double() - g).norm() / g.norm()).item()
        strays[name] = max(stray(key, g) for key, g in gradients.items())
        replaced[name] = sum(np.count_nonzero(salt) for salt in salts.values())
    save("whole_step", tensors, float32_strays=strays)
    print("  filters replaced:", replaced)
    print("  float32 strays by", {key: f"{value:.1e}" for key, value in strays.items()})


# --- every network ----------------------------------------------------------------------------

# The columns of the paper's table that torchvision does not have: 1 is a 1×1 convolution into as
# many channels as before, "L" a local response normalisation.
COLUMNS = vgg.cfgs | {
    "A-LRN": [64, "L", *vgg.cfgs["A"][1:]],
    "C": [64, 64, "M", 128, 128, "M", 256, 256, 1, "M", 512, 512, 1, "M", 512, 512, 1, "M"],
}

# Of each network: what it is, its width, its input, the side of its average pool, the width of its
# hidden fully connected layers, its classes, and the images.
NETS = {
    "vgg11": ("A", 0.05, (1, 224, 224), None, 32, 10, 1),
    "vgg11-lrn": ("A-LRN", 0.05, (1, 64, 96), None, 32, 10, 2),
    "vgg13": ("B", 0.05, (1, 96, 64), 7, 32, 10, 2),
    "vgg16-c": ("C", 0.05, (1, 64, 64), None, 32, 10, 2),
    "vgg16": ("D", 0.05, (1, 160, 96), 7, 32, 10, 2),
    "vgg19": ("E", 0.05, (3, 64, 64), None, 32, 10, 2),
    "alexnet": (None, 0.1, (1, 99, 83), None, 32, 10, 2),
    "lenet": (None, 1.0, (1, 28, 28), None, None, 10, 3),
}
# Of each gradient, fewer than above: there are many more.
NET_SAMPLES = 64


def vgg_net(column, width, channels, side, fc_width, classes, h, w, batch_norm=False):
    """torchvision's network, with narrow layers, for an input of any size and number of channels,
    without dropout."""
    modules, c_in = [], channels
    for entry in COLUMNS[column]:
        if entry == "M":
            modules.append(nn.MaxPool2d(2))
        elif entry == "L":
            # Before this entry stands a convolution with its ReLU.
            modules.append(nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2.0))
        else:
            c_out, kernel = (c_in, 1) if entry == 1 else (round(entry * width), 3)
            modules.append(nn.Conv2d(c_in, c_out, kernel, padding=kernel // 2))
            modules += [nn.BatchNorm2d(c_out), nn.ReLU()] if batch_norm else [nn.ReLU()]
            c_in = c_out
    model = vgg.VGG(nn.Sequential(*modules), classes, False, dropout=0.0)
    if side is None:
        model.avgpool, area = nn.Identity(), (h // 32) * (w // 32)
    else:
        model.avgpool, area = nn.AdaptiveAvgPool2d((side, side)), side * side
    model.classifier[0] = nn.Linear(c_in * area, fc_width)
    model.classifier[3] = nn.Linear(fc_width, fc_width)
    model.classifier[6] = nn.Linear(fc_width, classes)
    return model


class Book(torch.nn.Module):
    """A network of Dive into Deep Learning, whose layers are in `net`."""

    def __init__(self, *modules):
        super().__init__()
        self.net = torch.nn.Sequential(*modules)

    def forward(self, x):
        return self.net(x)


def alexnet(width, channels, fc_width, classes):
    c = [round(c * width) for c in (96, 256, 384, 384, 256)]
    return Book(
        nn.Conv2d(channels, c[0], 11, stride=4, padding=1), nn.ReLU(), nn.MaxPool2d(3, 2),
        nn.Conv2d(c[0], c[1], 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2),
        nn.Conv2d(c[1], c[2], 3, padding=1), nn.ReLU(),
        nn.Conv2d(c[2], c[3], 3, padding=1), nn.ReLU(),
        nn.Conv2d(c[3], c[4], 3, padding=1), nn.ReLU(), nn.MaxPool2d(3, 2), nn.Flatten(),
        nn.LazyLinear(fc_width), nn.ReLU(), nn.Dropout(0.0),
        nn.Linear(fc_width, fc_width), nn.ReLU(), nn.Dropout(0.0),
        nn.Linear(fc_width, classes),
    )


def lenet(channels, classes):
    return Book(
        nn.Conv2d(channels, 6, 5, padding=2), nn.Sigmoid(), nn.AvgPool2d(2, 2),
        nn.Conv2d(6, 16, 5), nn.Sigmoid(), nn.AvgPool2d(2, 2), nn.Flatten(),
        nn.LazyLinear(120), nn.Sigmoid(), nn.Linear(120, 84), nn.Sigmoid(), nn.Linear(84, classes),
    )


def net(arch, column, width, shape, side, fc_width, classes, batch_norm=False):
    """A network of any kind, in float64, with parameters that the test computes as well."""
    if arch == "alexnet":
        model = alexnet(width, shape[0], fc_width, classes)
    elif arch == "lenet":
        model = lenet(shape[0], classes)
    else:
        model = vgg_net(column, width, shape[0], side, fc_width, classes, *shape[1:], batch_norm)
    model.eval()(torch.zeros(1, *shape))  # for what is lazy
    return fill(model).double()


def images(n, shape, std):
    """Pixels of noise, normalised."""
    pixels = (hashed(255, 0, n * math.prod(shape)) >> np.uint32(24)).astype(np.uint8)
    return (torch.from_numpy(pixels.reshape(n, *shape)).float() / 255.0 - 0.5) / std


def net_step(model, x, target, loss_of=F.cross_entropy):
    """Logits, and the parameters' gradients of the mean loss."""
    logits = model(x)
    loss = loss_of(logits, target)
    names, parameters = zip(*model.named_parameters())
    return logits.detach(), dict(zip(names, torch.autograd.grad(loss, parameters)))


def every_net():
    """Logits and gradients of each network: of the gradients, norms and some numbers."""
    tensors, strays = {}, {}
    for name, (column, width, shape, side, fc_width, classes, n) in NETS.items():
        # Inputs that are large enough for the normalisation to matter.
        x = images(n, shape, 0.02 if name == "vgg11-lrn" else 1.0)
        labels = torch.arange(3, 3 + n) % classes
        model = net(name, column, width, shape, side, fc_width, classes)
        logits, gradients = net_step(model, x.double(), labels)
        tensors[f"{name}.logits"] = logits
        for key, gradient in gradients.items():
            tensors[f"{name}.norm.{key}"] = gradient.norm().reshape(1)
            tensors[f"{name}.sample.{key}"] = sample(gradient, NET_SAMPLES)

        rounded_logits, rounded = net_step(model.float(), x, labels)
        stray = lambda key, g: ((rounded[key].double() - g).norm() / g.norm()).item()
        strays[name] = {
            "logits": ((rounded_logits - logits).abs().max() / logits.abs().max()).item(),
            "gradient": max(stray(key, g) for key, g in gradients.items()),
        }
    save("nets", tensors, float32_strays=strays)
    for name, stray in strays.items():
        print(f"  {name}: float32 strays by", {key: f"{value:.1e}" for key, value in stray.items()})


# --- batch normalisation ----------------------------------------------------------------------


def normed_run(dtype):
    """Evaluation, a training step, more of them, evaluation."""
    # This stream of pixels brings no decision of ReLU or max-pool near another one.
    shape, n, steps = (1, 64, 96), 4, 4
    model = fill(vgg_net("A", 0.05, 1, None, 32, 10, *shape[1:], batch_norm=True)).to(dtype)
    pixels = (hashed(254, 0, steps * n * math.prod(shape)) >> np.uint32(24)).astype(np.uint8)
    x = (torch.from_numpy(pixels.reshape(steps, n, *shape)).float() / 255.0 - 0.5).to(dtype)
    labels = torch.arange(3, 3 + n)
    sgd = torch.optim.SGD(model.parameters(), lr=1 / 64, momentum=0.875, weight_decay=1 / 256)
    tensors, losses = {"logits.0": model.eval()(x[0]).detach()}, []

    def keep(when):
        for name, value in model.named_buffers():
            if value.dim() > 0:
                tensors[f"state.{when}.{name}"] = value.clone()

    model.train()
    for step in range(steps):
        sgd.zero_grad()
        loss = F.cross_entropy(model(x[step]), labels)
        loss.backward()
        if step == 0:
            for name, parameter in model.named_parameters():
                gradient = parameter.grad.clone()
                tensors[f"norm.{name}"] = gradient.norm().reshape(1)
                tensors[f"sample.{name}"] = sample(gradient, NET_SAMPLES)
            keep(1)
        sgd.step()
        losses.append(loss.detach())
    keep(steps)
    tensors["losses"] = torch.stack(losses)
    tensors[f"logits.{steps}"] = model.eval()(x[0]).detach()
    return tensors


def batch_norm():
    exact, rounded = normed_run(torch.float64), normed_run(torch.float32)
    strays = {}
    for key, value in exact.items():
        stray = ((rounded[key].double() - value).norm() / value.norm()).item()
        # A bias before a normalisation has no effect: its gradient is nothing but rounding.
        if value.abs().max() > 1e-12:
            kind = key.split(".")[0]
            strays[kind] = max(stray, strays.get(kind, 0.0))
    save("batch_norm", exact, float32_strays=strays)
    print("  float32 strays by", {key: f"{value:.1e}" for key, value in strays.items()})


# --- Grad-CAM ---------------------------------------------------------------------------------


def running_statistics(model):
    """Gives batch normalisations statistics that the test computes as well."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            channels = torch.arange(module.num_features, dtype=torch.float64)
            module.running_mean = (channels % 5 - 2) / 16
            module.running_var = 1 + channels % 3 / 8


def activation_of_last_convolution(model):
    """The module that gives the maps which Grad-CAM explains."""
    modules = list(model.modules())
    last = max(i for i, module in enumerate(modules) if isinstance(module, nn.Conv2d))
    return next(m for m in modules[last:] if isinstance(m, (nn.ReLU, nn.Sigmoid)))


def heatmaps(model, x):
    """Grad-CAM (Selvaraju et al. 2017, equations 1 and 2) of each image for each class."""
    kept = []
    hook = activation_of_last_convolution(model).register_forward_hook(
        lambda module, inputs, output: kept.append(output)
    )
    logits = model(x)
    hook.remove()
    (maps,) = kept
    per_class = []
    for column in logits.sum(0):
        (gradient,) = torch.autograd.grad(column, maps, retain_graph=True)
        alpha = gradient.mean((2, 3), keepdim=True)
        per_class.append(F.relu((alpha * maps).sum(1)).detach())
    return torch.stack(per_class, 1)


def grad_cam():
    """Of each network and image, the class with the strongest map, and that map."""
    nets = {name: (*net, False) for name, net in NETS.items()}
    nets["vgg11-bn"] = (*NETS["vgg11"][:2], (1, 64, 96), *NETS["vgg11"][3:-1], 2, True)
    tensors, strays = {}, {}
    for name, (column, width, shape, side, fc_width, classes, n, batch_norm) in nets.items():
        x = images(n, shape, 0.02 if name == "vgg11-lrn" else 1.0)
        model = net(name, column, width, shape, side, fc_width, classes, batch_norm)
        running_statistics(model)
        every, each = heatmaps(model.eval(), x.double()), torch.arange(n)
        strongest = every.flatten(2).amax(2).argmax(1)
        tensors[f"{name}.classes"] = strongest.to(torch.uint8)
        tensors[f"{name}.maps"] = every[each, strongest]
        rounded = heatmaps(model.float(), x)[each, strongest].double()
        exact = tensors[f"{name}.maps"]
        strays[name] = ((rounded - exact).abs().max() / exact.max()).item()
    save("grad_cam", tensors, float32_strays=strays)
    print("  float32 strays by", {key: f"{value:.1e}" for key, value in strays.items()})


# --- learning rates ---------------------------------------------------------------------------


def schedules():
    """The learning rate of each step: 5 steps an epoch, 8 epochs, from 0.4."""
    base, steps_per_epoch, epochs, warmup = 0.4, 5, 8, 6
    steps = steps_per_epoch * epochs

    def rates(schedule, per_epoch):
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], base)
        scheduler = schedule(optimizer)
        lrs = []
        for step in range(steps):
            lrs.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            if not per_epoch or (step + 1) % steps_per_epoch == 0:
                scheduler.step()
        return np.array(lrs)

    lr = torch.optim.lr_scheduler
    cosine = lambda optimizer: lr.SequentialLR(
        optimizer,
        [
            lr.LinearLR(optimizer, start_factor=1 / warmup, total_iters=warmup - 1),
            lr.CosineAnnealingLR(optimizer, T_max=steps - warmup, eta_min=0.01),
        ],
        milestones=[warmup],
    )
    step = lambda optimizer: lr.StepLR(optimizer, step_size=3, gamma=0.1)
    one_cycle = lambda optimizer: lr.OneCycleLR(
        optimizer, max_lr=base, total_steps=steps, pct_start=0.3, cycle_momentum=False
    )
    save(
        "schedules",
        {
            "step": rates(step, True),
            "warmup_cosine": rates(cosine, False),
            "one_cycle": rates(one_cycle, False),
        },
    )


# --- resizing ---------------------------------------------------------------------------------

# SHA-256 of the first training image of Fashion-MNIST, enlarged to 224×224.
ENLARGED_SHA256 = "60022c40790b0dcf948706584eac69e899b850bedd50ff9bf1027e815a8e374f"


def resize(images, h, w):
    """Pillow's bilinear resize of `[n, c, h, w]` bytes, channel by channel."""
    planes = [Image.fromarray(plane).resize((w, h), Image.BILINEAR) for image in images for plane in image]
    return np.stack([np.asarray(plane) for plane in planes]).reshape(*images.shape[:2], h, w)


def resizes():
    random = np.random.default_rng(SEED)
    with gzip.open(SAMPLE / "train-images-idx3-ubyte.gz") as file:
        fashion = np.frombuffer(file.read(16 + 2 * 784), np.uint8)[16:].reshape(2, 1, 28, 28)
    noise = random.integers(0, 256, (1, 3, 37, 53), dtype=np.uint8)
    # Black and white, where rounding shows.
    checks = (random.integers(0, 2, (2, 1, 9, 7)) * 255).astype(np.uint8)
    # Which pass comes first shows in the bytes. It used to be the horizontal one. Pillow 13, going by
    # what it writes, takes the vertical one where rows go, and more than twice as many as columns.
    # At these sizes both agree.
    sizes = {
        "fashion": (fashion, [(224, 224), (96, 96), (32, 32), (14, 14), (28, 64)]),
        "noise": (noise, [(56, 64), (20, 17), (37, 9), (1, 1), (53, 37)]),
        "checks": (checks, [(9, 7), (32, 32), (18, 7), (7, 4), (63, 5)]),
    }
    tensors = {}
    for name, (images, targets) in sizes.items():
        tensors[f"{name}.source"] = images
        for h, w in targets:
            rows, columns = images.shape[2] - h, images.shape[3] - w
            assert rows <= max(0, 2 * columns), "another pass may come first"
            tensors[f"{name}.{h}x{w}"] = resize(images, h, w)
    enlarged = tensors["fashion.224x224"][0]
    assert hashlib.sha256(enlarged.tobytes()).hexdigest() == ENLARGED_SHA256
    tensors["fashion.224x224"] = enlarged[None]  # one is large enough
    save("resize", tensors)


if __name__ == "__main__":
    torch.use_deterministic_algorithms(True)
    torch.set_num_threads(1)
    operations()
    vgg11()
    recipes()
    whole_steps()
    every_net()
    batch_norm()
    grad_cam()
    schedules()
    resizes()
