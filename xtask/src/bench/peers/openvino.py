"""OpenVINO: inference of the model that peers/onnx_model.py wrote."""

import numpy as np
import openvino

config = {
    "INFERENCE_NUM_THREADS": request["threads"],
    "INFERENCE_PRECISION_HINT": request["precision"],
    "PERFORMANCE_HINT": "LATENCY",
}
run = openvino.Core().compile_model(request["model"], "CPU", config).create_infer_request()
shape = (request["batch"], *request["input"])
images = np.random.default_rng(1).random(shape, dtype=np.float32)
version = openvino.__version__.split("-")[0]
report(f"OpenVINO {version}, {request['precision']}", lambda: run.infer([images]))
