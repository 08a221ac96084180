"""Desks: the photographs and jobs of one open page, in a work folder of its own.

A desk is found by a name that cannot be guessed, and only by the browser that opened it. Files in
its folder are named by number. Whoever knows neither sees nothing of it.
"""

from __future__ import annotations

import asyncio
import secrets
import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from comrec.codec import Codec
from comrec.errors import ComrecError, OptionError
from comrec.learned.progressive import ProgressiveCodec
from comrec.preparation import Preparation
from comrec.text import printable
from comrec.web import limits, tasks
from comrec.web.crew import Crew, End, Work
from comrec.web.settings import Settings, check_region
from comrec.web.tasks import Facts, Source, Task
from comrec.web.views import Box

_QUICK = 5
"""Effort from which on latents and coefficients are not refined."""

State = Literal["waiting", "working", "done", "failed", "cancelled"]


class MissingError(ComrecError):
    """There is no such desk, photograph or job."""


class FullError(ComrecError):
    """A limit of the server is reached."""


@dataclass
class Photo:
    """An uploaded file.

    Attributes:
        name: as it was uploaded, for people; no path.
        path: where it lies.
        pixels: the job that read it last; None before.
    """

    number: int
    name: str
    path: Path
    pixels: Job | None = None


@dataclass(eq=False)
class Job:
    """Something to do for a desk.

    Attributes:
        kind: "open", "encode", "plain", "importance" or "prefixes".
        facts: what is known so far.
        settings: of an "encode".
    """

    number: int
    kind: str
    photo: Photo
    folder: Path
    settings: Settings | None = None
    state: State = "waiting"
    facts: Facts = field(default_factory=dict)
    work: Work | None = None

    @property
    def file(self) -> Path:
        """The file that an "encode" makes."""
        return self.folder / f"{self.number}.file"

    def layer(self, part: str = "") -> Path:
        """The pixels that it makes; of "prefixes", of so many percent."""
        return self.folder / f"{self.number}{part and '-'}{part}.npy"

    @property
    def description(self) -> Facts:
        """For the page."""
        head = {"job": self.number, "kind": self.kind, "photo": self.photo.number}
        return {**head, "state": self.state, **self.facts}


class Feed:
    """Jobs of a desk that have changed since they were last told."""

    def __init__(self, jobs: list[Job]) -> None:
        self._changed = dict.fromkeys(jobs)
        self.woken = asyncio.Event()
        self.woken.set()

    def add(self, job: Job) -> None:
        self._changed[job] = None
        self.woken.set()

    def take(self) -> list[Facts]:
        """Descriptions, each job once."""
        self.woken.clear()
        changed, self._changed = self._changed, {}
        return [job.description for job in changed]


class Desk:
    """See the module. Its methods are called in the event loop's thread."""

    def __init__(self, folder: Path, browser: str, crew: Crew, previewers: Crew) -> None:
        self.browser = browser
        self.folder = folder
        self.photos: dict[int, Photo] = {}
        self.jobs: dict[int, Job] = {}
        self.closed = False
        self.heard = time.monotonic()
        self._feeds: set[Feed] = set()
        self._crew, self._previewers = crew, previewers
        self._preview: Work | None = None
        self._numbers = 0
        self._loop = asyncio.get_running_loop()
        folder.mkdir(mode=0o700)

    # what is there

    def photo(self, number: int) -> Photo:
        """
        Raises:
            MissingError.
        """
        if number not in self.photos:
            raise MissingError(f"there is no photograph {number}")
        return self.photos[number]

    def job(self, number: int) -> Job:
        """
        Raises:
            MissingError.
        """
        if number not in self.jobs:
            raise MissingError(f"there is no job {number}")
        return self.jobs[number]

    def check_room(self) -> None:
        """
        Raises:
            FullError: the work folder, or the disk, has no room for more.
        """
        used = sum(file.stat().st_size for file in self.folder.iterdir())
        if used > limits.DISK:
            raise FullError("this page's work folder is full: remove results or photographs")
        if shutil.disk_usage(self.folder).free < limits.SPARE:
            raise FullError("the server's disk is full")

    # photographs

    def new_photo(self, name: str) -> Photo:
        """A photograph to come: its file is not there yet, and nor is it listed.

        Raises:
            FullError.
        """
        self.check_room()
        if len(self.photos) >= limits.PHOTOS:
            raise FullError(f"a page takes {limits.PHOTOS} photographs; remove some")
        number = self._next()
        return Photo(number, shown_name(name), self.folder / f"{number}.upload")

    def add(self, photo: Photo) -> None:
        """List it: its file is there."""
        if self.closed:
            raise MissingError("the page is closed")
        self.photos[photo.number] = photo

    def remove_photo(self, number: int) -> None:
        """Forget a photograph. Files that were made of it stay."""
        photo = self.photo(number)
        del self.photos[number]
        photo.path.unlink(missing_ok=True)
        for job in [job for job in self.jobs.values() if job.photo is photo]:
            if job.kind != "encode":
                self.remove_job(job.number)

    # jobs

    def open(self, photo: Photo, how: Preparation) -> Job:
        """Read a photograph."""
        job = Job(self._next(), "open", photo, self.folder)
        photo.pixels = job
        return self._submit(job, tasks.Open(_source(photo, how), str(job.layer())))

    def encode(self, photo: Photo, settings: Settings, *, many: bool) -> Job:
        """Make a file.

        Args:
            many: of many files: measure PSNR alone, and keep no pixels.
        """
        job = Job(self._next(), "encode", photo, self.folder, settings)
        job.facts = {
            "codec": str(settings.coder),
            "name": settings.output(photo.name),
            "command": settings.command(photo.name),
            "progressive": isinstance(settings.coder, ProgressiveCodec),
        }
        layer, scores = (None, ("psnr",)) if many else (str(job.layer()), tasks.SCORES)
        source = _source(photo, settings.how)
        return self._submit(job, tasks.Encode(source, settings, str(job.file), layer, scores))

    def plain(self, of: Job) -> Job:
        """What other viewers see of a file."""
        opened = _pixels(of.photo)
        job = Job(self._next(), "plain", of.photo, self.folder)
        job.facts = {"of": of.number}
        size = opened.facts["width"], opened.facts["height"]
        return self._submit(job, tasks.Plain(str(of.file), str(job.layer()), size))

    def importance(self, photo: Photo, region: str) -> Job:
        """Which part of a photograph matters."""
        opened = _pixels(photo)
        job = Job(self._next(), "importance", photo, self.folder)
        job.facts = {"region": check_region(region)}
        task = tasks.Importance(str(opened.layer()), region, str(job.layer()))
        return self._submit(job, task)

    def prefixes(self, of: Job) -> Job:
        """What the first bytes of a file show."""
        if of.settings is None or not isinstance(of.settings.coder, ProgressiveCodec):
            raise OptionError("only files of progressive codecs have prefixes")
        job = Job(self._next(), "prefixes", of.photo, self.folder)
        job.facts = {"of": of.number}
        source, layers = _source(of.photo, of.settings.how), str(job.layer("{}"))
        return self._submit(job, tasks.Prefixes(source, of.settings.coder, str(of.file), layers))

    def remove_job(self, number: int) -> None:
        """Cancel a job, or forget what it made."""
        job = self.job(number)
        if job.state in ("waiting", "working"):
            if job.work is not None:
                self._crew.cancel(job.work)
            return
        del self.jobs[number]
        for file in (job.file, job.layer(), *self.folder.glob(f"{number}-*.npy")):
            file.unlink(missing_ok=True)

    async def preview(self, photo: Photo, settings: Settings, box: Box) -> Facts | None:
        """What a part of a photograph would be; None where a later preview takes its place.

        Where the codec has networks, with less effort.

        Raises:
            ComrecError.
        """
        if not isinstance(settings.wanted, float):
            raise OptionError("only qualities have previews")
        pixels = str(_pixels(photo).layer())
        ended: asyncio.Future[tuple[End, Facts]] = self._loop.create_future()
        found: Facts = {}

        def report(end: End | None, facts: Facts) -> None:
            found.update(facts)
            if end is not None:
                self._call(finish, end)

        def finish(end: End) -> None:
            if not ended.done():  # the browser left
                ended.set_result((end, found))

        if self._preview is not None:
            self._previewers.cancel_waiting(self._preview)
        work = Work(tasks.Preview(pixels, _quick(settings.coder), settings.wanted, box), report)
        self._preview = work
        self._previewers.submit(work)
        end, facts = await ended
        if end == "failed":
            raise OptionError(facts["error"])
        return facts if end == "done" else None

    # the page

    def listen(self) -> Feed:
        """All jobs, and then those that change."""
        feed = Feed(list(self.jobs.values()))
        self._feeds.add(feed)
        return feed

    def leave(self, feed: Feed) -> None:
        """Forget a feed."""
        self._feeds.discard(feed)
        self.heard = time.monotonic()

    @property
    def idle(self) -> bool:
        """Whether nobody has listened for long."""
        return not self._feeds and time.monotonic() - self.heard > limits.IDLE

    def close(self) -> None:
        """Cancel all, and remove the work folder."""
        self.closed = True
        for job in self.jobs.values():
            if job.state in ("waiting", "working") and job.work is not None:
                self._crew.cancel(job.work)
        for feed in self._feeds:
            feed.woken.set()
        shutil.rmtree(self.folder, ignore_errors=True)

    # inside

    def _next(self) -> int:
        self._numbers += 1
        return self._numbers

    def _submit(self, job: Job, task: Task) -> Job:
        self.check_room()
        job.work = Work(task, lambda end, facts: self._call(self._told, job, end, facts))
        self._crew.submit(job.work)
        self.jobs[job.number] = job
        self._tell(job)
        return job

    def _call(self, function: Callable[..., None], *given: Any) -> None:
        """In the event loop's thread."""
        with suppress(RuntimeError):  # the server has stopped
            self._loop.call_soon_threadsafe(function, *given)

    def _told(self, job: Job, end: End | None, facts: Facts) -> None:
        job.facts.update(facts)
        job.state = "working" if end is None else end
        if end is not None:
            job.work = None
        self._tell(job)

    def _tell(self, job: Job) -> None:
        for feed in self._feeds:
            feed.add(job)


class Desks:
    """All desks of a server.

    Args:
        root: a folder that is ours.
        crew, previewers: do the work.
    """

    def __init__(self, root: Path, crew: Crew, previewers: Crew) -> None:
        self._root = root
        self._crew, self._previewers = crew, previewers
        self._desks: dict[str, Desk] = {}

    def new(self, browser: str) -> str:
        """The name of a new desk of a browser.

        Raises:
            FullError: there are too many.
        """
        self.sweep()
        if len(self._desks) >= limits.DESKS:
            raise FullError(f"{limits.DESKS} pages are open already")
        name = secrets.token_urlsafe(24)
        self._desks[name] = Desk(self._root / name, browser, self._crew, self._previewers)
        return name

    def get(self, name: str, browser: str | None) -> Desk:
        """The desk of a browser.

        Raises:
            MissingError: it is not there, or another browser's.
        """
        desk = self._desks.get(name)
        if desk is None or browser is None or not secrets.compare_digest(desk.browser, browser):
            raise MissingError("this page was closed; load it again")
        desk.heard = time.monotonic()
        return desk

    def close(self, name: str) -> None:
        """Close a desk."""
        self._desks.pop(name).close()

    def sweep(self) -> None:
        """Close desks that nobody listens to, and remove what closed ones left: a process may have
        written as it was ended."""
        for name in [name for name, desk in self._desks.items() if desk.idle]:
            self.close(name)
        for folder in self._root.iterdir():
            if folder.name not in self._desks:
                shutil.rmtree(folder, ignore_errors=True)


def shown_name(name: str) -> str:
    """The last part of a path, printable, and not too long: for people, never for the file
    system."""
    last = PurePosixPath(name.replace("\\", "/")).name
    plain = printable(last).replace("\\", "_").replace("/", "_")
    stem, dot, suffix = plain.rpartition(".")
    if len(plain) > limits.NAME:
        plain = f"{stem[: limits.NAME - 12]}{dot}{suffix[:10]}"
    return plain.strip() if plain.strip(" .") else "photo"


def _source(photo: Photo, how: Preparation) -> Source:
    return Source(str(photo.path), photo.name, how)


def _pixels(photo: Photo) -> Job:
    if photo.pixels is None or photo.pixels.state != "done":
        raise MissingError("the photograph has not been read")
    return photo.pixels


def _quick(coder: Codec) -> Codec:
    """A codec that does not refine what its networks give."""
    if coder.networks and getattr(coder, "effort", 0) > _QUICK:
        return replace(coder, effort=_QUICK)  # type: ignore[type-var]
    return coder
