"""The tables of Jiang et al. 2017 beside what comrec measures on the same pictures.

    python benchmarks/jiang2017.py --data TEST [-o benchmarks/results/jiang2017.json]

The paper's protocol, as its released code has it: gray, 8 bits; "QF 10" and "QF 5" mean the
bytes of baseline JPEG with default Huffman tables at that quality, and the compact picture is
coded at JPEG quality 50 and about 30. PSNR in dB, SSIM; means over pictures.

Post-filters of plain JPEG publish theirs with luma in 16 to 235 for colour pictures; they and our
RecCNN stand in a table of their own.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from comrec import codec as registry
from comrec import files, metrics
from comrec.batch import pool
from comrec.batch.pool import Failure
from comrec.cli import terminal
from comrec.errors import InputError
from comrec.inference import store
from comrec.measure import machine
from comrec.measure.bench import SUFFIXES, read
from comrec.picture import Picture
from comrec.progress import progress
from comrec.sandwich.enhancement import Enhancing

Gray = NDArray[np.uint8]

_FACTS = Path(__file__).with_name("jiang2017.json")
_FOUND_AS = {
    "Butterfly": ("butterfly", "butterfly_gt"),
    "Cameraman": ("cameraman", "set12/01"),
    "House": ("house", "set12/02"),
    "Lena": ("lena", "lenna", "set12/08"),
    "Peppers": ("peppers", "pepper", "set12/03"),
    "Leaves": ("leaves",),
    "Parrots": ("parrots", "set12/07"),
}
"""What the paper's pictures are called in the sets that go around."""
_CHECKED = 10
"""The JPEG quality by whose PSNR versions of a picture are told apart."""
_SAME = 0.02
"""dB between the paper's JPEG and ours on the same picture, at most: rounding, two libraries."""
_MISSING = "-"

BASELINE = "jpeg, baseline"
OPTIMISED = "jpeg, at most as large"
EQUAL = "jiang2017-jpeg, at most as large"
FIXED = "jiang2017-jpeg, quality {}"
ENHANCED = {size: f"our RecCNN, {size}" for size in store.SIZES}


@dataclass(frozen=True)
class Score:
    """A file of one picture, or the mean of several."""

    bytes: float
    psnr: float
    ssim: float


@dataclass(frozen=True)
class Table:
    """Text for people: a head, and rows of as many cells."""

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Outcome:
    """What comparing gave.

    Attributes:
        tables: to be printed.
        scores: of each picture, for JSON.
        notes: sentences about pictures that are not the paper's, and about failures.
        complete: whether nothing failed.
    """

    tables: list[Table]
    scores: dict[str, Any]
    notes: list[str]
    complete: bool


@dataclass(frozen=True)
class _Task:
    path: Path
    factor: int
    compact_quality: int | None = None  # None: behind plain JPEG


Scores = dict[_Task, dict[str, Score]]


def compare(folder: Path, jobs: int = 1, quiet: bool = False) -> Outcome:
    """Measure what the folder has of the paper's pictures and of the sets around it.

    Args:
        folder: of pictures, in folders by set or not.
        jobs: processes at a time.
    Raises:
        InputError: none of the pictures is there.
    """
    facts = json.loads(_FACTS.read_text(encoding="utf-8"))
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    chosen, notes = _chosen(found, facts)
    sets = {
        name: [path for path in found if path.parent.name.lower() == name] for name in facts["sets"]
    }
    ours = dict.fromkeys([*chosen.values(), *(path for paths in sets.values() for path in paths)])
    if not ours:
        raise InputError(
            f"{folder}: none of the paper's pictures, and no folder {' or '.join(sets)}"
        )
    tasks = [_Task(p, t["factor"], t["compact_quality"]) for t in facts["tables"] for p in ours]
    filters = facts["post_filters"]
    tasks += [
        _Task(p, f) for name in filters["sets"] for p in sets[name] for f in filters["factors"]
    ]
    scores: Scores = {}
    with closing(pool.run(_measure, tasks, jobs)) as answers:
        for task, answer in progress(answers, len(tasks), "jiang2017", quiet):
            if isinstance(answer, Failure):
                notes.append(f"{task.path} failed: {answer.message}")
            else:
                scores[task] = answer
    tables = [
        *(one for t in facts["tables"] for one in _paper_tables(t, facts, chosen, scores)),
        _set_table(facts, sets, scores),
        _filter_table(facts, sets, scores),
    ]
    return Outcome(tables, _by_picture(folder, scores), notes, len(scores) == len(tasks))


def _chosen(found: list[Path], facts: dict[str, Any]) -> tuple[dict[str, Path], list[str]]:
    """The paper's pictures, of each name the one that codes most like it; and what differs."""
    table = next(table for table in facts["tables"] if table["factor"] == _CHECKED)
    chosen: dict[str, Path] = {}
    notes = []
    for name, expected in zip(facts["pictures"], table["psnr"]["JPEG"], strict=False):
        paths = [path for path in found if {path.stem.lower(), _short(path)} & {*_FOUND_AS[name]}]
        psnr_of = {path: _baseline(_full_range(path), _CHECKED)[1].psnr for path in paths}
        if not paths:
            continue
        path = chosen[name] = min(paths, key=lambda path: abs(psnr_of[path] - expected))
        if abs(psnr_of[path] - expected) > _SAME:
            notes.append(
                f"{name} ({path}) is another version than the paper's: JPEG at QF {_CHECKED} "
                f"gives {psnr_of[path]:.2f} dB, not {expected:.2f}"
            )
    return chosen, notes


def _short(path: Path) -> str:
    """A file by its set and name: "set12/01"."""
    return f"{path.parent.name}/{path.stem}".lower()


def _full_range(path: Path) -> Gray:
    """Gray pictures as they are; BT.601 luma of colour ones in 0..255."""
    picture = read(path)
    if picture.is_gray:
        return picture.pixels
    return np.rint(metrics.luma(picture.pixels)).astype(np.uint8)


def _studio_range(path: Path) -> Gray:
    """Gray pictures as they are; luma of colour ones in 16..235, as MATLAB's rgb2ycbcr."""
    picture = read(path)
    if picture.is_gray:
        return picture.pixels
    luma: NDArray[np.float32] = 16 + metrics.luma(picture.pixels) * np.float32(219 / 255)
    return np.rint(luma).astype(np.uint8)


def _measure(task: _Task) -> dict[str, Score]:
    if task.compact_quality is None:
        original = _studio_range(task.path)
        data, plain = _baseline(original, task.factor)
        file = files.parse(data)
        return {BASELINE: plain} | {
            name: _score(original, data, file.enhance(Enhancing(network=size)))
            for size, name in ENHANCED.items()
        }
    original = _full_range(task.path)
    picture = Picture(original)
    ours, jpeg = registry.get("jiang2017-jpeg"), registry.get("jpeg")
    data, plain = _baseline(original, task.factor)
    fixed = ours.encode(picture, task.compact_quality)
    arms = {
        OPTIMISED: (jpeg, jpeg.encode_within(picture, len(data)).data),
        EQUAL: (ours, ours.encode_within(picture, len(data)).data),
        FIXED.format(task.compact_quality): (ours, fixed),
    }
    scores = {
        arm: _score(original, file, coder.decode(file)) for arm, (coder, file) in arms.items()
    }
    return {BASELINE: plain, **scores}


def _baseline(original: Gray, factor: int) -> tuple[bytes, Score]:
    """JPEG with Annex K tables scaled by a quality factor and default Huffman tables."""
    buffer = io.BytesIO()
    Image.fromarray(original).save(buffer, "JPEG", quality=factor, optimize=False)
    data = buffer.getvalue()
    return data, _score(original, data, registry.get("jpeg").decode(data))


def _score(original: Gray, data: bytes, decoded: Picture) -> Score:
    pixels = decoded.pixels
    return Score(len(data), metrics.psnr(original, pixels), metrics.ssim(original, pixels))


def _paper_tables(
    table: dict[str, Any], facts: dict[str, Any], chosen: dict[str, Path], scores: Scores
) -> list[Table]:
    """PSNR and SSIM as the paper has them, ours below; and our bytes."""
    factor, quality = table["factor"], table["compact_quality"]
    of_picture = [
        scores.get(_Task(chosen[name], factor, quality)) if name in chosen else None
        for name in facts["pictures"]
    ]
    arms = (BASELINE, OPTIMISED, EQUAL, FIXED.format(quality))
    tables = []
    for metric, unit, digits in (
        ("psnr", "PSNR, dB", 2),
        ("ssim", "SSIM", 4),
        ("bytes", "bytes", 0),
    ):
        rows = [
            [f"paper: {method}", *(f"{value:.{digits}f}" for value in values)]
            for method, values in table.get(metric, {}).items()
        ]
        for arm in arms:
            values = [
                None if found is None else getattr(found[arm], metric) for found in of_picture
            ]
            known = [value for value in values if value is not None]
            mean = fmean(known) if len(known) == len(values) else None
            rows.append([f"comrec: {arm}", *(_number(value, digits) for value in (*values, mean))])
        title = f"{table['name']}, JPEG of QF {factor}: {unit}"
        tables.append(Table(title, ["", *facts["pictures"], "mean"], rows))
    return tables


def _set_table(facts: dict[str, Any], sets: dict[str, list[Path]], scores: Scores) -> Table:
    rows = []
    for name, paths in sets.items():
        count = facts["sets"][name]
        for table in facts["tables"]:
            factor, quality = table["factor"], table["compact_quality"]
            means = _means([scores.get(_Task(path, factor, quality)) for path in paths], count)
            for arm in (BASELINE, OPTIMISED, EQUAL, FIXED.format(quality)):
                rows.append([f"{name}, QF {factor}, {arm}", *_cells(means.get(arm))])
        released = facts["released"]["sets"][name]
        label = f"{name}, the paper's networks, quality {facts['released']['compact_quality']}"
        rows.append([label, _MISSING, f"{released['psnr']:.2f}", f"{released['ssim']:.4f}"])
    return Table("Test sets, means", ["", "bytes", "PSNR dB", "SSIM"], rows)


def _filter_table(facts: dict[str, Any], sets: dict[str, list[Path]], scores: Scores) -> Table:
    rows = []
    filters = facts["post_filters"]
    for name, published in filters["sets"].items():
        for index, factor in enumerate(filters["factors"]):
            found = [scores.get(_Task(path, factor)) for path in sets[name]]
            means = _means(found, facts["sets"][name])
            theirs = [
                f"{method['psnr'][index]:.2f} / {method['ssim'][index]:.4f}"
                for method in published.values()
            ]
            plain, *ours = (_pair(means.get(arm)) for arm in (BASELINE, *ENHANCED.values()))
            rows.append([f"{name}, QF {factor}", plain, *theirs, *ours])
    methods = next(iter(filters["sets"].values()))
    columns = ["", "jpeg", *methods, *ENHANCED.values()]
    return Table("Behind baseline JPEG, PSNR dB / SSIM", columns, rows)


def _means(found: list[dict[str, Score] | None], count: int) -> dict[str, Score]:
    """Means over a set's pictures by arm; none where some are missing."""
    known = [scores for scores in found if scores is not None]
    if len(known) != count:
        return {}
    return {
        arm: Score(
            fmean(scores[arm].bytes for scores in known),
            fmean(scores[arm].psnr for scores in known),
            fmean(scores[arm].ssim for scores in known),
        )
        for arm in known[0]
    }


def _cells(score: Score | None) -> list[str]:
    if score is None:
        return [_MISSING] * 3
    return [_number(score.bytes, 0), _number(score.psnr, 2), _number(score.ssim, 4)]


def _pair(score: Score | None) -> str:
    return _MISSING if score is None else " / ".join(_cells(score)[1:])


def _number(value: float | None, digits: int) -> str:
    return _MISSING if value is None else f"{value:,.{digits}f}"


def _by_picture(folder: Path, scores: Scores) -> dict[str, Any]:
    """All scores, by picture, kind and JPEG quality, for JSON."""
    out: dict[str, Any] = {}
    for task, of_task in scores.items():
        kind = "post-filter" if task.compact_quality is None else "reproduction"
        of_picture = out.setdefault(str(task.path.relative_to(folder)), {})
        of_picture.setdefault(kind, {})[f"QF {task.factor}"] = {
            arm: asdict(score) for arm, score in of_task.items()
        }
    return out


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", required=True, type=Path, help="test pictures, in any layout")
    parser.add_argument("-o", "--output", type=Path, help="JSON of each picture's values")
    parser.add_argument("-j", "--jobs", type=int, default=1, help="processes")
    options = parser.parse_args()
    outcome = compare(options.data, options.jobs)
    for table in outcome.tables:
        print(table.title)
        print(terminal.table(table.head, table.rows), end="\n\n")
    for note in outcome.notes:
        print(note, file=sys.stderr)
    if options.output is not None:
        content = {"machine": machine.facts(), "pictures": outcome.scores}
        options.output.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return 0 if outcome.complete else 1


if __name__ == "__main__":
    raise SystemExit(main())
