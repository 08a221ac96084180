"""docs/api.md is what docs/api.py makes of the package as it is."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path

import comrec

DOCS = Path(__file__).parent.parent / "docs"


def run(*arguments: str) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, str(DOCS / "api.py"), *arguments]
    return subprocess.run(command, capture_output=True, check=False)


def test_the_page_is_up_to_date() -> None:
    checked = run("--check")
    assert checked.returncode == 0, checked.stderr.decode()


def test_the_page_names_everything_public_and_nothing_of_this_machine() -> None:
    made = run().stdout.decode()
    for name in comrec.__all__:
        assert f"comrec.{name}`" in made or f"## comrec.{name}" in made, name
    for name, found in vars(comrec.errors).items():
        if inspect.isclass(found) and issubclass(found, comrec.errors.ComrecError):
            assert f"comrec.errors.{name}`" in made
    assert "0x" not in made
    assert str(Path.home()) not in made
