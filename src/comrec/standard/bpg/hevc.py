"""HEVC intra pictures by PyAV: encoding by x265, decoding by FFmpeg."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from types import ModuleType
from typing import Any

import numpy as np

from comrec.errors import DamagedFileError, MissingExtraError, UnsupportedPictureError
from comrec.standard.bpg import parameters
from comrec.standard.bpg.colour import Plane
from comrec.standard.bpg.container import START_CODE, Stream, split_units
from comrec.standard.bpg.parameters import SPS, VPS

PRESETS = (
    "ultrafast", "superfast", "veryfast", "faster", "fast",
    "medium", "slow", "slower", "veryslow", "placebo",
)  # fmt: skip
"""Presets of x265, fastest to smallest."""

_STEP = 3.0
"""See `step`; fitted, see `chroma.TOLERATED`."""

_LAYOUTS = ("gray", "yuv420p", "yuv422p", "yuv444p")
_DECODED_DEPTHS = (8, 9, 10, 12)  # FFmpeg's

_PARAMETERS = {
    "ipratio": 1,  # otherwise the QP is 3 below the requested one
    "psy-rd": 0,  # otherwise 2.6 % larger at equal PSNR, with coarser chroma at 4:4:4
    "psy-rdoq": 0,
    "tu-intra-depth": 3,  # 0.9 % smaller in 1/6 more time, on validation photographs
    "tu-inter-depth": 1,  # unused, but the value of the slowest presets is refused for small units
    "keyint": 1,
    "info": 0,  # otherwise 2 kB of settings
    # One thread: a pool wastes time on few cores, and wavefronts change the bytes.
    "pools": "none",
    "wpp": 0,
    "frame-threads": 1,
    "allow-non-conformance": 1,  # small coding tree units in large pictures: BPG has no levels
    "log-level": "none",
}


def step(quantiser: float) -> float:
    """The step that `chroma` is told of a QP: they double every six QPs (ITU-T H.265, 8.6.3)."""
    return float(_STEP * 2 ** ((quantiser - 22) / 6))


def encode(
    planes: Sequence[Plane],
    chroma_format: int,
    bit_depth: int,
    *,
    effort: int,
    quantiser: int | None,
    chroma_offset: int = 0,
) -> Stream:
    """Encode one picture.

    Args:
        planes: luma (H, W); unless `chroma_format` is 0, two of chroma, sides rounded up.
        chroma_format: 0 for 4:0:0, 1 for 4:2:0, 2 for 4:2:2, 3 for 4:4:4.
        bit_depth: 8, 10 or 12.
        effort: 1..10, see `PRESETS`.
        quantiser: QP 0..51; None for lossless.
        chroma_offset: added to the QP of chroma, -12..12.
    Raises:
        MissingExtraError: PyAV is not installed.
        UnsupportedPictureError: the picture is too large for FFmpeg.
    """
    side = min(planes[0].shape)
    # x265 needs pictures of at least a coding tree unit, whose side is at least 16.
    unit = next((unit for unit in (64, 32) if side >= unit), 16)
    block = 8 if side > 8 else 16
    chosen: dict[str, Any] = {"lossless": 1} if quantiser is None else {"qp": quantiser}
    chosen |= {"cbqpoffs": chroma_offset, "crqpoffs": chroma_offset}
    chosen |= {"ctu": unit, "min-cu-size": block} | _PARAMETERS
    padded = [
        _padded(plane, *(block // step for step in _steps(chroma_format, at)))
        for at, plane in enumerate(planes)
    ]
    layout = _LAYOUTS[chroma_format] + ("" if bit_depth == 8 else f"{bit_depth}le")
    data = x265(padded, layout, PRESETS[effort - 1], chosen)
    units = [unit for unit in split_units(data) if unit]
    sequence = next(unit for unit in units if _kind(unit) == SPS)
    header = parameters.read_sequence(sequence)
    return Stream(header, [unit for unit in units if _kind(unit) not in (VPS, SPS)])


def decode(
    stream: Stream, width: int, height: int, chroma_format: int, bit_depth: int
) -> list[Plane]:
    """Decode a stream to planes, cropped to the picture; sides of chroma are rounded up.

    Raises:
        DamagedFileError: there is no picture, or its checksum (optional in HEVC) is wrong.
        UnsupportedPictureError: FFmpeg does not decode this kind, or not correctly.
        MissingExtraError: PyAV is not installed.
    """
    if bit_depth not in _DECODED_DEPTHS:
        raise UnsupportedPictureError(
            f"input: a BPG file of {bit_depth} bits per sample; FFmpeg decodes 8, 9, 10 and 12"
        )
    if stream.header.implicit_rdpcm:
        raise UnsupportedPictureError(
            "input: a BPG file with implicit RDPCM, as written by the jctvc encoder of "
            "bpgenc with -lossless; FFmpeg decodes it incorrectly: convert it with bpgdec"
        )
    block = stream.header.smallest_block
    sets = [
        parameters.video_parameter_set(),
        parameters.sequence_parameter_set(
            stream.header,
            width + -width % block,
            height + -height % block,
            chroma_format,
            bit_depth,
        ),
    ]
    frame = ffmpeg(b"".join(START_CODE + unit for unit in [*sets, *stream.units]))
    kind = np.dtype(np.uint8 if bit_depth == 8 else np.uint16)
    planes: list[Plane] = []
    for at, plane in enumerate(frame.planes):
        rows, columns = _steps(chroma_format, at)
        lines = np.frombuffer(plane, kind).reshape(plane.height, -1)
        planes.append(lines[: -(-height // rows), : -(-width // columns)])
    return planes


def x265(planes: Sequence[Plane], layout: str, preset: str, chosen: dict[str, Any]) -> bytes:
    """The Annex B stream of one picture.

    Args:
        layout: FFmpeg's name of the pixel format.
        chosen: x265's parameters.
    Raises:
        MissingExtraError, UnsupportedPictureError.
    """
    av = _av()
    height, width = planes[0].shape
    try:
        frame = av.VideoFrame(width, height, layout)
        for target, plane in zip(frame.planes, planes, strict=True):
            lines = np.frombuffer(target, plane.dtype).reshape(target.height, -1)
            lines[:, : plane.shape[1]] = plane
        coder = av.CodecContext.create("libx265", "w")
        coder.width, coder.height, coder.pix_fmt = width, height, layout
        coder.time_base, coder.framerate = Fraction(1, 25), Fraction(25)
        coder.options = {
            "preset": preset,
            "x265-params": ":".join(f"{name}={value}" for name, value in chosen.items()),
        }
        return b"".join(map(bytes, [*coder.encode(frame), *coder.encode(None)]))
    except av.FFmpegError as error:
        raise UnsupportedPictureError(
            f"bpg cannot store a picture of {width}x{height} ({error.strerror})"
        ) from None


def ffmpeg(data: bytes) -> Any:
    """The first picture of an Annex B stream, an ``av.VideoFrame``.

    Raises:
        MissingExtraError, DamagedFileError.
    """
    av = _av()
    decoder = av.CodecContext.create("hevc", "r")
    decoder.thread_count = 1
    decoder.options = {"err_detect": "crccheck+explode"}
    try:
        frames = [*decoder.decode(av.Packet(data)), *decoder.decode(None)]
    except av.FFmpegError as error:
        raise DamagedFileError(f"input: damaged BPG file ({error.strerror})") from None
    if not frames:
        raise DamagedFileError("input: damaged BPG file (no picture decoded)")
    return frames[0]


def _av() -> ModuleType:
    try:
        import av
    except ImportError:
        raise MissingExtraError("BPG", "bpg") from None
    return av


def _kind(unit: bytes) -> int:
    return unit[0] >> 1 & 63


def _steps(chroma_format: int, at: int) -> tuple[int, int]:
    """Rows and columns of the picture per sample of a plane."""
    if at == 0:
        return 1, 1
    return 2 if chroma_format == 1 else 1, 2 if chroma_format < 3 else 1


def _padded(plane: Plane, rows: int, columns: int) -> Plane:
    """Pad to multiples of ``rows`` and ``columns``, repeating the last row and column."""
    height, width = plane.shape
    around = ((0, -height % rows), (0, -width % columns))
    return np.pad(plane, around, mode="edge") if any(map(any, around)) else plane
