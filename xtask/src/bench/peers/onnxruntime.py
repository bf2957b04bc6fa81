"""ONNX Runtime: inference of the model that peers/onnx_model.py wrote."""

import numpy as np
import onnxruntime

options = onnxruntime.SessionOptions()
options.intra_op_num_threads = request["threads"]
session = onnxruntime.InferenceSession(
    request["model"], options, providers=["CPUExecutionProvider"]
)
shape = (request["batch"], *request["input"])
images = {"images": np.random.default_rng(1).random(shape, dtype=np.float32)}
report(f"ONNX Runtime {onnxruntime.__version__}, f32", lambda: session.run(None, images))
