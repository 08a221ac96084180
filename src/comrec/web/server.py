"""The routes of `comrec serve`."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import shutil
import tempfile
import zipfile
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from comrec import records
from comrec.batch import memory
from comrec.errors import ComrecError, OptionError
from comrec.text import as_json
from comrec.web import limits, views
from comrec.web.catalogue import catalogue
from comrec.web.crew import BusyError, Crew
from comrec.web.desks import Desk, Desks, FullError, Job, MissingError
from comrec.web.guard import Guard
from comrec.web.settings import Settings, conversions
from comrec.web.views import Box

PAGE = Path(__file__).with_name("page")
_STATUS = {MissingError: 404, FullError: 507, BusyError: 503}
_SWEEP = 30.0  # seconds
_BEAT = 15.0  # seconds between signs of life, by which a browser that left is noticed
_VIEWS = 2  # made at once

Handler = Callable[[Request, Desk], Awaitable[Response]]


def application(names: Collection[str] = (), photos: Sequence[Path] = ()) -> Starlette:
    """The whole server. Its processes and its work folder live as long as its lifespan.

    Args:
        names: see `Guard`.
        photos: that every page begins with.
    """
    app = Starlette(
        routes=[
            Route("/api/catalogue", _catalogue),
            Route("/api/photos/{photo:int}", _given),
            Route("/api/desks", _new_desk, methods=["POST"]),
            Mount("/api/desks/{desk}", routes=_of_a_desk()),
            Mount("/", StaticFiles(directory=PAGE, html=True)),
        ],
        middleware=[Middleware(Guard, names)],
        exception_handlers={ComrecError: _failed, HTTPException: _failed},
        lifespan=_lifespan,
    )
    app.state.photos = photos
    return app


def _of_a_desk() -> list[Route]:
    def route(path: str, handler: Handler, method: str) -> Route:
        async def handle(request: Request) -> Response:
            desks: Desks = request.app.state.desks
            browser = request.cookies.get(_cookie(request))
            return await handler(request, desks.get(request.path_params["desk"], browser))

        return Route(path, handle, methods=[method])

    return [
        route("/events", _events, "GET"),
        route("/close", _close, "POST"),
        route("/photos", _upload, "POST"),
        route("/photos/{photo:int}", _remove_photo, "DELETE"),
        route("/jobs", _new_job, "POST"),
        route("/jobs/{job:int}", _remove_job, "DELETE"),
        route("/jobs/{job:int}/file", _file, "GET"),
        route("/jobs/{job:int}/view", _view, "GET"),
        route("/files.zip", _archive, "GET"),
        route("/preview", _preview, "POST"),
    ]


@contextlib.asynccontextmanager
async def _lifespan(app: Starlette) -> AsyncIterator[None]:
    root = Path(tempfile.mkdtemp(prefix="comrec-serve-"))
    # Two at least: while one measures, the next file can be made. Their libraries have threads.
    most = memory.available()
    crew = Crew(max(2, (os.cpu_count() or 1) // 4), limits.WAITING, most)
    previewers = Crew(1, limits.WAITING, most)
    desks = app.state.desks = Desks(root, crew, previewers)
    app.state.viewing = asyncio.Semaphore(_VIEWS)

    async def sweep() -> None:
        while True:
            await asyncio.sleep(_SWEEP)
            desks.sweep()

    sweeping = asyncio.create_task(sweep())
    try:
        yield
    finally:
        sweeping.cancel()
        crew.close()
        previewers.close()
        shutil.rmtree(root, ignore_errors=True)


def _json(value: Any, status: int = 200) -> Response:
    return Response(as_json(value), status, media_type="application/json")


async def _failed(_: Request, error: Exception) -> Response:
    """What the page shows."""
    if isinstance(error, HTTPException):
        return _json({"error": error.detail}, error.status_code)
    return _json({"error": str(error)}, _STATUS.get(type(error), 422))  # type: ignore[arg-type]


async def _body(request: Request) -> dict[str, Any]:
    """A JSON object of at most `limits.BODY` bytes."""
    data = b""
    async for chunk in request.stream():
        data += chunk
        if len(data) > limits.BODY:
            raise HTTPException(413, "the request is too large")
    try:
        found = records.loads(data)
    except ValueError as error:
        raise OptionError(f"the request is no JSON: {error}") from None
    if not isinstance(found, dict):
        raise OptionError("the request is no JSON object")
    return found


def _number(values: Any, name: str) -> int:
    try:
        return int(values[name])
    except (KeyError, TypeError, ValueError, OverflowError):
        raise OptionError(f"the request lacks the whole number {name!r}") from None


# desks


def _cookie(request: Request) -> str:
    """Servers on other ports share cookies; each has its own."""
    return f"comrec-{request.url.port or 80}"


async def _catalogue(request: Request) -> Response:
    names = [path.name for path in request.app.state.photos]
    return _json(await run_in_threadpool(catalogue) | {"photos": names})


async def _given(request: Request) -> Response:
    """A photograph that every page begins with."""
    photos: Sequence[Path] = request.app.state.photos
    number = request.path_params["photo"]
    if number >= len(photos) or not photos[number].is_file():
        raise MissingError(f"there is no photograph {number}")
    return FileResponse(photos[number], media_type="application/octet-stream")


async def _new_desk(request: Request) -> Response:
    desks: Desks = request.app.state.desks
    given = request.cookies.get(_cookie(request))
    browser = given if given and given.isascii() else secrets.token_urlsafe(32)
    response = _json({"desk": desks.new(browser)})
    if browser != given:
        response.set_cookie(_cookie(request), browser, httponly=True, samesite="strict")
    return response


async def _events(_: Request, desk: Desk) -> Response:
    async def stream() -> AsyncIterator[str]:
        feed = desk.listen()
        try:
            yield "retry: 1000\n\n"
            while not desk.closed:
                for job in feed.take():
                    yield f"data: {as_json(job)}\n\n"
                try:
                    await asyncio.wait_for(feed.woken.wait(), _BEAT)
                except TimeoutError:
                    yield ":\n\n"
        finally:
            desk.leave(feed)

    return StreamingResponse(stream(), media_type="text/event-stream")


async def _close(request: Request, desk: Desk) -> Response:
    request.app.state.desks.close(request.path_params["desk"])
    return Response(status_code=204)


# photographs


async def _upload(request: Request, desk: Desk) -> Response:
    """The body is the file; its name, percent-encoded, is in the header X-Name."""
    photo = desk.new_photo(unquote(request.headers.get("x-name", "")))
    size = 0
    try:
        with photo.path.open("wb") as file:
            async for chunk in request.stream():
                size += len(chunk)
                if size > limits.UPLOAD:
                    most = limits.UPLOAD // 2**20
                    raise HTTPException(413, f"{photo.name}: more than {most} MiB")
                file.write(chunk)
        desk.add(photo)
    except (HTTPException, MissingError, OSError, ClientDisconnect):
        photo.path.unlink(missing_ok=True)
        raise
    return _json({"photo": photo.number, "name": photo.name, "bytes": size})


async def _remove_photo(request: Request, desk: Desk) -> Response:
    desk.remove_photo(request.path_params["photo"])
    return Response(status_code=204)


# jobs


async def _new_job(request: Request, desk: Desk) -> Response:
    asked = await _body(request)
    kind = asked.get("kind")
    if kind in ("plain", "prefixes"):
        of = _made(desk.job(_number(asked, "of")))
        job = desk.plain(of) if kind == "plain" else desk.prefixes(of)
    else:
        photo = desk.photo(_number(asked, "photo"))
        if kind == "open":
            given = asked.get("conversions") or {}
            if not isinstance(given, dict):
                raise OptionError("conversions must be an object")
            job = desk.open(photo, conversions(given))
        elif kind == "encode":
            settings = Settings.of(asked.get("settings"))
            job = desk.encode(photo, settings, many=asked.get("many") is True)
        elif kind == "importance":
            job = desk.importance(photo, str(asked.get("region")))
        else:
            raise OptionError("there is no such kind of job")
    return _json(job.description)


def _made(job: Job) -> Job:
    if job.kind != "encode" or "bytes" not in job.facts:
        raise MissingError(f"job {job.number} has made no file")
    return job


async def _remove_job(request: Request, desk: Desk) -> Response:
    desk.remove_job(request.path_params["job"])
    return Response(status_code=204)


async def _preview(request: Request, desk: Desk) -> Response:
    asked = await _body(request)
    photo = desk.photo(_number(asked, "photo"))
    settings = Settings.of(asked.get("settings"))
    left, top, width, height = (_number(asked, name) for name in _SIDES)
    found = await desk.preview(photo, settings, Box(left, top, width, height, width, height))
    if found is None:
        return Response(status_code=204)
    return Response(found["png"], media_type="image/png", headers={"X-Bpp": str(found["bpp"])})


# what jobs made


async def _file(request: Request, desk: Desk) -> Response:
    job = _made(desk.job(request.path_params["job"]))
    headers = {"Content-Disposition": _attachment(job.facts["name"])}
    return FileResponse(job.file, media_type="application/octet-stream", headers=headers)


async def _archive(request: Request, desk: Desk) -> Response:
    """The files of ?jobs=1,2,3 in one."""
    wanted = request.query_params.get("jobs", "").split(",")
    jobs = [_made(desk.job(_number({"jobs": one}, "jobs"))) for one in wanted]
    path = desk.folder / f"{secrets.token_hex(8)}.zip"
    await run_in_threadpool(_pack, path, jobs)
    data = path.open("rb")
    path.unlink()  # it goes with the answer

    def chunks() -> Any:
        with data:
            while chunk := data.read(2**16):
                yield chunk

    headers = {"Content-Disposition": _attachment("comrec.zip")}
    return StreamingResponse(chunks(), media_type="application/zip", headers=headers)


def _pack(path: Path, jobs: list[Job]) -> None:
    taken: set[str] = set()
    with zipfile.ZipFile(path, "w") as archive:
        for job in jobs:
            name = Path(job.facts["name"])
            number, unique = 1, name.name
            while unique.lower() in taken:
                number += 1
                unique = f"{name.stem}-{number}{name.suffix}"
            taken.add(unique.lower())
            archive.write(job.file, unique)


def _attachment(name: str) -> str:
    return f"attachment; filename*=UTF-8''{quote(name, safe='')}"


_SIDES = ("left", "top", "width", "height")


async def _view(request: Request, desk: Desk) -> Response:
    """A part of what a job made, as PNG.

    ?left&top&width&height in pixels of the picture, ?across&down in pixels of the view. ?percent:
    of prefixes. ?less=JOB: the difference to what that made; ?under=JOB: drawn under that map.
    """
    asked = request.query_params
    job = desk.job(request.path_params["job"])
    box = Box(*(_number(asked, name) for name in (*_SIDES, "across", "down")))
    path = job.layer(str(_number(asked, "percent")) if "percent" in asked else "")
    less, under = (
        desk.job(_number(asked, name)).layer() if name in asked else None
        for name in ("less", "under")
    )

    def draw() -> bytes:
        try:
            picture = views.load(path)
            if less is not None:
                return views.difference(picture, views.load(less), box)
            if under is not None:
                return views.heat(picture, views.load(under), box)
            return views.png(picture, box)
        except FileNotFoundError:
            raise MissingError(f"job {job.number} has made no picture") from None

    async with request.app.state.viewing:
        data = await run_in_threadpool(draw)
    kept = {"Cache-Control": "private, max-age=3600, immutable"}  # numbers are used once
    return Response(data, media_type="image/png", headers=kept)
