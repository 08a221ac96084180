"""comrec serve: a page in the browser that encodes photographs and compares the results."""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import os
import socket
import threading
import webbrowser
from pathlib import Path
from typing import Any

from comrec.cli import paths, terminal
from comrec.errors import ComrecError, MissingExtraError, OptionError

HOST, PORT = "127.0.0.1", 8732


def add(verbs: Any) -> None:
    """Declare the command."""
    verb = verbs.add_parser("serve", help="open a page that shows it all", description=__doc__)
    verb.add_argument("photos", nargs="*", metavar="PHOTO", help="picture files to begin with")
    verb.add_argument(
        "--port", type=int, default=PORT, help=f"{PORT} by default; 0 for any that is free"
    )
    verb.add_argument(
        "--host",
        default=HOST,
        help=f"the address to listen at, {HOST} by default, which only this machine reaches; who "
        "reaches another can use the page",
    )
    verb.add_argument(
        "--name",
        action="append",
        default=[],
        metavar="NAME",
        help="a name under which browsers reach this server, where that is neither localhost nor "
        "an address; can be given several times",
    )
    verb.add_argument("--no-browser", action="store_true", help="do not open a browser")
    verb.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    if not all(map(importlib.util.find_spec, ("starlette", "uvicorn"))):
        raise MissingExtraError("comrec serve", "web")
    if not 0 <= options.port < 2**16:
        raise OptionError(f"--port must be in 0..65535, not {options.port}")
    for name in options.photos:
        paths.read(name)
    import uvicorn

    from comrec.web.server import application

    with contextlib.closing(_listening(options.host, options.port)) as listening:
        host = f"[{options.host}]" if ":" in options.host else options.host
        url = f"http://{host}:{listening.getsockname()[1]}/"
        terminal.show(f"{url}  (Ctrl-C ends it)")
        if not options.no_browser:
            threading.Thread(target=webbrowser.open, args=(url,), daemon=True).start()
        config = uvicorn.Config(
            application([name.lower() for name in options.name], [Path(n) for n in options.photos]),
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=1,  # open pages listen for ever
        )
        uvicorn.Server(config).run([listening])
    return 0


def _listening(host: str, port: int) -> socket.socket:
    """
    Raises:
        ComrecError: it cannot be listened there.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM
        )[0]
        found = socket.socket(family, kind, protocol)
    except OSError as error:
        raise ComrecError(f"cannot listen at {host}: {error}") from None
    try:
        if os.name == "posix":  # the last server's connections may still be closing
            found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind(address)
        found.listen(128)
    except OSError as error:
        found.close()
        hint = "; --port 0 takes one that is free" if port else ""
        raise ComrecError(f"cannot listen at {host}:{port}: {error}{hint}") from None
    return found
