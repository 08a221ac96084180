"""Pictures that are no photographs, drawn from a seed: screenshots, pixel art, drawings, mixtures.

Each is (H, W, 3) uint8.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter, ImageFont

Pixels = NDArray[np.uint8]
Colour = tuple[int, int, int]

_TEXT = (
    "The quick brown fox jumps over a lazy dog; Settings File Edit View Help 0123456789 "
    "def decode(data: bytes) -> Picture: return self.codec # total 42.50 EUR Cancel Apply"
)
_WORDS = _TEXT.split()


def document(seed: int, width: int, height: int) -> Pixels:
    """A page of text, dark on light or light on dark; some words in colour."""
    chance = random.Random(seed)
    dark = seed % 2 == 1
    ground, ink = ((30, 32, 38), (214, 216, 220)) if dark else ((255, 255, 255), (20, 20, 20))
    image = Image.new("RGB", (width, height), ground)
    draw = ImageDraw.Draw(image)
    size = chance.choice((9, 11, 13, 16))
    font = ImageFont.load_default(size)
    top = 3
    while top < height - size:
        left = 4.0
        while left < width - 20:
            word = chance.choice(_WORDS)
            colour = _vivid(chance) if chance.random() < 0.25 else ink
            draw.text((left, top), word, colour, font)
            left += draw.textlength(word + " ", font)
        top += round(size * 1.4)
    return np.array(image)


def window(seed: int, width: int, height: int) -> Pixels:
    """A desktop window: title bar with a gradient, buttons, a list, small text, icons."""
    chance = random.Random(seed)
    image = Image.new("RGB", (width, height), chance.choice(((240, 240, 240), (43, 43, 48))))
    draw = ImageDraw.Draw(image)
    first, second = _vivid(chance), _vivid(chance)
    for row in range(22):
        mixed = [round(a + (b - a) * row / 22) for a, b in zip(first, second, strict=True)]
        draw.line((0, row, width, row), (mixed[0], mixed[1], mixed[2]))
    font = ImageFont.load_default(11)
    draw.text((6, 4), " ".join(chance.sample(_WORDS, 3)), (255, 255, 255), font)
    draw.rectangle((0, 23, width // 4, height), _pale(chance))
    for place, row in enumerate(range(28, height - 14, 16)):
        draw.rectangle((4, row, 14, row + 10), _vivid(chance), (0, 0, 0))
        draw.text((18, row - 1), chance.choice(_WORDS), (30, 30, 60), font)
        if place % 2:
            draw.rectangle((width // 4 + 6, row, width - 6, row + 15), _pale(chance))
        draw.text((width // 4 + 10, row), " ".join(chance.sample(_WORDS, 4)), (90, 90, 90), font)
    box = (width - 62, height - 24, width - 6, height - 6)
    draw.rounded_rectangle(box, 4, _vivid(chance))
    draw.text((width - 50, height - 22), "Apply", (255, 255, 255), font)
    return np.array(image)


def sprites(seed: int, width: int, height: int) -> Pixels:
    """Pixel art of few colours, each pixel enlarged to a square of 3 to 8."""
    chance = random.Random(seed)
    scale = (4, 8, 3, 6)[seed % 4]
    palette = [_vivid(chance) for _ in range(6)] + [(0, 0, 0), (255, 255, 255)]
    columns, rows = -(-width // scale), -(-height // scale)
    image = Image.new("RGB", (columns, rows), _pale(chance))
    draw = ImageDraw.Draw(image)
    for _ in range(columns * rows // 60):
        left, top = chance.randrange(columns), chance.randrange(rows)
        side = chance.randrange(2, 7)
        for x in range(side):
            for y in range(side):
                if chance.random() < 0.6:  # mirrored, as sprites of creatures are
                    for across in (x, 2 * side - 1 - x):
                        draw.point((left + across, top + y), chance.choice(palette))
    enlarged = image.resize((columns * scale, rows * scale), Image.Resampling.NEAREST)
    return np.array(enlarged)[:height, :width].copy()


def drawing(seed: int, width: int, height: int) -> Pixels:
    """A flat illustration with outlines, antialiased; odd seeds are line drawings on white."""
    chance = random.Random(seed)
    times = 4
    lines = seed % 2 == 1
    ground = (255, 255, 255) if lines else _pale(chance)
    image = Image.new("RGB", (width * times, height * times), ground)
    draw = ImageDraw.Draw(image)
    for _ in range(14):
        x, y = chance.randrange(width), chance.randrange(height)
        radius = chance.randrange(8, 45)
        corners = [
            (
                (x + radius * math.cos(turn) * chance.uniform(0.5, 1)) * times,
                (y + radius * math.sin(turn) * chance.uniform(0.5, 1)) * times,
            )
            for turn in np.linspace(0, 2 * math.pi, chance.randrange(4, 12))
        ]
        ink = (20, 20, 20) if lines else _vivid(chance)
        if lines:
            draw.line(corners, ink, chance.randrange(3, 9), "curve")
        else:
            draw.polygon(corners, ink, (10, 10, 10), chance.choice((0, 6)))
    return np.array(image.resize((width, height), Image.Resampling.BOX))


def chart(seed: int, width: int, height: int) -> Pixels:
    """Axes, a grid, bars, curves and labels."""
    chance = random.Random(seed)
    times = 3
    image = Image.new("RGB", (width * times, height * times), (255, 255, 255))
    draw = ImageDraw.Draw(image)
    font = ImageFont.load_default(10 * times)
    for row in range(12, height, 22):
        draw.line((24 * times, row * times, width * times, row * times), (210, 210, 210), times)
        draw.text((2 * times, (row - 6) * times), str(height - row), (0, 0, 0), font)
    for left in range(30, width - 14, 24):
        top = chance.randrange(20, height - 10)
        draw.rectangle(
            (left * times, top * times, (left + 14) * times, height * times), _vivid(chance)
        )
    for _ in range(2):
        across = np.arange(24, width)
        wave = height / 2 + height / 3 * np.sin(across / chance.uniform(10, 40))
        points = list(zip((across * times).tolist(), (wave * times).tolist(), strict=True))
        draw.line(points, _vivid(chance), 2 * times)
    return np.array(image.resize((width, height), Image.Resampling.BOX))


def shaded(seed: int, width: int, height: int) -> Pixels:
    """A cartoon with soft shading and outlines."""
    flat = Image.fromarray(drawing(2 * seed, width, height))
    soft = np.asarray(flat.filter(ImageFilter.GaussianBlur(6)), np.float32)
    y, x = np.mgrid[0:height, 0:width]
    light = 1 + 0.2 * np.sin(x / 23 + seed) * np.cos(y / 31)
    mixed = 0.6 * np.asarray(flat, np.float32) * light[..., None] + 0.4 * soft
    drawn: Pixels = np.clip(np.rint(mixed), 0, 255).astype(np.uint8)
    return drawn


def captioned(photograph: Pixels, seed: int) -> Pixels:
    """A photograph with text over it and a bar of text below."""
    chance = random.Random(seed)
    image = Image.fromarray(photograph)
    draw = ImageDraw.Draw(image)
    font = ImageFont.load_default(20)
    draw.text((6, 6), " ".join(chance.sample(_WORDS, 3)), (255, 255, 255), font,
              stroke_width=2, stroke_fill=(0, 0, 0))  # fmt: skip
    bar = image.height * 3 // 4
    draw.rectangle((0, bar, image.width, image.height), (250, 250, 240))
    for row in range(bar + 2, image.height - 10, 13):
        words = " ".join(chance.choices(_WORDS, k=6))
        draw.text((4, row), words, _vivid(chance), ImageFont.load_default(11))
    return np.array(image)


def grainy(photograph: Pixels, seed: int) -> Pixels:
    """A photograph with film grain, the same in all channels but for a part."""
    chance = np.random.default_rng(seed)
    noise = 8 * chance.standard_normal((*photograph.shape[:2], 1)) + 3 * chance.standard_normal(
        photograph.shape
    )
    return np.clip(np.rint(photograph + noise), 0, 255).astype(np.uint8)


def dark(photograph: Pixels) -> Pixels:
    """A photograph in low light."""
    darkened: Pixels = np.rint(255 * (photograph / 255) ** 1.6 * 0.35).astype(np.uint8)
    return darkened


DRAWN: dict[str, tuple[Callable[[int, int, int], Pixels], ...]] = {
    "screenshot": (document, window),
    "pixel art": (sprites,),
    "drawing": (drawing, chart, shaded),
}
"""The functions that draw pictures of a kind from (seed, width, height)."""


def _vivid(chance: random.Random) -> Colour:
    return chance.randrange(256), chance.randrange(256), chance.randrange(256)


def _pale(chance: random.Random) -> Colour:
    return chance.randrange(200, 256), chance.randrange(200, 256), chance.randrange(200, 256)
