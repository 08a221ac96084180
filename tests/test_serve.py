"""`comrec serve` by its requests: what it makes, and whom it refuses what."""

from __future__ import annotations

import io
import os
import shlex
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import faults
import httpx
import numpy as np
import pytest
from PIL import Image
from serving import Client, Server, here, serving

import comrec
from comrec import confined
from comrec.cli import main
from comrec.errors import OptionError
from comrec.picture import Picture
from comrec.targets import Match, Target
from comrec.web import limits
from comrec.web.crew import BusyError, Crew, End, Work
from comrec.web.desks import shown_name
from comrec.web.server import application
from comrec.web.settings import Settings, parse
from comrec.web.tasks import Facts

JPEG: dict[str, Any] = {"codec": "jpeg", "wanted": 50}


def png_of(picture: Picture) -> bytes:
    buffer = io.BytesIO()
    picture.to_pil().save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("served")) as found:
        yield found


@pytest.fixture
def client(server: Server) -> Iterator[Client]:
    with httpx.Client(base_url=server.url, timeout=120) as http:
        found = Client(http, server.url)
        yield found
        found.post(f"{found.desk}/close")


@pytest.fixture(scope="module")
def photo_png(photo: Picture) -> bytes:
    return png_of(photo)


def until(true: Callable[[], bool]) -> None:
    for _ in range(600):
        if true():
            return
        time.sleep(0.05)
    raise AssertionError("it never became true")


# what it makes


def test_files_and_numbers_are_those_of_the_api(client: Client, photo_png: bytes) -> None:
    photo = client.photo(photo_png)
    settings = {"codec": "comrec-jpeg:effort=5", "wanted": "9 kB", "region": "centre"}
    made = client.done("encode", photo=photo, settings=settings)
    expected = comrec.encode(
        photo_png, "comrec-jpeg:effort=5", target_size=9000, roi="centre", metadata="all"
    )
    data = client.get(f"/jobs/{made['job']}/file").content
    assert data == expected
    assert made["bytes"] == len(expected)
    assert made["state"] == "done"
    assert made["marked"]


@pytest.mark.parametrize(
    "settings",
    [
        {"codec": "jpeg:subsampling=4:4:4", "wanted": "jpeg:40"},
        {"codec": "webp", "wanted": "36 dB", "conversions": {"metadata": "none"}},
        {"codec": "jpeg-tuned", "wanted": 35, "region": "20,30,80x90", "strength": 9},
    ],
)
def test_the_command_makes_the_same_file(
    client: Client,
    photo_png: bytes,
    settings: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    name = "it's a -photo.png"
    made = client.done("encode", photo=client.photo(photo_png, name), settings=settings)
    monkeypatch.chdir(tmp_path)
    Path(name).write_bytes(photo_png)
    assert main(shlex.split(made["command"])[1:]) == 0
    assert Path(made["name"]).read_bytes() == client.get(f"/jobs/{made['job']}/file").content


def test_views_are_the_pictures(client: Client, photo: Picture, photo_png: bytes) -> None:
    number = client.photo(photo_png)
    opened = client.done("open", photo=number)
    made = client.done("encode", photo=number, settings=JPEG)
    decoded = np.asarray(comrec.decode(comrec.encode(photo_png, "jpeg", 50)))
    box = {"left": 8, "top": 16, "width": 64, "height": 32, "across": 64, "down": 32}

    def view(**more: Any) -> np.ndarray[Any, Any]:
        response = client.get(f"/jobs/{made['job']}/view", params=box | more)
        assert response.status_code == 200, response.text
        return np.asarray(Image.open(io.BytesIO(response.content)))

    part = np.s_[16:48, 8:72]
    assert np.array_equal(view(), decoded[part])
    apart = np.abs(decoded[part].astype(int) - photo.pixels[part])
    assert np.array_equal(view(less=opened["job"]), np.minimum(apart, 31) * 8)
    box["left"] = 250
    assert client.get(f"/jobs/{made['job']}/view", params=box).status_code == 422


def test_what_others_see_of_a_marked_file(client: Client, photo_png: bytes) -> None:
    number = client.photo(photo_png)
    client.done("open", photo=number)
    settings = {"codec": "comrec-jpeg:effort=3:scale=1/2", "wanted": 30}
    made = client.done("encode", photo=number, settings=settings)
    plain = client.done("plain", of=made["job"])
    assert plain["stored"] == [128, 96]
    box = {"left": 0, "top": 0, "width": 256, "height": 192, "across": 256, "down": 192}
    assert client.get(f"/jobs/{plain['job']}/view", params=box).status_code == 200


def test_many_files_in_one_archive(client: Client, photo_png: bytes) -> None:
    jobs = []
    for name in ("a.png", "folder/a.png", "b.png"):
        number = client.photo(photo_png, name)
        made = client.done("encode", photo=number, settings=JPEG, many=True)
        assert "ssimulacra2" not in made
        jobs.append(made["job"])
        client.http.delete(f"{client.desk}/photos/{number}")
    data = client.get(f"/files.zip?jobs={','.join(map(str, jobs))}").content
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.namelist() == ["a.jpg", "a-2.jpg", "b.jpg"]
        assert archive.read("b.jpg") == comrec.encode(photo_png, "jpeg", 50)


def test_fifty_uploads_at_once(client: Client, photo: Picture) -> None:
    small = png_of(photo.cropped(0, 0, 32, 32))
    with ThreadPoolExecutor(50) as pool:
        photos = list(pool.map(lambda _: client.photo(small), range(50)))
        assert len(set(photos)) == 50
        jobs = [
            each.json()["job"]
            for each in pool.map(lambda number: client.start("open", photo=number), photos)
        ]
    assert all(client.ended(job)["state"] == "done" for job in jobs)


def test_a_job_is_cancelled_and_the_next_is_done(client: Client, photo_png: bytes) -> None:
    number = client.photo(photo_png)
    slow = {"codec": "liu2018:effort=10", "wanted": 90}
    jobs = [client.start("encode", photo=number, settings=slow).json()["job"] for _ in range(4)]
    for job in reversed(jobs):
        assert client.http.delete(f"{client.desk}/jobs/{job}").status_code == 204
    assert [client.ended(job)["state"] for job in jobs] == ["cancelled"] * 4
    assert client.done("encode", photo=number, settings=JPEG)["state"] == "done"


# whom it refuses what


@pytest.mark.parametrize(
    ("host", "served"),
    [
        ("localhost:1", True),
        ("127.0.0.1", True),
        ("[::1]:80", True),
        ("192.168.7.7:8732", True),  # no other site can have an address's origin
        ("evil.example", False),
        ("localhost.evil.example", False),
        ("127.0.0.1.evil.example", False),
        ("", False),
        ("[::1", False),
    ],
)
def test_foreign_names_are_refused(server: Server, host: str, served: bool) -> None:
    response = httpx.get(server.url, headers={"Host": host})
    assert (response.status_code == 200) is served


@pytest.mark.parametrize("origin", [None, "null", "http://evil.example", "http://127.0.0.1:1"])
def test_requests_of_other_sites_change_nothing(server: Server, origin: str | None) -> None:
    headers = {} if origin is None else {"Origin": origin}
    before = server.desks
    assert httpx.post(f"{server.url}/api/desks", headers=headers).status_code == 403
    assert server.desks == before


def test_every_answer_has_the_policy(server: Server) -> None:
    for path in ("/", "/main.js", "/api/catalogue", "/no-such-file"):
        headers = httpx.get(f"{server.url}{path}").headers
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cross-origin-resource-policy"] == "same-origin"
    for path in ("/../server.py", "/%2e%2e/server.py", "/..%2fserver.py"):
        assert httpx.get(f"{server.url}{path}").status_code == 404


def test_one_browser_sees_nothing_of_another(server: Server, client: Client) -> None:
    client.photo(b"secret")
    with httpx.Client(base_url=server.url) as http:
        other = Client(http, server.url)
        mine = other.desk
        other.desk = client.desk  # even where it knows the name
        assert other.get("/events").status_code == 404
        assert other.start("open", photo=1).status_code == 404
        assert other.post(f"{other.desk}/close").status_code == 404
        assert other.post(f"{mine}/close").status_code == 204
    cookie = client.http.post("/api/desks").headers.get("set-cookie", "")
    assert not cookie  # it has one
    fresh = httpx.post(f"{server.url}/api/desks", headers={"Origin": server.url})
    assert "HttpOnly" in fresh.headers["set-cookie"]
    assert "SameSite=strict" in fresh.headers["set-cookie"]


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("../../etc/passwd", "passwd"),
        ("..\\..\\boot.ini", "boot.ini"),
        ("..", "photo"),
        ("", "photo"),
        ("/", "photo"),
        ("a\0b\n\x1b[2J.png", "a_x00b_n_x1b[2J.png"),
        ("<img src=x>.png", "<img src=x>.png"),
    ],
)
def test_names_are_for_people_only(
    server: Server, client: Client, name: str, shown: str, photo_png: bytes
) -> None:
    assert shown_name(name) == shown
    response = client.upload(photo_png, name)
    assert response.json()["name"] == shown
    assert all(
        file.name.partition(".")[0].isdigit() for desk in server.desks for file in desk.iterdir()
    )
    assert len(shown_name("x" * 5000 + ".png")) <= limits.NAME


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "the file is empty"),
        (b"no picture", "not a picture"),
        (b"\x89PNG\r\n\x1a\n", "photo.png: "),
        (b"\xff\xd8\xff\xe0 cut", "photo.png: "),
    ],
)
def test_bad_files_get_a_message(client: Client, data: bytes, told: str) -> None:
    number = client.photo(data)
    opened = client.done("open", photo=number)
    with pytest.raises(comrec.errors.ComrecError) as refused:
        comrec.files.read(data, "photo.png")
    assert opened["state"] == "failed"
    assert opened["error"] == str(refused.value)


def test_too_many_pixels_are_refused(client: Client) -> None:
    buffer = io.BytesIO()
    Image.new("1", (20000, 14000)).save(buffer, "PNG")
    opened = client.done("open", photo=client.photo(buffer.getvalue()))
    assert opened["state"] == "failed"
    assert "268,435,456" in opened["error"]


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"codec": "deepn-jpeg:tables=/etc/passwd", "wanted": 50}, "names a file"),
        ({"codec": "deepn-jpeg:effort=3: tables=/etc/passwd", "wanted": 50}, "must be"),
        ({"codec": "jpeg-tuned", "wanted": 50, "region": "/etc/passwd"}, "region of interest"),
        ({"codec": "jpeg", "wanted": "deepn-jpeg:tables=/etc/passwd:50"}, "names a file"),
        ({"codec": "jpeg", "wanted": 50, "region": "auto"}, "cannot make one part"),
        ({"codec": "jpeg", "wanted": 101}, "0..100"),
        ({"codec": "nothing", "wanted": 50}, "no codec"),
        ({"codec": "jpeg"}, "lacks wanted"),
        ({"codec": "jpeg", "wanted": 50, "path": "/"}, "unknown field"),
        ({"codec": "jpeg", "wanted": 50, "conversions": {"x": 1}}, "no conversion"),
        (None, "no object"),
    ],
)
def test_settings_that_are_none(client: Client, photo_png: bytes, settings: Any, told: str) -> None:
    response = client.start("encode", photo=client.photo(photo_png), settings=settings)
    assert response.status_code == 422
    assert told in response.json()["error"]


@pytest.mark.parametrize("body", [b"{", b"[]", b"\xff", b'{"kind": 3}', b"[" * 60000])
def test_requests_that_are_none(client: Client, body: bytes) -> None:
    response = client.post(f"{client.desk}/jobs", content=body)
    assert response.status_code == 422
    assert response.json()["error"]
    assert client.post(f"{client.desk}/jobs", content=b" " * 70000).status_code == 413


def test_limits(monkeypatch: pytest.MonkeyPatch, photo_png: bytes, tmp_path: Path) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    name = "http://photos.example"
    headers = {"Host": "photos.example"}
    with (
        here(application(["photos.example"])) as url,
        httpx.Client(base_url=url, headers=headers, timeout=60) as http,
    ):
        client = Client(http, name)
        (desk,) = tmp_path.glob("comrec-serve-*/*")
        monkeypatch.setattr(limits, "UPLOAD", len(photo_png))
        assert client.upload(photo_png).status_code == 200
        assert client.upload(photo_png + b"!").status_code == 413
        assert len(list(desk.iterdir())) == 1
        monkeypatch.setattr(limits, "PHOTOS", 1)
        assert client.upload(photo_png).status_code == 507
        monkeypatch.setattr(limits, "DISK", 0)
        assert "full" in client.start("open", photo=1).json()["error"]
        monkeypatch.setattr(limits, "IDLE", -1.0)
        monkeypatch.setattr(limits, "DESKS", 1)
        assert http.post("/api/desks").status_code == 200  # the idle one went
        assert not desk.exists()
        monkeypatch.setattr(limits, "IDLE", 60.0)
        assert http.post("/api/desks").status_code == 507
    assert not list(tmp_path.iterdir())
    monkeypatch.setattr("tempfile.tempdir", None)


# files go


def test_what_a_page_had_goes_with_it(tmp_path: Path, photo_png: bytes, photo: Picture) -> None:
    with serving(tmp_path) as server, httpx.Client(base_url=server.url, timeout=120) as http:
        client = Client(http, server.url)
        (desk,) = server.desks
        number = client.photo(photo_png)
        client.done("encode", photo=number, settings=JPEG)
        assert len(list(desk.iterdir())) == 3
        assert client.post(f"{client.desk}/close").status_code == 204
        assert not desk.exists()
        other = Client(http, server.url)
        other.photo(photo_png)
        with other.http.stream("GET", f"{other.desk}/events") as listening:  # for ever
            next(listening.iter_lines())
            server.process.terminate()
            assert server.process.wait(60) == 143 or os.name == "nt"
    assert not list(tmp_path.iterdir())


# its parts


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("40 kB", Target("size", 40000)),
        ("1.5MiB", Target("size", 1572864)),
        ("38 dB", Target("psnr", 38)),
        ("PSNR ≥ 38.5", Target("psnr", 38.5)),
        ("SSIMULACRA2 70", Target("ssimulacra2", 70)),
        ("70 ssimulacra2", Target("ssimulacra2", 70)),
        ("MS-SSIM .98", Target("msssim", 0.98)),
        ("ssim 0.9", Target("ssim", 0.9)),
        ("0.5 bpp", Target("bpp", 0.5)),
    ],
)
def test_typed_targets(text: str, wanted: Target) -> None:
    assert parse(text) == wanted


def test_typed_targets_that_are_none() -> None:
    assert isinstance(parse("webp:50"), Match)
    for text in ("", "dB", "forty", "38 dB or so", "-3 dB", "MS-SSIM 2"):
        with pytest.raises(OptionError):
            parse(text)


def test_no_output_takes_the_name_of_its_input() -> None:
    settings = Settings.of(JPEG)
    assert settings.output("a.png") == "a.jpg"
    assert settings.output("a.jpg") == "a-comrec.jpg"


@dataclass(frozen=True)
class Dying:
    """A task whose process dies."""

    def run(self) -> Iterator[Facts]:
        yield {"phase": "dying"}
        os._exit(7)


@dataclass(frozen=True)
class Living:
    def run(self) -> Iterator[Facts]:
        yield {"answer": 42}


@dataclass(frozen=True)
class Faulty:
    """A task in which one of `faults` is called."""

    fault: str
    phase: str

    def run(self) -> Iterator[Facts]:
        yield {"phase": "reading"}
        yield {"phase": self.phase}
        getattr(faults, self.fault)()
        yield {"answer": 42}


@pytest.mark.parametrize(
    ("task", "expected"),
    [
        (Faulty("spin", "reading"), "reading the file took more than 1 s, its limit"),
        (Faulty("segfault", "reading"), "the process that did this crashed (SIGSEGV)"),
        pytest.param(
            Faulty("allocate", "encoding"),
            "this takes more memory than a job may have (900 MB)",
            marks=pytest.mark.skipif(confined.memory() is None, reason="limited on Linux alone"),
        ),
        (Faulty("nap", "encoding"), None),  # it has read its file, and takes longer than that may
    ],
)
def test_a_task_that_goes_wrong_fails_alone(task: Faulty, expected: str | None) -> None:
    told: list[tuple[End | None, Facts]] = []
    crew = Crew(1, 2, memory=900_000_000, reading=1.0 if task.fault in ("spin", "nap") else 300.0)
    try:
        for each in (task, Living()):
            crew.submit(Work(each, lambda end, facts: told.append((end, facts))))
        until(lambda: sum(end is not None for end, _ in told) == 2)
    finally:
        crew.close()
    first, second = [(end, facts) for end, facts in told if end is not None]
    assert first == (("done", {}) if expected is None else ("failed", {"error": expected}))
    assert second == ("done", {})


def test_the_death_of_a_process_is_one_failure() -> None:
    told: list[tuple[End | None, Facts]] = []
    crew = Crew(1, 1)
    crew.submit(Work(Dying(), lambda end, facts: told.append((end, facts))))
    until(lambda: bool(told) and told[-1][0] is not None)
    assert told[-1][0] == "failed"
    assert "exit code 7" in told[-1][1]["error"]
    crew.submit(Work(Living(), lambda end, facts: told.append((end, facts))))
    until(lambda: told[-1][0] == "done")
    assert told[-2] == (None, {"answer": 42})
    crew.close()
    crew.submit(Work(Living(), lambda *_: None))  # nobody does it
    with pytest.raises(BusyError):
        crew.submit(Work(Living(), lambda *_: None))


# the command


def test_comrec_loads_no_web_framework() -> None:
    script = "import sys, comrec.cli; comrec.cli.parser(); print(*sys.modules)"
    found = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    ).stdout.split()
    assert "comrec.cli.serve" in found
    assert {"starlette", "uvicorn", "comrec.web"}.isdisjoint(found)


def test_the_missing_extra_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    assert main(["serve"]) == 1
    assert "pip install 'comrec[web]'" in capsys.readouterr().err


def test_photographs_to_begin_with(tmp_path: Path, photo_png: bytes) -> None:
    (tmp_path / "a b.png").write_bytes(photo_png)
    with serving(tmp_path, str(tmp_path / "a b.png")) as server:
        assert httpx.get(f"{server.url}/api/catalogue").json()["photos"] == ["a b.png"]
        assert httpx.get(f"{server.url}/api/photos/0").content == photo_png
        assert httpx.get(f"{server.url}/api/photos/1").status_code == 404
    assert main(["serve", "--no-browser", str(tmp_path / "none.png")]) == 1


def test_a_port_that_is_taken(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    port = server.url.rpartition(":")[2]
    assert main(["serve", "--no-browser", "--port", port]) == 1
    assert "--port 0" in capsys.readouterr().err
    assert main(["serve", "--no-browser", "--port", "99999"]) == 2
