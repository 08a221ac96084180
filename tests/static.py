"""A site for tests of comrec.js: it and its networks in a folder, and a plain file server."""

from __future__ import annotations

import functools
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from comrec.cli import main

PACKAGE = Path(__file__).parent.parent / "js"
POLICY = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; "
    "connect-src 'self'; img-src 'self' blob:; style-src 'self'"
)
"""What docs/browser.md says that sites must allow."""
_ISOLATED = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
}


def build(folder: Path) -> None:
    """comrec.js in ``comrec/``, and an empty page; skips the test where Node is missing."""
    if shutil.which("node") is None:
        pytest.skip("no Node.js: comrec.js cannot be put together")
    if not (PACKAGE / "node_modules" / "onnxruntime-web").exists():
        pytest.skip("no onnxruntime-web: `npm ci` in js/ installs it")
    subprocess.run(["node", PACKAGE / "copy.js", folder / "comrec"], check=True)
    assert main(["web", "export-weights", str(folder / "comrec" / "weights")]) == 0
    (folder / "blank.html").write_text("<!doctype html><title>Test</title>")


class Site(ThreadingHTTPServer):
    """
    Attributes:
        asked: the paths of all requests.
        headers: of all responses.
    """

    daemon_threads = True

    def __init__(self, folder: Path, *, isolated: bool = False) -> None:
        super().__init__(("127.0.0.1", 0), functools.partial(_Handler, directory=str(folder)))
        self.asked: list[str] = []
        self.headers = {"Content-Security-Policy": POLICY} | (_ISOLATED if isolated else {})

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/"


class _Handler(SimpleHTTPRequestHandler):
    def end_headers(self) -> None:
        assert isinstance(self.server, Site)
        for name, value in self.server.headers.items():
            self.send_header(name, value)
        super().end_headers()

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        assert isinstance(self.server, Site)
        self.server.asked.append(self.path)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def serving(folder: Path, *, isolated: bool = False) -> Iterator[Site]:
    """Serve a folder meanwhile.

    Args:
        isolated: with the headers that WebAssembly needs for threads.
    """
    with Site(folder, isolated=isolated) as site:
        thread = Thread(target=site.serve_forever)
        thread.start()
        try:
            yield site
        finally:
            site.shutdown()
            thread.join()
