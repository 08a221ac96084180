"""How long comrec.js takes for a marked photograph of 768x512 in Chromium.

    python benchmarks/comrecjs.py --out benchmarks/results/comrecjs.json

For one thread and for as many as there are cores: the first picture of a page that loads
everything from a local server, with nothing kept by the browser; then of the same page, again.
Wall times: run it on an idle machine. `load` is the machine's load before each.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from skimage.data import coffee

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

import browser
import static

import comrec
from comrec.measure import machine

PHOTO = 768, 512
QUALITY = 50
WARM = 5
TIMES = """async ([data, warm]) => {
  const blob = new Blob([Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0))])
  const times = []
  for (let i = 0; i <= warm; i++) {
    const start = performance.now()
    const { decode } = await import('./comrec/index.js')
    const bitmap = await decode(blob)
    times.push(Math.round(performance.now() - start))
    bitmap.close()
  }
  return times
}"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    photo = np.asarray(Image.fromarray(coffee()).resize(PHOTO, Image.Resampling.LANCZOS))
    data = comrec.encode(photo, "comrec-jpeg", quality=QUALITY)
    assert comrec.info(data).codec == "comrec-jpeg"
    found: dict[str, Any] = {"machine": machine.facts(), "bytes": len(data)}
    with tempfile.TemporaryDirectory() as folder, browser.chromium() as chromium:
        static.build(Path(folder))
        found["chromium"] = chromium.version
        for name, isolated in (("one thread", False), ("all cores", True)):
            with static.serving(Path(folder), isolated=isolated) as site:
                load = os.getloadavg()[0]
                page = chromium.new_context().new_page()
                page.goto(site.url + "blank.html")
                first, *warm = page.evaluate(TIMES, [base64.b64encode(data).decode(), WARM])
                page.context.close()
            found[name] = {"first_ms": first, "warm_ms": warm, "load": round(load, 1)}
            print(name, found[name])
    options.out.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
