"""The page of `comrec serve` in a real browser: what people do there, and what they see."""

from __future__ import annotations

import base64
import io
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from PIL import Image
from playwright.sync_api import Browser, FilePayload, Page, expect
from serving import Server, serving

import comrec
from comrec import roi
from comrec.measure.comparison import Scores
from comrec.picture import Picture

WAIT = 60_000  # milliseconds: a busy machine is no failure
expect.set_options(timeout=WAIT)
WORSE = ("serious", "critical")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("served")) as found:
        yield found


@pytest.fixture
def page(browser: Browser, server: Server) -> Iterator[Page]:
    """An open page, which reports no error by its end."""
    context = browser.new_context(viewport={"width": 1100, "height": 800})
    context.set_default_timeout(WAIT)
    errors: list[str] = []
    found = context.new_page()
    found.on("pageerror", lambda error: errors.append(str(error)))
    opened(found, server)
    yield found
    context.close()
    assert not errors


def opened(page: Page, server: Server) -> None:
    page.goto(server.url)
    page.wait_for_selector("html[data-ready]")


@pytest.fixture(scope="module")
def photo_png(photo: Picture) -> bytes:
    buffer = io.BytesIO()
    photo.to_pil().save(buffer, "PNG")
    return buffer.getvalue()


def give(page: Page, *files: tuple[str, bytes]) -> None:
    """Choose files."""
    page.set_input_files("#files", [file_of(name, data) for name, data in files])


def file_of(name: str, data: bytes) -> FilePayload:
    return {"name": name, "mimeType": "image/png", "buffer": data}


def codec(page: Page, name: str, effort: str | None = None) -> None:
    """Choose a codec, also before the settings are shown: the usual one is slow."""
    page.select_option("#codecs select", name, force=True)
    if effort is not None:
        page.select_option('.codec details select[id$="-effort"]', effort, force=True)


def choose(page: Page, name: str, photo_png: bytes) -> None:
    """A page with a photograph and a codec, and the first result."""
    codec(page, name)
    give(page, ("photo.png", photo_png))
    measured(page)


def measured(page: Page) -> None:
    """Wait until all numbers are there."""
    page.wait_for_selector('#n-ssimulacra2:not([value=""])')
    expect(page.locator("#n-ms_ssim")).not_to_have_text("…")


def number(page: Page, name: str) -> float:
    return float(page.get_attribute(f"#n-{name}", "value") or "nan")


def check_numbers(page: Page, data: bytes, photo: Picture) -> None:
    """The numbers are those of a file."""
    scores = Scores.of(comrec.files.decode(data), photo)
    assert number(page, "bytes") == len(data)
    assert number(page, "bpp") == 8 * len(data) / (photo.width * photo.height)
    assert number(page, "psnr") == scores.psnr
    assert number(page, "ms_ssim") == scores.ms_ssim
    assert number(page, "ssimulacra2") == scores.ssimulacra2
    assert page.inner_text("#n-psnr") == f"{scores.psnr:.2f} dB"


def check_colour(page: Page, right: int, wanted: np.ndarray[Any, Any]) -> None:
    """What the stage shows so many pixels right of its middle; it may still be on its way."""
    script = """async (right) => {
      await new Promise((go) => requestAnimationFrame(() => requestAnimationFrame(go)));
      const { width, height } = document.getElementById("canvas");
      const context = document.getElementById("canvas").getContext("2d");
      return [...context.getImageData(width / 2 + right, height / 2, 1, 1).data];
    }"""
    found: list[int] = []
    for _ in range(600):
        found = page.evaluate(script, right)
        if found == [*wanted, 255]:
            return
        page.wait_for_timeout(50)
    raise AssertionError(f"{found}, not {wanted}")


def saved(page: Page) -> bytes:
    with page.expect_download() as download:
        page.click("#download")
    return Path(download.value.path()).read_bytes()


def test_a_dropped_file_is_encoded_as_by_the_api(
    page: Page, photo: Picture, photo_png: bytes
) -> None:
    codec(page, "webp")
    files = page.evaluate_handle(
        """(data) => {
          const bytes = Uint8Array.from(atob(data), (char) => char.charCodeAt(0));
          const transfer = new DataTransfer();
          transfer.items.add(new File([bytes], "dropped.png", { type: "image/png" }));
          return transfer;
        }""",
        base64.b64encode(photo_png).decode(),
    )
    page.dispatch_event("body", "dragenter", {"dataTransfer": files})
    expect(page.locator("#drop")).to_be_visible()
    page.dispatch_event("body", "drop", {"dataTransfer": files})
    measured(page)
    expected = comrec.encode(photo_png, "webp", 50)
    check_numbers(page, expected, photo)
    assert saved(page) == expected
    command = page.input_value("#command")
    assert command == "comrec encode dropped.png -o dropped.webp -c webp -q 50"


def test_the_slider_previews_and_then_encodes(page: Page, photo: Picture, photo_png: bytes) -> None:
    choose(page, "jpeg", photo_png)
    box = page.locator("#quality").bounding_box()
    assert box is not None
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] / 2, middle)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.3, middle)
    page.wait_for_selector("#stage[data-preview]")
    expect(page.locator("#side-right")).to_contain_text("Preview")
    page.mouse.up()
    quality = page.input_value("#quality-number")
    assert 25 < float(quality) < 35
    page.wait_for_selector(f'#n-quality[value="{quality}"]')
    measured(page)
    check_numbers(page, comrec.encode(photo_png, "jpeg", float(quality)), photo)
    expect(page.locator("#side-right")).to_contain_text("jpeg ·")
    expect(page.locator("#tries-body tr")).to_have_count(2)
    expect(page.locator("#plot .dot")).to_have_count(2)


def test_a_typed_target_and_an_option(page: Page, photo: Picture, photo_png: bytes) -> None:
    choose(page, "jpeg", photo_png)
    page.check("#by-target")
    page.fill("#target", "7 kB")
    page.keyboard.press("Enter")
    expected = comrec.encode(photo_png, "jpeg", target_size=7000)
    page.wait_for_selector(f'#n-bytes[value="{len(expected)}"]')
    page.locator(".codec summary").click()
    page.select_option('.codec details select[id$="-subsampling"]', "4:4:4")
    expected = comrec.encode(photo_png, "jpeg:subsampling=4:4:4", target_size=7000)
    page.wait_for_selector(f'#n-bytes[value="{len(expected)}"]')
    measured(page)
    check_numbers(page, expected, photo)
    page.fill("#target", "forty")
    page.keyboard.press("Enter")
    expect(page.locator("#message")).to_contain_text("'forty' is no target such as 40 kB")


def test_the_divider_the_keys_and_the_layers(page: Page, photo: Picture, photo_png: bytes) -> None:
    choose(page, "jpeg", photo_png)
    decoded = np.asarray(comrec.decode(comrec.encode(photo_png, "jpeg", 50)))
    middle = photo.height // 2, photo.width // 2
    at, beside = (middle[0], middle[1] + 40), (middle[0], middle[1] - 40)
    page.focus("#stage")
    page.keyboard.press("1")
    expect(page.locator("#zoom")).to_have_text("100 %")
    check_colour(page, -40, photo.pixels[beside])
    check_colour(page, 40, decoded[at])

    page.focus("#divider")
    page.keyboard.press("End")
    assert page.get_attribute("#divider", "aria-valuenow") == "100"
    check_colour(page, 40, photo.pixels[at])
    page.keyboard.press("Home")
    assert page.get_attribute("#divider", "aria-valuenow") == "0"
    check_colour(page, -40, decoded[beside])

    page.keyboard.down("b")
    check_colour(page, 40, photo.pixels[at])
    assert page.get_attribute("#blink", "aria-pressed") == "true"
    page.keyboard.up("b")
    check_colour(page, 40, decoded[at])

    page.keyboard.press("d")
    apart = np.abs(decoded[at].astype(int) - photo.pixels[at])
    check_colour(page, 40, np.minimum(apart, 31) * 8)
    page.keyboard.press("m")
    plane = roi.shown(photo, "auto", plain=True).pixels.astype(np.float32) / np.float32(255)
    check_colour(page, 40, roi.heat(photo.pixels, plane)[at])
    page.keyboard.press("r")
    check_colour(page, 40, decoded[at])

    page.focus("#stage")
    page.keyboard.press("ArrowLeft")  # by 40
    check_colour(page, 40, decoded[middle])
    page.keyboard.press("+")
    expect(page.locator("#zoom")).to_have_text("125 %")
    page.keyboard.press("f")
    expect(page.locator("#zoom")).not_to_have_text("125 %")


def test_what_others_see_and_codecs_side_by_side(page: Page, photo_png: bytes) -> None:
    codec(page, "comrec-jpeg", effort="3")
    page.select_option('.codec details select[id$="-scale"]', "1/2", force=True)
    give(page, ("photo.png", photo_png))
    measured(page)
    page.click("#add-codec")
    expect(page.locator("#tries-body tr")).to_have_count(2)  # no file is made twice
    expect(page.locator("#legend li")).to_have_text(["comrec-jpeg:effort=3:scale=1/2", "jpeg"])
    page.click("#tries-body tr:nth-child(1) .link")
    page.click("#view-plain")
    expect(page.locator("#side-right")).to_have_text("Other viewers · 128 × 96 there")
    page.click("#tries-body tr:nth-child(2) .link")
    expect(page.locator("#command")).to_have_value(
        "comrec encode photo.png -o photo.jpg -c jpeg -q 50"
    )


def test_the_first_bytes_of_a_progressive_file(page: Page, photo_png: bytes) -> None:
    codec(page, "rippel2017", effort="3")
    give(page, ("photo.png", photo_png))
    measured(page)
    page.click("#show-prefixes")
    expect(page.locator("#prefix-strip li")).to_have_count(5)
    page.click("#prefix-strip li:nth-child(4) button")
    expect(page.locator("#side-right")).to_contain_text("40 %")


def test_many_photographs_with_totals(page: Page, photo_png: bytes) -> None:
    codec(page, "jpeg")
    give(page, ("a.png", photo_png), ("bad.png", b"no picture"), ("c.png", photo_png))
    measured(page)
    page.click("#batch-start")
    expect(page.locator("#batch-failures li")).to_contain_text("bad.png")
    size = len(comrec.encode(photo_png, "jpeg", 50))
    expect(page.locator("#batch-state")).to_contain_text(
        f"2 files, {2 * len(photo_png):,} to {2 * size:,} bytes", timeout=WAIT
    )
    with page.expect_download() as download:
        page.click("#batch-save")
    with zipfile.ZipFile(download.value.path()) as archive:
        assert sorted(archive.namelist()) == ["a.jpg", "c.jpg"]


def test_hostile_names_and_files_are_text(page: Page, photo_png: bytes) -> None:
    codec(page, "jpeg")
    name = "<img src=x onerror=alert(1)>.png"
    give(page, (name, b"\x89PNG\r\n\x1a\n and no more"))
    expect(page.locator("#message")).to_contain_text(name)
    assert page.inner_text("#name") == name
    assert page.locator("#work img[src=x]").count() == 0
    give(page, ("good.png", photo_png))
    measured(page)


def test_two_browsers_are_apart_and_files_go_with_the_page(
    browser: Browser, server: Server, page: Page, photo_png: bytes
) -> None:
    choose(page, "jpeg", photo_png)
    before = set(server.desks)
    with browser.new_context() as context:
        other = context.new_page()
        opened(other, server)
        expect(other.locator("#empty")).to_be_visible()
        address = page.get_attribute("#download", "href")
        assert address
        assert other.request.get(f"{server.url}{address}").status == 404
        assert page.request.get(f"{server.url}{address}").status == 200
        (its,) = set(server.desks) - before
        other.goto("about:blank")
        for _ in range(200):
            if not its.exists():
                break
            page.wait_for_timeout(50)
        assert not its.exists()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_serious_keeps_anyone_out(page: Page, photo_png: bytes, scheme: str) -> None:
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    assert not serious(page)
    choose(page, "jpeg-tuned", photo_png)
    for details in page.locator("details").all():
        details.locator("summary").click()
    page.select_option("#region", "rectangles")
    assert not serious(page)


def serious(page: Page) -> list[str]:
    found = Axe().run(page).response["violations"]
    return [
        f"{one['id']}: {one['help']}: {[node['html'] for node in one['nodes']]}"
        for one in found
        if one["impact"] in WORSE
    ]


def test_a_narrow_screen_shows_it_all(page: Page, photo_png: bytes) -> None:
    page.set_viewport_size({"width": 360, "height": 740})
    choose(page, "jpeg", photo_png)
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    for name in ("#view-difference", "#zoom-in", "#quality", "#download", "#plot"):
        box = page.locator(name).bounding_box()
        assert box is not None
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= 360


def test_the_picture_of_the_readme_is_of_this_page() -> None:
    with Image.open(Path(__file__).parent.parent / "docs" / "serve.png") as image:
        assert min(image.size) > 600
        assert np.asarray(image.convert("RGB")).std() > 20
