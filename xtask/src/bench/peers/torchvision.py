"""How fast torchvision makes batches of image files: `ImageFolder` and `DataLoader`, as people use them.

The argument is a JSON object: the folder with a folder a class, images a batch, workers, seconds.
"""

import json
import random
import sys
import time

import torch
import torchvision
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional

request = json.loads(sys.argv[1])


class Scaled(torch.nn.Module):
    """A short side that is drawn."""

    def forward(self, image):
        return functional.resize(image, [random.randint(*request["short_side"])], antialias=True)


transform = v2.Compose([Scaled(), v2.RandomCrop(224), v2.RandomHorizontalFlip(), v2.PILToTensor()])
images = torchvision.datasets.ImageFolder(request["folder"], transform)
loader = torch.utils.data.DataLoader(
    images, request["batch"], shuffle=True, num_workers=request["workers"], persistent_workers=True
)
next(iter(loader))  # the workers are there now
seen, start = 0, time.perf_counter()
while True:
    for pixels, _ in loader:
        seen += len(pixels)
        seconds = time.perf_counter() - start
        if seconds >= request["seconds"]:
            program = f"torchvision {torchvision.__version__}"
            print(json.dumps({"program": program, "img_per_s": seen / seconds, "peak_bytes": None}))
            sys.exit()
