"""PyTorch in channels_last: training steps, or inference."""

import sys

import torch
import torch._inductor.config
from torch import nn


def network():
    c, h, w = request["input"]
    modules, features = [], None
    for layer in request["layers"]:
        kind = layer["kind"]
        if kind == "conv2d":
            size, stride, padding = layer["kernel"], layer["stride"], layer["padding"]
            modules.append(nn.Conv2d(layer["c_in"], layer["c_out"], size, stride, padding))
            if layer["relu"]:
                modules.append(nn.ReLU())
            c = layer["c_out"]
            h, w = ((side + 2 * padding - size) // stride + 1 for side in (h, w))
        elif kind == "batch_norm2d":
            modules += [nn.BatchNorm2d(c), nn.ReLU()]
        elif kind == "lrn":
            # The alpha of Krizhevsky et al. is 1e-4; PyTorch divides its own by the window.
            modules.append(nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2.0))
        elif kind == "max_pool2d":
            size, stride = layer["kernel"], layer["stride"]
            modules.append(nn.MaxPool2d(size, stride))
            h, w = ((side - size) // stride + 1 for side in (h, w))
        elif kind == "avg_pool2d":
            h, w = layer["h"], layer["w"]
            modules.append(nn.AdaptiveAvgPool2d((h, w)))
        elif kind == "sigmoid":
            modules.append(nn.Sigmoid())
        elif kind == "linear":
            if features is None:
                modules.append(nn.Flatten())
                features = c * h * w
            modules.append(nn.Linear(features, layer["out_features"]))
            features = layer["out_features"]
            if layer["relu"]:
                modules.append(nn.ReLU())
        elif kind == "dropout":
            modules.append(nn.Dropout(layer["p"]))
        else:
            raise ValueError(f"unknown layer {layer}")
    return nn.Sequential(*modules)


torch.set_num_threads(request["threads"])
torch.manual_seed(0)
device = torch.device(request["device"])
on_gpu = device.type == "cuda"
if on_gpu and not torch.cuda.is_available():
    sys.exit(f"PyTorch {torch.__version__} finds no GPU")
precision = request["precision"]
half = {"bf16": torch.bfloat16, "f16": torch.float16}.get(precision)
torch.backends.cudnn.benchmark = True
torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"

net = network().to(device, memory_format=torch.channels_last)
images = torch.rand(request["batch"], *request["input"])
images = images.to(device, memory_format=torch.channels_last)
labels = torch.randint(0, request["classes"], (request["batch"],), device=device)
loss_of = nn.CrossEntropyLoss()
if request["frozen"]:
    for module in net[: next(i for i, module in enumerate(net) if isinstance(module, nn.Flatten))]:
        module.requires_grad_(False)
sgd = torch.optim.SGD((p for p in net.parameters() if p.requires_grad), lr=0.05)
scaler = torch.amp.GradScaler(device.type, enabled=precision == "f16")
net.train(request["train"])
if half is not None and not request["train"]:
    # Autocast would convert the weights at each step.
    net, images = net.to(half), images.to(half)
if request["compile"]:
    # Whole graphs are replayed, as ours are; on a CPU inference takes weights as constants.
    torch._inductor.config.freezing = not request["train"] and not on_gpu
    run = torch.compile(net, mode="reduce-overhead")
else:
    run = net


def forward():
    autocast = half is not None and request["train"]
    with torch.autocast(device.type, dtype=half, enabled=autocast):
        return run(images)


def train():
    losses = []
    for _ in range(request["ahead"]):
        sgd.zero_grad()
        loss = loss_of(forward().float(), labels)
        scaler.scale(loss).backward()
        scaler.step(sgd)
        scaler.update()
        losses.append(loss.detach())
    return [loss.item() for loss in losses]


def infer():
    with torch.inference_mode():
        return forward().float().cpu()


how = [precision, "compiled" if request["compile"] else "eager"]
name = f"PyTorch {torch.__version__}, {' '.join(how)}"
memory = torch.cuda.max_memory_reserved if on_gpu else peak_bytes
if request["train"]:
    report(name, train, request["ahead"], memory)
else:
    report(name, infer, peak_bytes=memory)
