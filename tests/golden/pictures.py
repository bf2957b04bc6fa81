"""Writes image files as people have them, and their pixels as Pillow reads them.

    pip install pillow numpy
    python pictures.py

They go to `crates/vgg-data/fixtures/pictures`, where the tests of `vgg-data` compare them, and each
file's pixels to `expected/NAME.png`: turned by `ImageOps.exif_transpose`, then converted by
`convert("RGB")`, but for grey of 16 bits, which Pillow cuts at 255 there, and which is divided here.
Those with transparency have a second one, `expected/NAME.over.png`, pasted over a colour. Files that
are not read have none.
"""

import struct
import zlib
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

FOLDER = Path(__file__).resolve().parents[2] / "crates" / "vgg-data" / "fixtures" / "pictures"
BACKGROUND = (250, 130, 10)
H, W = 21, 34
"""Odd, so that blocks and half-size colours end within the image."""


def photograph():
    """Smooth colours with an edge, a texture and no symmetry."""
    y, x = np.mgrid[:H, :W] / [[[H]], [[W]]]
    red = 255 * x * (1 - y / 2)
    green = 128 + 100 * np.sin(9 * x + 4 * y)
    blue = np.where(x + 2 * y > 1.1, 220 - 90 * y, 40 + 60 * x)
    noise = np.random.default_rng(1).normal(0, 6, (H, W, 3))
    return (np.stack([red, green, blue], -1) + noise).clip(0, 255).astype(np.uint8)


def exif(orientation):
    tags = Image.Exif()
    tags[0x112] = orientation
    return tags.tobytes()


def encoded(image, **options):
    out = BytesIO()
    image.save(out, **options)
    return out.getvalue()


def png_chunk(name, contents):
    checksum = struct.pack(">I", zlib.crc32(name + contents))
    return struct.pack(">I", len(contents)) + name + contents + checksum


def png(h, w, depth, colour, rows, *late):
    """A PNG of rows of bytes, with chunks after the pixels."""
    pixels = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows), 9)
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", w, h, depth, colour, 0, 0, 0)), (b"IDAT", pixels)]
    chunks += [*late, (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(*chunk) for chunk in chunks)


def files():
    pixels = photograph()
    image = Image.fromarray(pixels)
    alpha = np.linspace(0, 255, H * W).astype(np.uint8).reshape(H, W)
    transparent = Image.fromarray(np.dstack([pixels, alpha]))
    jpeg = dict(format="JPEG", quality=92)
    for orientation in range(1, 9):
        yield f"orientation_{orientation}.jpg", encoded(image, exif=exif(orientation), **jpeg)
    xmp = b'<x:xmpmeta><rdf:Description tiff:Orientation="8"/></x:xmpmeta>'
    yield "turned_by_xmp.jpg", encoded(image, xmp=xmp, **jpeg)
    yield "turned.png", encoded(image, format="PNG", exif=exif(6))
    late = (b"eXIf", exif(5).removeprefix(b"Exif\0\0"))
    yield "turned_late.png", png(H, W, 8, 2, pixels, late)
    yield "turned.webp", encoded(image, format="WEBP", lossless=True, exif=exif(7))
    yield "turned.tif", encoded(image, format="TIFF", compression="tiff_lzw", tiffinfo={0x112: 8})
    yield "lossy.webp", encoded(image, format="WEBP", quality=80)
    yield "lossless.webp", encoded(image, format="WEBP", lossless=True)
    yield "transparent.webp", encoded(transparent, format="WEBP", lossless=True, exact=True)
    frames = [image.rotate(angle).quantize(32) for angle in (0, 90, 180)]
    yield "animated.gif", encoded(frames[0], format="GIF", save_all=True, append_images=frames[1:])
    frames = [image.rotate(angle) for angle in (0, 90)]
    yield "animated.webp", encoded(
        frames[0], format="WEBP", lossless=True, save_all=True, append_images=frames[1:]
    )
    still = image.quantize(16)
    yield "transparent.gif", encoded(still, format="GIF", transparency=3)
    yield "bitmap.bmp", encoded(image, format="BMP")
    yield "palette.bmp", encoded(image.quantize(64), format="BMP")
    yield "deflated.tif", encoded(image, format="TIFF", compression="tiff_adobe_deflate")
    yield "grey.tif", encoded(image.convert("L"), format="TIFF")
    grey = pixels[..., 1].astype(">u2") * 256 + pixels[..., 0]
    yield "deep_grey.png", png(H, W, 16, 0, grey.astype(">u2"))
    deep = pixels.astype(">u2") * 256 + pixels[..., ::-1]
    yield "deep.png", png(H, W, 16, 2, deep.astype(">u2"))
    palette = image.quantize(16)
    yield "palette_alpha.png", encoded(palette, format="PNG", transparency=bytes(range(0, 256, 16)))
    yield "transparent.png", encoded(transparent, format="PNG")
    yield "cmyk.jpg", encoded(image.convert("CMYK"), **jpeg)
    yield "grey.jpg", encoded(image.convert("L"), **jpeg)
    yield "progressive.jpg", encoded(image, progressive=True, **jpeg)
    film = b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom" + b"\xff\xda\xff\xd8 a film \xff\xd9" * 9
    yield "motion.jpg", encoded(image, exif=exif(6), **jpeg) + film
    yield "renamed.png", encoded(image, **jpeg)
    yield "without_ending", encoded(image, format="PNG")
    yield "photo.heic", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(40)
    yield "photo.avif", b"\0\0\0\x1cftypavif\0\0\0\0mif1avifmiaf" + bytes(40)


def write(name, contents):
    (FOLDER / name).write_bytes(contents)
    if name in ("photo.heic", "photo.avif"):
        return
    image = ImageOps.exif_transpose(Image.open(BytesIO(contents)))
    if image.mode == "I;16":
        image = Image.fromarray(np.round(np.asarray(image) / 257).astype(np.uint8))
    expected = FOLDER / "expected"
    image.convert("RGB").save(expected / f"{name}.png", optimize=True)
    if "transparency" in image.info or image.mode == "RGBA":
        image = image.convert("RGBA")
        over = Image.new("RGB", image.size, BACKGROUND)
        over.paste(image, mask=image.getchannel("A"))
        over.save(expected / f"{name}.over.png", optimize=True)


if __name__ == "__main__":
    (FOLDER / "expected").mkdir(parents=True, exist_ok=True)
    for name, contents in files():
        write(name, contents)
    sizes = [path.stat().st_size for path in FOLDER.rglob("*") if path.is_file()]
    print(f"{len(sizes)} files, {sum(sizes)} bytes")
