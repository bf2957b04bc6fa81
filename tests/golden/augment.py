"""Writes what torchvision makes of a picture by each operation of augmentation.

    pip install pillow numpy torch torchvision
    python augment.py

It goes to `crates/vgg-data/fixtures/augment`, where the tests of `vgg-data` compare: `cases.txt` has an
operation and its parameters a line, and `expected.png` and `expected_grey.png` have their results, one
beneath the other, of `source.png` and of its luma. Crops are those of Pillow's images, which torchvision
documents first; the others are those of tensors of bytes. `magnitudes.txt` has the strengths that the
policies have on images of 224×224.
"""

from pathlib import Path

import numpy as np
import torchvision.transforms as T
import torchvision.transforms.functional as F
from PIL import Image
from torchvision.transforms.autoaugment import _apply_op

FOLDER = Path(__file__).resolve().parents[2] / "crates" / "vgg-data" / "fixtures" / "augment"
H, W = 37, 52


def source():
    """Smooth colours with an edge, a texture, equal channels and no symmetry."""
    y, x = np.mgrid[:H, :W] / [[[H]], [[W]]]
    red = 20 + 200 * x * (1 - y / 2)
    green = 128 + 90 * np.sin(9 * x + 4 * y)
    blue = np.where(x + 2 * y > 1.1, 220 - 90 * y, 40 + 60 * x)
    noise = np.random.default_rng(1).normal(0, 6, (H, W, 3))
    pixels = np.stack([red, green, blue], -1) + noise
    pixels[5:12, 30:44] = pixels[5:12, 30:44, :1]
    return Image.fromarray(pixels.clip(7, 240).astype(np.uint8))


def cases():
    for top, left, h, w in [(0, 0, H, W), (3, 7, 20, 30), (1, 40, 36, 5), (10, 0, 4, 52)]:
        yield "resized_crop", top, left, h, w
    for magnitude in (-0.99, -0.3, 0.09, 0.29, 0.99):
        yield "ShearX", magnitude
        yield "ShearY", magnitude
    for magnitude in (-32, -5, 7, 60):
        yield "TranslateX", magnitude
        yield "TranslateY", magnitude
    for magnitude in (-135.0, -27.0, 9.0, 30.0, 120.0):
        yield "Rotate", magnitude
    for magnitude in (-0.99, -0.27, 0.27, 0.9):
        for name in ("Brightness", "Color", "Contrast", "Sharpness"):
            yield name, magnitude
    for magnitude in (2, 4, 7, 8):
        yield "Posterize", magnitude
    for magnitude in (255.0, 178.5, 100.0, 0.0):
        yield "Solarize", magnitude
    yield "AutoContrast", 0
    yield "Equalize", 0
    for turn in (-0.5, -0.1, 0.05, 0.3, 0.5):
        yield "hue", turn


def result(image, name, *parameters):
    if name == "resized_crop":
        return F.resized_crop(image, *parameters, [H, W], F.InterpolationMode.BILINEAR, antialias=True)
    tensor = F.pil_to_tensor(image)
    if name == "hue":
        changed = F.adjust_hue(tensor, *parameters)
    else:
        changed = _apply_op(tensor, name, *parameters, F.InterpolationMode.NEAREST, None)
    return F.to_pil_image(changed)


def magnitudes():
    """Lines of a policy, an operation and its strengths, from none on."""
    spaces = {
        "rand": T.RandAugment()._augmentation_space(31, (224, 224)),
        "trivial-wide": T.TrivialAugmentWide()._augmentation_space(31),
    }
    for policy, space in spaces.items():
        for name, (values, _) in space.items():
            yield " ".join([policy, name, *(f"{value:.6g}" for value in values.reshape(-1).tolist())])


def main():
    FOLDER.mkdir(parents=True, exist_ok=True)
    image = source()
    image.save(FOLDER / "source.png", optimize=True)
    lines = [" ".join(map(str, case)) for case in cases()]
    (FOLDER / "cases.txt").write_text("\n".join(lines) + "\n")
    (FOLDER / "magnitudes.txt").write_text("\n".join(magnitudes()) + "\n")
    for suffix, mode in [("", "RGB"), ("_grey", "L")]:
        results = [np.asarray(result(image.convert(mode), *case)) for case in cases()]
        Image.fromarray(np.concatenate(results)).save(FOLDER / f"expected{suffix}.png", optimize=True)


if __name__ == "__main__":
    main()
