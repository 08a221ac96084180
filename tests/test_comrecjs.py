"""comrec.js in a browser shows what the Python decoder gives, and leaves alone what it must."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import json
import shutil
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import static
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageOps
from playwright.sync_api import Browser, Error, Page
from static import Site

import comrec
from comrec import files
from comrec.inference import store
from comrec.picture import Metadata, Picture
from comrec.sandwich import marked

GOLDEN = Path(__file__).parent / "golden"
FILES = [
    path
    for path in sorted(GOLDEN.iterdir())
    if path.suffix in (".jpg", ".webp", ".avif")
    and path.name.startswith(("v1-comrec-", "v1-jiang"))
]

EARLIER = {"deeper", "sums", "finer", "fast", "best", "improved", "twice"}
"""How the files among these end whose networks have 8 bits, and heads that runtimes round."""

Samples = NDArray[np.int16]

_DRAW = """(bitmap) => {
  const context = new OffscreenCanvas(bitmap.width, bitmap.height).getContext('2d')
  context.drawImage(bitmap, 0, 0)
  const { width, height, data } = context.getImageData(0, 0, bitmap.width, bitmap.height)
  return [width, height, Array.from(data)]
}"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("site")
    static.build(found)
    return found


@pytest.fixture(scope="module")
def site(folder: Path) -> Iterator[Site]:
    with static.serving(folder) as found:
        yield found


@pytest.fixture(scope="module")
def blank(browser: Browser, site: Site) -> Iterator[Page]:
    """A page with one decoder for all tests."""
    page = opened(browser, site)
    yield page
    page.context.close()


def opened(browser: Browser, site: Site, name: str = "blank.html") -> Page:
    """A page of the site, with a decoder and with nothing kept by the browser."""
    page = browser.new_context().new_page()
    page.goto(site.url + name)
    prepare(page)
    return page


def prepare(page: Page) -> None:
    page.evaluate(
        f"""async () => {{
          window.it = await import('./comrec/index.js')
          window.decoder = new it.Decoder()
          window.draw = {_DRAW}
          window.blobOf = async (data) =>
            new Blob([Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0))])
        }}"""
    )


def packed(data: bytes) -> str:
    return base64.b64encode(data).decode()


def unpacked(drawn: tuple[int, int, list[int]]) -> Samples:
    """(height, width, 3)."""
    width, height, values = drawn
    return np.array(values, np.int16).reshape(height, width, 4)[..., :3]


def bitmap(page: Page, data: bytes) -> Samples:
    """What `decode` gives, drawn."""
    return unpacked(
        page.evaluate(
            "async (data) => draw(await decoder.decode(await blobOf(data)))", packed(data)
        )
    )


def in_full(page: Page, data: bytes) -> Image.Image:
    """The PNG file that comrec.js makes of a file.

    Raises:
        Error: of Playwright, with the code and the message of comrec.js's.
    """
    found = page.evaluate(
        """async (data) => {
          try {
            const png = await decoder.toPng(await blobOf(data))
            const bytes = new Uint8Array(await png.arrayBuffer())
            return btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(''))
          } catch (error) {
            throw new Error(`${error.code}: ${error.message}`)
          }
        }""",
        packed(data),
    )
    return Image.open(io.BytesIO(base64.b64decode(found)))


def check_equal(page: Page, data: bytes, most: int = 1, mean: float = 0.001) -> None:
    """comrec.js gives what Python gives, but for one grey level in one of a thousand samples.

    Args:
        most, mean: other differences that are allowed.
    """
    theirs = expected(data)
    ours = in_full(page, data)
    assert (ours.mode, ours.size) == (theirs.mode, theirs.size)
    found, wanted = samples(ours), samples(theirs)
    if theirs.mode == "RGBA" and np.abs(found[..., 3] - wanted[..., 3]).max() > 1:
        # Chromium 156 takes the alpha of AVIF for 16..235, though its header says 0..255.
        assert files.parse(data).format == "avif"
        wanted[..., 3] = np.clip(np.rint((wanted[..., 3] - 16) * (255 / 219)), 0, 255)
    difference = np.abs(found - wanted)
    assert difference.max() <= most
    assert difference.mean() <= mean


def expected(data: bytes) -> Image.Image:
    """What Python gives, turned as Chromium turns files: WebP not at all."""
    full = comrec.decode(data)
    return full if files.parse(data).format == "webp" else ImageOps.exif_transpose(full)


def samples(image: Image.Image) -> Samples:
    return np.array(image, np.int16)


def file_of(picture: Picture, codec: str = "jpeg", quality: float = 30) -> bytes:
    """A marked file of scale 1."""
    plain = comrec.codec.parse(codec)
    network = store.serving("comrec", plain.container, "rec")
    return marked.write(plain, plain.encode(picture, quality), picture, quality, network)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_golden_files(blank: Page, path: Path) -> None:
    # Rounding in the head of earlier networks in 8 bits makes a tenth of all samples differ.
    if path.stem.rsplit("-", 1)[1] in EARLIER:
        check_equal(blank, path.read_bytes(), most=2, mean=0.1)
    else:
        check_equal(blank, path.read_bytes())


@pytest.mark.parametrize("codec", ["jpeg:subsampling=4:4:4", "jpeg:subsampling=4:2:0", "avif"])
@pytest.mark.parametrize("size", [(1, 1), (61, 47)])
def test_odd_sizes(blank: Page, photo: Picture, codec: str, size: tuple[int, int]) -> None:
    width, height = size
    check_equal(blank, file_of(photo.cropped(90, 60, width, height), codec))


@pytest.mark.parametrize("size", [(800, 24), (24, 800)])
def test_tiles_leave_no_trace(blank: Page, photo: Picture, size: tuple[int, int]) -> None:
    columns, rows = (np.arange(side) % 150 for side in size)
    picture = Picture(np.ascontiguousarray(photo.pixels[rows][:, columns]))
    assert max(size) > 512 * 1.5  # more than one tile
    check_equal(blank, file_of(picture))


@pytest.mark.parametrize("codec", ["jpeg", "webp", "avif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation(blank: Page, photo: Picture, codec: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    part = replace(photo.cropped(90, 60, 32, 24), metadata=Metadata(exif=exif.tobytes()))
    data = file_of(part, codec)
    check_equal(blank, data)
    shown = blank.evaluate("data => blobOf(data).then(createImageBitmap).then(draw)", packed(data))
    assert in_full(blank, data).size == (shown[0], shown[1])


@pytest.mark.parametrize("codec", ["jpeg", "webp", "avif"])
def test_profile_stays(blank: Page, photo: Picture, codec: str) -> None:
    icc = ImageCms.ImageCmsProfile(ImageCms.createProfile("XYZ")).tobytes()
    data = file_of(replace(photo.cropped(0, 0, 40, 30), metadata=Metadata(icc=icc)), codec)
    assert in_full(blank, data).info["icc_profile"] == icc
    check_equal(blank, data)


def test_bitmap(blank: Page) -> None:
    data = (GOLDEN / "v1-comrec-jpeg-scale2.jpg").read_bytes()
    drawn = bitmap(blank, data)
    assert np.abs(drawn - samples(expected(data))).max() <= 1


@pytest.mark.parametrize("name", ["v1-jpeg.jpg", "v1-webp.webp", "v1-avif.avif"])
def test_unmarked_files_are_shown_as_they_are(blank: Page, name: str) -> None:
    data = (GOLDEN / name).read_bytes()
    assert np.abs(bitmap(blank, data) - samples(expected(data))).max() <= 1
    assert blank.evaluate("data => blobOf(data).then(it.mark)", packed(data)) is None


def test_mark_is_read(blank: Page) -> None:
    path = GOLDEN / "v1-comrec-webp-scale2.webp"
    found = blank.evaluate("data => blobOf(data).then(it.mark)", packed(path.read_bytes()))
    mark = files.parse(path.read_bytes()).mark
    assert mark is not None
    # Recompressed JPEG is in JPEG XL files alone, which comrec.js leaves alone.
    assert found | {"recompressed": False} == asdict(mark)


def altered(**changes: Any) -> bytes:
    """A JPEG file whose mark has other fields than it should."""
    data = (GOLDEN / "v1-comrec-jpeg-scale1.jpg").read_bytes()
    mark = files.parse(data).mark
    assert mark is not None
    return data.replace(mark.pack(), replace(mark, **changes).pack())


def emptied(avif: bytes) -> bytes:
    """An AVIF file that no browser decodes: zeros where its picture begins."""
    start = avif.index(b"mdat") + 4
    return avif[:start] + bytes(100) + avif[start + 100 :]


DAMAGED = altered().replace(b"comrec\1\1", b"comrec\1\2")
NEWER = altered().replace(b"comrec\1", b"comrec\2")
REFUSED = {
    "stale": altered(width=54),
    "unknown-network": altered(network="00" * 10),
    "damaged": DAMAGED,
    "damaged: the comrec mark has version 2": NEWER,
    "too-large": altered(width=1 << 20, height=1 << 20),
    "unmarked": (GOLDEN / "v1-comrec-jpegxl-scale1.jxl").read_bytes(),
    "unsupported": emptied((GOLDEN / "v1-comrec-avif-scale1.avif").read_bytes()),
}


@pytest.mark.parametrize("why", REFUSED)
def test_refused(blank: Page, why: str) -> None:
    with pytest.raises(Error, match=f"Error: {why}"):
        in_full(blank, REFUSED[why])


def test_stale_files_are_shown_as_they_are(blank: Page) -> None:
    drawn = bitmap(blank, REFUSED["stale"])
    assert np.abs(drawn - samples(comrec.decode(REFUSED["stale"]))).max() <= 1


@pytest.mark.parametrize("when", ["before", "after the first tile"])
def test_cancel(blank: Page, photo: Picture, when: str) -> None:
    columns = np.arange(800) % 150
    data = file_of(Picture(np.ascontiguousarray(photo.pixels[:24][:, columns])))
    name, tiles = blank.evaluate(
        """async ([data, before]) => {
          const abort = new AbortController()
          const tiles = []
          const onProgress = (...which) => { tiles.push(which); abort.abort() }
          if (before) abort.abort()
          const asked = decoder.decode(await blobOf(data), { signal: abort.signal, onProgress })
          return [await asked.catch((error) => error.name), tiles]
        }""",
        [packed(data), when == "before"],
    )
    assert name == "AbortError"
    assert tiles == ([] if when == "before" else [[1, 2]])
    check_equal(blank, data)  # the decoder goes on


def test_one_session_for_all_pictures(browser: Browser, site: Site) -> None:
    page = opened(browser, site)
    site.asked.clear()
    for name in ("v1-comrec-jpeg-scale1.jpg", "v1-comrec-jpeg-gray.jpg"):
        in_full(page, (GOLDEN / name).read_bytes())
    assert len(page.workers) == 1
    assert len([path for path in site.asked if path.endswith((".onnx", ".wasm"))]) == 2
    page.reload()
    site.asked.clear()
    prepare(page)
    in_full(page, (GOLDEN / "v1-comrec-jpeg-scale1.jpg").read_bytes())
    assert not [path for path in site.asked if path.endswith(".onnx")]  # kept by the browser
    page.context.close()


def test_altered_weights_are_refused(browser: Browser, site: Site, folder: Path) -> None:
    path = next((folder / "comrec" / "weights").glob("comrec-jpeg-rec1-a06d7e5c*"))
    data, whole = (GOLDEN / "v1-comrec-jpeg-scale1.jpg").read_bytes(), path.read_bytes()
    page = opened(browser, site)
    try:
        path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
        with pytest.raises(Error, match=r"Error: weights.*SHA-256"):
            in_full(page, data)
    finally:
        path.write_bytes(whole)
    check_equal(page, data)  # nothing altered was kept
    page.context.close()


def test_threads(browser: Browser, folder: Path) -> None:
    with static.serving(folder, isolated=True) as isolated:
        page = opened(browser, isolated)
        assert page.evaluate("crossOriginIsolated")
        check_equal(page, (GOLDEN / "v1-comrec-jpeg-scale1.jpg").read_bytes())
        page.context.close()


class Shown:
    """A page of <img> elements, with comrec.js."""

    def __init__(self, browser: Browser, site: Site, folder: Path, body: str) -> None:
        html = f'<!doctype html><script type="module" src="comrec/auto.js"></script>{body}'
        (folder / "shown.html").write_text(html)
        self.page = browser.new_context().new_page()
        self.page.goto(site.url + "shown.html")

    def state(self, selector: str) -> str | None:
        """Once there is one."""
        self.page.wait_for_selector(f"{selector}[data-comrec-state]", state="attached")
        return self.page.get_attribute(selector, "data-comrec-state")

    def samples(self, selector: str) -> Samples:
        """What is drawn of an <img>, in its own pixels."""
        found = self.page.evaluate(
            """async (selector) => {
              const bitmap = await createImageBitmap(document.querySelector(selector))
              return draw(await createImageBitmap(bitmap))
            }""".replace("draw", f"({_DRAW})"),
            selector,
        )
        return unpacked(found)


@pytest.fixture
def pictures(folder: Path) -> dict[str, bytes]:
    """Files beside the page, by name."""
    names = {
        "full.jpg": (GOLDEN / "v1-comrec-jpeg-scale1.jpg").read_bytes(),
        "half.jpg": (GOLDEN / "v1-comrec-jpeg-scale2.jpg").read_bytes(),
        "plain.jpg": (GOLDEN / "v1-jpeg.jpg").read_bytes(),
        **{f"{why}.jpg": REFUSED[why] for why in ("stale", "unknown-network", "damaged")},
    }
    for name, data in names.items():
        (folder / name).write_bytes(data)
    return names


def test_elements(browser: Browser, site: Site, folder: Path, pictures: dict[str, bytes]) -> None:
    """Full pictures where there are some; as they are where not; nothing of what is out of view."""
    left = ("plain", "stale", "unknown-network", "damaged")
    body = "".join(f'<img id="{name}" data-comrec src="{name}.jpg">' for name in left)
    body += """<img id=full data-comrec src="full.jpg" alt="A cat"><img id=half data-comrec
      src="plain.jpg" srcset="half.jpg 1x"><picture><source srcset="half.jpg"><img id=inner
      data-comrec src="plain.jpg"></picture><p><canvas height=9000></canvas></p><img id=far
      data-comrec src="full.jpg">"""
    shown = Shown(browser, site, folder, body)
    page = shown.page
    for name in left:
        assert shown.state(f"#{name}") == "left"
        assert page.evaluate(f"document.getElementById('{name}').currentSrc.endsWith('{name}.jpg')")
    for name, file in (("full", "full.jpg"), ("half", "half.jpg"), ("inner", "half.jpg")):
        assert shown.state(f"#{name}") == "done"
        drawn = shown.samples(f"#{name}")
        assert np.abs(drawn - samples(expected(pictures[file]))).max() <= 1
    # The layout and the author's attributes are as they were.
    box = page.locator("#half").bounding_box()
    assert box is not None
    assert (box["width"], box["height"]) == pytest.approx((27, 19), abs=0.5)
    assert page.get_attribute("#full", "src") == "full.jpg"
    assert page.get_attribute("#full", "alt") == "A cat"
    assert page.get_attribute("#far", "data-comrec-state") is None
    page.locator("#far").scroll_into_view_if_needed()
    assert shown.state("#far") == "done"
    page.context.close()


def test_elements_follow_the_page(
    browser: Browser, site: Site, folder: Path, pictures: dict[str, bytes]
) -> None:
    """Added later, changed, removed."""
    shown = Shown(browser, site, folder, '<img id="a" data-comrec src="full.jpg">')
    page = shown.page
    assert shown.state("#a") == "done"
    page.evaluate("document.body.append(Object.assign(new Image(), { id: 'b', src: 'half.jpg' }))")
    page.evaluate("b.dataset.comrec = ''")
    assert shown.state("#b") == "done"
    page.evaluate("b.src = 'plain.jpg'")
    page.wait_for_selector("#b[data-comrec-state=left]")
    assert page.get_attribute("#b", "srcset") is None
    page.evaluate("{ window.removed = a; a.remove() }")
    assert page.evaluate("removed.getAttribute('srcset')") is None
    assert page.evaluate("removed.hasAttribute('data-comrec-state')") is False
    page.context.close()


def test_removed_while_it_is_decoded(
    browser: Browser, site: Site, folder: Path, pictures: dict[str, bytes]
) -> None:
    """Its work ends; that on another goes on."""
    body = '<img id="a" data-comrec src="full.jpg"><img id="b" data-comrec src="half.jpg">'
    (folder / "shown.html").write_text(body)
    page = opened(browser, site, "shown.html")
    page.evaluate(
        """() => {
          window.ended = []
          document.addEventListener('comrec', ({ target }) => ended.push(target.id))
          window.removed = document.querySelector('#a')
          it.enhance()
          removed.remove()
        }"""
    )
    page.wait_for_selector("#b[data-comrec-state=done]")
    assert page.evaluate("ended") == ["b"]
    assert page.evaluate("removed.hasAttribute('srcset')") is False
    page.context.close()


def test_without_script_the_picture_shows(
    browser: Browser, site: Site, folder: Path, pictures: dict[str, bytes]
) -> None:
    (folder / "shown.html").write_text('<img data-comrec src="full.jpg">')
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(site.url + "shown.html")
    box = page.locator("img").bounding_box()
    assert box is not None
    assert (box["width"], box["height"]) == (53, 37)
    context.close()


def test_where_the_policy_forbids_blobs_the_picture_stays(
    browser: Browser, folder: Path, pictures: dict[str, bytes]
) -> None:
    with static.serving(folder) as strict:
        policy = static.POLICY.replace(" blob:", "")
        strict.headers["Content-Security-Policy"] = policy
        shown = Shown(browser, strict, folder, '<img id="a" data-comrec src="full.jpg">')
        assert shown.state("#a") == "left"
        assert shown.page.evaluate("a.naturalWidth > 0 && a.currentSrc.endsWith('full.jpg')")
        shown.page.context.close()


def test_demo(browser: Browser, site: Site, folder: Path, pictures: dict[str, bytes]) -> None:
    """It works under its policy, and asks nothing of other sites."""
    shutil.copytree(static.PACKAGE / "demo", folder, dirs_exist_ok=True)
    (folder / "photo.jpg").write_bytes(pictures["full.jpg"])
    page = browser.new_context().new_page()
    asked: list[str] = []
    problems: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: problems.append(message.text))
    page.goto(site.url + "index.html")
    page.wait_for_selector("#full[data-comrec-state=done]")
    assert page.inner_text("figcaption").startswith("in full")
    page.click("#compare")
    assert page.is_visible("#stored")
    assert not page.is_visible("#full")
    page.click("#compare")
    page.set_input_files("input", folder / "half.jpg")
    page.wait_for_selector("#full[alt='half.jpg']")
    page.locator("figcaption", has_text="in full").wait_for()
    assert page.evaluate("full.decode().then(() => full.naturalWidth)") == 53
    page.set_input_files("input", folder / "plain.jpg")
    page.get_by_text("as stored: the file has no mark").wait_for()
    assert problems == []
    assert all(url.startswith((site.url, "blob:" + site.url)) for url in asked)
    page.context.close()


def test_export_has_the_networks_of_all_files(folder: Path) -> None:
    index = json.loads((folder / "comrec" / "weights" / "index.json").read_text())
    for path in FILES:
        mark = files.parse(path.read_bytes()).mark
        assert mark is not None
        entry = index["networks"][mark.network]
        content = (folder / "comrec" / "weights" / entry["file"]).read_bytes()
        assert hashlib.sha256(content).hexdigest() == entry["sha256"]


def test_package_is_small() -> None:
    """60 kB gzipped, without onnxruntime-web and networks."""
    sources = sorted((static.PACKAGE / "src").glob("*.js"))
    assert len(gzip.compress(b"".join(path.read_bytes() for path in sources))) < 60_000
