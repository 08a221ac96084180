"""A running `comrec serve`, and a client of its requests."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import uvicorn
from starlette.applications import Starlette


@dataclass(frozen=True)
class Server:
    """
    Attributes:
        url: of its page, without a slash.
        folder: for temporary files.
    """

    url: str
    folder: Path
    process: subprocess.Popen[str]

    @property
    def desks(self) -> list[Path]:
        """The work folders of open pages."""
        return list(self.folder.glob("comrec-serve-*/*"))


@contextmanager
def serving(folder: Path, *arguments: str) -> Iterator[Server]:
    """`comrec serve` as a process of its own."""
    command = [sys.executable, "-m", "comrec", "serve", "--port", "0", "--no-browser", *arguments]
    environment = os.environ | {"TMPDIR": str(folder), "TEMP": str(folder), "TMP": str(folder)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("http://"), line
        try:
            yield Server(line.split()[0].rstrip("/"), folder, process)
        finally:
            process.terminate()


@contextmanager
def here(app: Starlette) -> Iterator[str]:
    """An application served by a thread of this process; its address."""
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run, args=([listening],))
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
        listening.close()


class Client:
    """One browser with one open page."""

    def __init__(self, http: httpx.Client, origin: str) -> None:
        self.http = http
        self.http.headers["Origin"] = origin
        self.desk = f"/api/desks/{self.post('/api/desks').json()['desk']}"

    def post(self, path: str, **given: Any) -> httpx.Response:
        return self.http.post(path, **given)

    def get(self, path: str, **given: Any) -> httpx.Response:
        return self.http.get(f"{self.desk}{path}", **given)

    def upload(self, data: bytes, name: str = "photo.png") -> httpx.Response:
        headers = {"X-Name": quote(name)}
        return self.post(f"{self.desk}/photos", content=data, headers=headers)

    def photo(self, data: bytes, name: str = "photo.png") -> int:
        return int(self.upload(data, name).json()["photo"])

    def start(self, kind: str, **given: Any) -> httpx.Response:
        return self.post(f"{self.desk}/jobs", json={"kind": kind, **given})

    def ended(self, job: int) -> dict[str, Any]:
        """What the events say once a job has ended."""
        with self.http.stream("GET", f"{self.desk}/events") as response:
            for line in response.iter_lines():
                if line.startswith("data: "):
                    found: dict[str, Any] = json.loads(line[6:])
                    if found["job"] == job and found["state"] not in ("waiting", "working"):
                        return found
        raise AssertionError("the events ended")

    def done(self, kind: str, **given: Any) -> dict[str, Any]:
        """Start a job, and wait until it has ended."""
        response = self.start(kind, **given)
        assert response.status_code == 200, response.text
        return self.ended(response.json()["job"])
