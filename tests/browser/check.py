"""Checks pages in a real browser: `report` of a run, of runs compared, and `watch` while a run trains.

Usage: python check.py VGG_TRAIN [--browser /usr/bin/chromium] [--pictures FOLDER]

Needs Chromium (Debian's package `chromium`) and Playwright (`pip install playwright`), which drives it.
With --pictures it leaves screenshots of every page, light and dark, wide and narrow.
"""

import argparse
import json
import os
import random
import re
import struct
import subprocess
import sys
import tempfile
import time
import zlib
from pathlib import Path

from playwright.sync_api import sync_playwright

HOSTILE = [
    "<script>window.hacked = true</script>",
    "\"'><img src=x onerror='window.hacked = true'>",
    "</title></style><b>bold",
    "&amp; &lt; \u202eabc",
    "قطة",
    "🦊 fox",
]


def png(path, seed, side=32):
    """Writes a picture of stripes whose direction and colours follow from `seed`."""
    rng = random.Random(seed)
    colours = [[rng.randrange(256) for _ in range(3)] for _ in range(2)]
    a, b = rng.uniform(0.1, 0.9), rng.uniform(0.1, 0.9)
    rows = b"".join(
        b"\0" + bytes(c for x in range(side) for c in colours[int(a * x + b * y) // 4 % 2])
        for y in range(side)
    )
    chunk = lambda kind, data: (
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    )
    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    )


def image_folder(folder, names, images):
    """`images` of each class to train on, and as many to test on. Files have hostile names, too."""
    for part in ["train", "val"]:
        for number, name in enumerate(names):
            # A name is a file's: no slash.
            place = folder / part / name.replace("/", "∕")
            place.mkdir(parents=True)
            for i in range(images):
                png(place / f"{i} <i>'\".png", f"{number} {part} {i}")


def run(*args, **options):
    done = subprocess.run([str(arg) for arg in args], capture_output=True, text=True, **options)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, args))}: {done.returncode}\n{done.stderr}")
    return done.stdout


class Page:
    """A page in the browser, which may neither complain nor ask anybody for anything."""

    def __init__(self, browser, url, allowed=("data:", "blob:"), **options):
        self.page = browser.new_page(**options)
        self.complaints = []
        self.page.on("console", lambda it: it.type in ("error", "warning") and self.complaints.append(it.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("dialog", lambda dialog: (self.complaints.append("a dialog"), dialog.dismiss()))
        self.page.on("request", lambda it: it.url != url and not it.url.startswith(allowed) and self.complaints.append(f"asks for {it.url}"))
        self.page.goto(url)

    def done(self):
        assert not self.page.evaluate("window.hacked"), "a name was executed"
        assert not self.complaints, self.complaints
        ids = self.page.locator("[id]").evaluate_all("all => all.map(it => it.id)")
        assert len(ids) == len(set(ids)), "two elements have the same id"
        self.page.close()


def check_report(browser, path, evaluation):
    """One run: its numbers, hover, a cell that leads to its images, sorted tables."""
    assert path.stat().st_size < 5_000_000, path.stat().st_size
    view = Page(browser, path.as_uri())
    page = view.page
    data = json.loads(page.locator("script#data").text_content())
    for key in ["images", "loss", "top1", "top5", "confusion", "balanced_accuracy"]:
        assert data["tested"][key] == evaluation[key], (key, data["tested"][key], evaluation[key])

    plot = page.locator("#curves ~ .charts rect.hover, section:has(#curves) rect.hover").first
    plot.scroll_into_view_if_needed()
    box = plot.bounding_box()
    page.mouse.move(box["x"] + 0.6 * box["width"], box["y"] + 0.5 * box["height"])
    tip = page.locator(".tip")
    assert re.fullmatch(r"epoch \d+(\n[\w ,%-]+: [\d.e+-]+)+", tip.inner_text()), tip.inner_text()
    page.mouse.move(0, 0)
    assert tip.is_hidden()

    link = page.locator("section:has(#confusion) a[href^='#cell-']").first
    target = link.get_attribute("href")
    link.click()
    page.wait_for_function("location.hash !== ''")
    assert page.evaluate("location.hash") == target
    images = page.locator(f"{target} img")
    assert images.count() > 0
    images.first.scroll_into_view_if_needed()
    assert images.first.evaluate("it => it.complete && it.naturalWidth > 0")
    assert page.locator(target).is_visible()

    table = page.locator("section:has(#classes) table")
    recall = lambda: [float(it) for it in table.locator("tbody tr td:nth-child(3)").evaluate_all("all => all.map(it => it.dataset.value)") if it]
    table.locator("th:nth-child(3) button").click()
    assert recall() == sorted(recall(), reverse=True), recall()
    table.locator("th:nth-child(3) button").click()
    assert recall() == sorted(recall()), recall()
    view.done()


def check_several(browser, path):
    view = Page(browser, path.as_uri())
    page = view.page
    assert page.locator("section:has(#results) tbody tr").count() == 3
    keys = page.locator("section:has(#differences) tbody td:first-child").all_inner_texts()
    assert "optimizer.lr" in keys and "train.batch_size" not in keys, keys
    page.locator("section:has(#results) th:nth-child(2) button").click()
    view.done()


def wait(page, expression, seconds=20):
    """As Playwright's `wait_for_function`, which the policy of a served page forbids."""
    until = time.monotonic() + seconds
    while not page.evaluate(expression):
        assert time.monotonic() < until, expression
        time.sleep(0.02)


def check_watch(browser, program, runs, config, environment, pictures):
    """A page that shows a new epoch within two seconds, while it trains, and classifies an image."""
    watch = subprocess.Popen([program, "watch", str(runs)], stdout=subprocess.PIPE, text=True, env=environment)
    try:
        url = re.search(r"http://127\.0\.0\.1:\d+/", watch.stdout.readline()).group()
        view = Page(browser, url, allowed=("data:", "blob:", url))
        page = view.page
        before = page.locator("tbody tr").count()
        training = subprocess.Popen(
            [program, str(config), "--out", str(runs), "--set", "train.epochs=60", "-q"],
            stdout=subprocess.DEVNULL, env=environment,
        )
        wait(page, f"document.querySelectorAll('tbody tr').length > {before}")
        page.locator("tbody tr a").first.click()
        metrics = max(runs.glob("*/metrics.jsonl"), key=lambda path: path.stat().st_ctime)
        epochs = lambda: [json.loads(line) for line in metrics.read_text().splitlines() if '"kind":"epoch"' in line]
        shown = "Number((document.querySelector('#epochs tbody tr:last-child td') ?? {textContent: 0}).textContent)"
        worst = 0.0
        for _ in range(5):
            known = len(epochs())
            while len(epochs()) == known and training.poll() is None:
                time.sleep(0.005)
            recorded, newest = time.monotonic(), len(epochs())
            wait(page, f"{shown} >= {newest}")
            worst = max(worst, time.monotonic() - recorded)
        for part in ["confusion", "classes", "mistakes", "calibration", "ranking", "dataset", "batch"]:
            assert page.locator(f"section:has(#{part})").count() == 1, part
        assert page.locator("section:has(#mistakes) img").count() > 0
        training.terminate()
        training.wait()
        print(f"watch: a new epoch is shown after {worst:.2f} s at most")
        assert worst < 2.0, worst
        assert page.locator("section:has(#confusion) svg.drawing").count() == 1

        with tempfile.TemporaryDirectory() as folder:
            picture = Path(folder) / "<b>dropped.png"
            png(picture, "dropped")
            # As if it were dropped: the same event with the same file.
            page.locator(".drop input").set_input_files(str(picture))
            page.wait_for_selector(".drop .answer li", timeout=60_000)
            assert page.locator(".drop .answer img").evaluate("it => it.complete && it.naturalWidth > 0")
            moved = page.evaluate_handle(
                """async () => { const data = new DataTransfer(); const bytes = Uint8Array.from([1, 2, 3]);
                data.items.add(new File([bytes], 'broken.png')); return data; }"""
            )
            page.dispatch_event(".drop", "drop", {"dataTransfer": moved})
            page.wait_for_selector(".drop .answer .wrong", timeout=60_000)
            view.complaints = [it for it in view.complaints if "status of 4" not in it]
        if pictures:
            page.screenshot(path=str(pictures / "watch.png"), full_page=True)
        view.done()
    finally:
        watch.terminate()
        watch.wait()


def screenshots(browser, path, folder):
    folder.mkdir(parents=True, exist_ok=True)
    for scheme in ["light", "dark"]:
        for width in [1200, 400]:
            page = browser.new_page(color_scheme=scheme, viewport={"width": width, "height": 900})
            page.goto(path.as_uri())
            wide = page.evaluate("document.documentElement.scrollWidth")
            assert wide <= width, f"{path} is {wide} px wide at {width}"
            page.screenshot(path=str(folder / f"{path.stem}-{scheme}-{width}.png"), full_page=True)
            page.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("program", type=Path)
    parser.add_argument("--browser", default="/usr/bin/chromium")
    parser.add_argument("--pictures", type=Path)
    args = parser.parse_args()
    program = str(args.program.resolve())
    environment = {**os.environ, "VGG_OFFLINE": "1"}

    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        runs, images = Path(folder) / "runs", Path(folder) / "images"
        vgg_train = lambda *args: run(program, *args, env=environment)
        rates = ["0.02", "0.01", "0.005"]
        for rate in rates:
            vgg_train("smoke", "--out", runs, "--set", "train.epochs=3", "--set", f"optimizer.lr={rate}", "--set", "guard.flat_loss=off")
        image_folder(images, HOSTILE, 4)
        config = Path(folder) / "hostile.toml"
        config.write_text(
            f"""[model]\nwidth = 0.05\nimage_size = 32\nfc_width = 16\n[data]\ndataset = "image-folder"
folder = {json.dumps(str(images))}\nchannels = 3\n[train]\nepochs = 1\nbatch_size = 8\n[optimizer]\nlr = 0.01\n"""
        )
        vgg_train(config, "--out", runs, "--set", "guard.flat_loss=off")
        several = Path(folder) / "several.html"
        vgg_train("report", *[runs / f"smoke-{i}" for i in [1, 2, 3]], "--output", several)

        browser = playwright.chromium.launch(
            executable_path=args.browser, args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        )
        for name in ["smoke-1", "hostile-1"]:
            evaluation = json.loads(vgg_train("eval", runs / name, "--json"))
            check_report(browser, runs / name / "report.html", evaluation)
        check_several(browser, several)
        if args.pictures:
            for path in [runs / "smoke-1/report.html", several]:
                screenshots(browser, path, args.pictures)
        check_watch(browser, program, runs, "smoke", environment, args.pictures)
        browser.close()
    print("all pages are as they should be")


if __name__ == "__main__":
    main()
