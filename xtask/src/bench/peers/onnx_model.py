"""Writes the network with random weights as an ONNX model, for peers/onnxruntime.py and peers/openvino.py."""

import json
import sys

import numpy as np
import onnx
from onnx import helper, numpy_helper

request = json.loads(sys.argv[1])
random = np.random.default_rng(0)
nodes, parameters = [], []


def node(kind, inputs, **attributes):
    """Appends an operator; returns the name of its output."""
    name = f"{kind}_{len(nodes)}"
    nodes.append(helper.make_node(kind, inputs, [name], **attributes))
    return name


def parameter(*shape, of=np.positive):
    """Adds a parameter with the variance of Xavier's initial values; returns its name."""
    values = random.standard_normal(shape, dtype=np.float32) / np.sqrt(max(1, np.prod(shape[1:])))
    values = of(values)
    name = f"parameter_{len(parameters)}"
    parameters.append(numpy_helper.from_array(values.astype(np.float32), name))
    return name


c, h, w = request["input"]
x, features = "images", None
for layer in request["layers"]:
    kind = layer["kind"]
    if kind == "conv2d":
        side, stride, pad = layer["kernel"], layer["stride"], layer["padding"]
        weights = [parameter(layer["c_out"], layer["c_in"], side, side), parameter(layer["c_out"])]
        window = {"kernel_shape": [side, side], "strides": [stride, stride]}
        x = node("Conv", [x, *weights], pads=[pad] * 4, **window)
        if layer["relu"]:
            x = node("Relu", [x])
        c = layer["c_out"]
        h, w = ((length + 2 * pad - side) // stride + 1 for length in (h, w))
    elif kind == "batch_norm2d":
        # A variance is positive.
        x = node("BatchNormalization", [x, *(parameter(c, of=np.abs) for _ in range(4))])
        x = node("Relu", [x])
    elif kind == "lrn":
        # The alpha of Krizhevsky et al. is 1e-4; ONNX divides its own by the window.
        x = node("LRN", [x], size=5, alpha=5e-4, beta=0.75, bias=2.0)
    elif kind == "max_pool2d":
        side, stride = layer["kernel"], layer["stride"]
        x = node("MaxPool", [x], kernel_shape=[side, side], strides=[stride, stride])
        h, w = ((length - side) // stride + 1 for length in (h, w))
    elif kind == "avg_pool2d" and h % layer["h"] == 0 and w % layer["w"] == 0:
        window = [h // layer["h"], w // layer["w"]]
        x = node("AveragePool", [x], kernel_shape=window, strides=window)
        h, w = layer["h"], layer["w"]
    elif kind == "sigmoid":
        x = node("Sigmoid", [x])
    elif kind == "linear":
        if features is None:
            x = node("Flatten", [x], axis=1)
            features = c * h * w
        weights = [parameter(layer["out_features"], features), parameter(layer["out_features"])]
        x = node("Gemm", [x, *weights], transB=1)
        features = layer["out_features"]
        if layer["relu"]:
            x = node("Relu", [x])
    elif kind != "dropout":  # which does nothing in inference
        raise ValueError(f"unknown layer {layer}")

batch = request["batch"]
images = helper.make_tensor_value_info("images", onnx.TensorProto.FLOAT, [batch, *request["input"]])
logits = helper.make_tensor_value_info(x, onnx.TensorProto.FLOAT, [batch, request["classes"]])
graph = helper.make_graph(nodes, "network", [images], [logits], parameters)
# Versions that every ONNX Runtime of the last years reads.
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
onnx.checker.check_model(model)
onnx.save(model, request["model"])
