"""A headless Chromium for tests of pages, driven by Playwright; tests are skipped without one."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome")
"""Of the executable, in the order in which they are looked for."""
_FLAGS = (
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def executable() -> str | None:
    """The path of an installed Chromium; None without one."""
    return next(filter(None, map(shutil.which, NAMES)), None)


@contextmanager
def chromium() -> Iterator[Browser]:
    """Skips the test where there is no Chromium."""
    path = executable()
    if path is None:
        pytest.skip(f"no browser: none of {', '.join(NAMES)} is installed")
    as_root = hasattr(os, "geteuid") and os.geteuid() == 0  # its sandbox refuses root
    with sync_playwright() as playwright:
        flags = [*_FLAGS, *(["--no-sandbox"] if as_root else [])]
        browser = playwright.chromium.launch(executable_path=path, headless=True, args=flags)
        try:
            yield browser
        finally:
            browser.close()
