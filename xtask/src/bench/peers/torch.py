"""PyTorch in channels_last: a training step, or inference."""

import torch
from torch import nn


def network():
    c, h, w = request["input"]
    modules, features = [], None
    for layer in request["layers"]:
        kind = layer["kind"]
        if kind == "conv2d":
            size = layer["kernel"], layer["padding"]
            modules += [nn.Conv2d(layer["c_in"], layer["c_out"], size[0], padding=size[1]), nn.ReLU()]
            c = layer["c_out"]
        elif kind == "max_pool2d":
            modules.append(nn.MaxPool2d(2))
            h, w = h // 2, w // 2
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
net = network().to(memory_format=torch.channels_last)
images = torch.rand(request["batch"], *request["input"])
images = images.to(memory_format=torch.channels_last)
labels = torch.randint(0, request["classes"], (request["batch"],))
loss_of = nn.CrossEntropyLoss()
sgd = torch.optim.SGD(net.parameters(), lr=0.05)


def train():
    sgd.zero_grad()
    loss = loss_of(net(images), labels)
    loss.backward()
    sgd.step()
    return loss.item()


def infer():
    with torch.inference_mode():
        return net(images)


net.train(request["train"])
report(f"PyTorch {torch.__version__}", train if request["train"] else infer)
