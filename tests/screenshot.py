"""Draws the picture of the page in README.md: python tests/screenshot.py > docs/serve.png"""

from __future__ import annotations

import io
import sys
import tempfile
from pathlib import Path

from browser import chromium
from PIL import Image
from playwright.sync_api import FilePayload, expect
from serving import serving

from comrec.cli.demo import photograph

WAIT = 120_000  # milliseconds
QUALITIES = (65, 45, 12, 25)
COLOURS = 200


def main() -> None:
    buffer = io.BytesIO()
    photograph().to_pil().save(buffer, "PNG")
    photo: FilePayload = {
        "name": "coffee.png",
        "mimeType": "image/png",
        "buffer": buffer.getvalue(),
    }
    with (
        tempfile.TemporaryDirectory() as folder,
        serving(Path(folder)) as server,
        chromium() as browser,
    ):
        page = browser.new_page(viewport={"width": 1240, "height": 1060})
        page.set_default_timeout(WAIT)
        page.goto(server.url)
        page.wait_for_selector("html[data-ready]")
        page.set_input_files("#files", [photo])
        page.click("#add-codec")
        for quality in QUALITIES:
            page.fill("#quality-number", str(quality))
            page.keyboard.press("Tab")
            page.wait_for_selector(f'#n-quality[value="{quality}"]')
            expect(page.locator("#status")).to_be_hidden(timeout=WAIT)
            expect(page.locator("#tries-body")).not_to_contain_text("…", timeout=WAIT)
        page.focus("#stage")
        page.keyboard.press("+")
        page.wait_for_timeout(1000)
        page.evaluate("document.activeElement.blur()")
        shot = Image.open(io.BytesIO(page.screenshot(full_page=True))).convert("RGB")
    shot.quantize(COLOURS).save(sys.stdout.buffer, "PNG", optimize=True)


if __name__ == "__main__":
    main()
