"""The workflows name Python versions, files, extras and verbs that exist; the addresses do too."""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path
from typing import Any

import pytest

from comrec.cli import parser

ROOT = Path(__file__).parent.parent
CI = (ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8")
RELEASE = (ROOT / ".github/workflows/release.yml").read_text(encoding="utf-8")
BOTH = pytest.mark.parametrize("workflow", [CI, RELEASE], ids=["ci", "release"])
FILE = r"(?<![\w./-])(?:\.ci/\w+|Makefile|pyproject\.toml)(?![\w./-])"


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def matrices(workflow: str) -> list[list[str]]:
    """The Python versions of each matrix."""
    return [re.findall(r'"([\d.]+)"', row) for row in re.findall(r" python: \[(.*)\]", workflow)]


def test_every_python_version_that_is_promised_is_tried_on_every_system(
    project: dict[str, Any],
) -> None:
    floor = project["project"]["requires-python"].removeprefix(">=")
    named = [one.rpartition(" ")[2] for one in project["project"]["classifiers"]]
    promised = [version for version in named if re.fullmatch(r"3\.\d+", version)]
    assert promised[0] == floor
    assert matrices(CI) == [promised, promised]
    assert matrices(RELEASE) == [[floor, promised[-1]]]
    for system in ("ubuntu", "macos", "windows"):
        assert f"{system}-" in CI
        assert f"{system}-" in RELEASE


def test_the_oldest_dependencies_are_tried_with_the_oldest_python(project: dict[str, Any]) -> None:
    job = CI[CI.index("  oldest:") :]
    floor = project["project"]["requires-python"].removeprefix(">=")
    assert "--resolution lowest-direct" in job
    assert f'python-version: "{floor}"' in job


def test_the_files_that_commands_name_exist() -> None:
    found = set(re.findall(FILE, CI))
    assert ".ci/run" in found
    for name in found:
        assert (ROOT / name).is_file(), name


@BOTH
def test_extras_and_groups_exist(workflow: str, project: dict[str, Any]) -> None:
    lists = re.findall(r"\.\[([\w,]+)\]", workflow)
    lists += re.findall(r"for extra in ([\w ]+);", workflow)
    extras = {name for names in lists for name in re.split("[, ]", names)}
    assert extras <= set(project["project"]["optional-dependencies"])
    assert set(re.findall(r"--group (\w+)$", workflow, re.MULTILINE)) <= set(
        project["dependency-groups"]
    )


def test_the_wheel_is_tried_with_commands_that_exist() -> None:
    lines = re.findall(r"^ +(?:- run: )?comrec (.+)$", RELEASE, re.MULTILINE)
    assert {line.split()[0] for line in lines} >= {"codecs", "models", "encode", "decode"}
    for line in lines:
        parser().parse_args(shlex.split(line))


@BOTH
def test_permissions_are_the_least(workflow: str) -> None:
    assert re.search(r"^permissions:\n  contents: read\n", workflow, re.MULTILINE)
    assert len(re.findall(r": write\b", workflow)) == (1 if workflow is RELEASE else 0)


def test_the_project_says_where_it_is(project: dict[str, Any]) -> None:
    urls = project["project"]["urls"]
    assert set(urls) == {"Homepage", "Documentation", "Changelog", "Issues"}
    for url in urls.values():
        assert url.startswith("https://github.com/comrec/comrec")
        path = re.sub(r".*/(?:blob|tree)/main/", "", url)
        assert path == url or (ROOT / path).exists(), url
