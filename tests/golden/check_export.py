"""Checks what `vgg-train export` writes, with torchvision, ONNX's checker and ONNX Runtime.

    pip install torch torchvision safetensors onnx onnxruntime
    python check_export.py NETWORK.onnx WEIGHTS.safetensors

Both files are exports of one run. The weights must load into torchvision's network, and its logits
must be those of the ONNX model to 1e-4 of the largest, for several sizes of the batch.
"""

import json
import sys

import numpy as np
import onnx
import onnxruntime
import torch
from safetensors.torch import load_file
from torchvision.models import vgg

CONFIGURATIONS = {8: "A", 10: "B", 13: "D", 16: "E"}


def torchvision_network(state, side):
    """torchvision's network with the weights' own widths."""
    convs = [value for value in state.values() if value.ndim == 4]
    batch_norm = any(key.endswith("running_mean") for key in state)
    widths = iter(conv.shape[0] for conv in convs)
    layers = [c if c == "M" else next(widths) for c in vgg.cfgs[CONFIGURATIONS[len(convs)]]]
    network = vgg.VGG(vgg.make_layers(layers, batch_norm), init_weights=False)
    network.features[0] = torch.nn.Conv2d(convs[0].shape[1], layers[0], 3, padding=1)
    network.avgpool = torch.nn.Identity()
    for index in (0, 3, 6):
        outputs, inputs = state[f"classifier.{index}.weight"].shape
        network.classifier[index] = torch.nn.Linear(inputs, outputs)
    network.load_state_dict(state, strict=True)
    return network.eval()


def main(model_file, weights_file):
    onnx.checker.check_model(model_file, full_check=True)
    session = onnxruntime.InferenceSession(model_file, providers=["CPUExecutionProvider"])
    (x,), (y,) = session.get_inputs(), session.get_outputs()
    assert (x.name, y.name, x.shape[0], y.shape[0]) == ("input", "logits", "batch", "batch")
    metadata = session.get_modelmeta().custom_metadata_map
    mean, std = (np.array(json.loads(metadata[key]), np.float32) for key in ("mean", "std"))
    network = torchvision_network(load_file(weights_file), x.shape[2])
    generator = np.random.default_rng(1)
    for batch in (1, 2, 5):
        pixels = generator.integers(0, 256, (batch, *x.shape[1:])).astype(np.float32) / 255
        images = (pixels - mean.reshape(1, -1, 1, 1)) / std.reshape(1, -1, 1, 1)
        (logits,) = session.run(["logits"], {"input": images})
        with torch.no_grad():
            expected = network(torch.from_numpy(images)).numpy()
        error = np.abs(logits - expected).max() / np.abs(expected).max()
        print(f"batch {batch}: largest difference {error:.1e} of the largest logit")
        assert logits.shape == expected.shape and error < 1e-4


if __name__ == "__main__":
    main(*sys.argv[1:])
