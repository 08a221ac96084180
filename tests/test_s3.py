"""comrec batch from and to S3: a server of this machine, with real requests."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from comrec.cli import main

IN, OUT = "bucket/photos", "bucket/small"
NAMES = [f"{folder}{letter}.png" for folder in ("", "sub/") for letter in "abcd"]
CODEC = ["-c", "jpeg", "--quiet"]
HOOKED = """
import os, sys, time
import s3fs
{hook}
from comrec.cli import main
sys.exit(main())
"""
STUCK = """
import threading
usual, calls, lock = s3fs.S3FileSystem.pipe_file, 0, threading.Lock()
def pipe_file(*given):
    global calls
    with lock:
        calls += 1
        if calls == 4:
            print("stuck", flush=True)
            time.sleep(600)
        usual(*given)
s3fs.S3FileSystem.pipe_file = pipe_file
"""
GONE = """
usual = s3fs.S3FileSystem.pipe_file
def pipe_file(self, *given):
    self.rm_file("bucket/photos/sub/d.png")
    s3fs.S3FileSystem.pipe_file = usual
    usual(self, *given)
s3fs.S3FileSystem.pipe_file = pipe_file
"""
CHANGED = """
usual = s3fs.S3FileSystem.cat_file
def cat_file(self, path):
    data = usual(self, path)
    if path == "bucket/photos/a.png":
        s3fs.S3FileSystem.cat_file = usual
        s3fs.S3FileSystem(skip_instance_cache=True).pipe_file(path, b"changed")
    return data
s3fs.S3FileSystem.cat_file = cat_file
"""
Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture(scope="module")
def server() -> Iterator[dict[str, str]]:
    """The environment of processes that use it."""
    pytest.importorskip("s3fs")
    moto = pytest.importorskip("moto.server")
    running = moto.ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    yield {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "any",
        "AWS_SECRET_ACCESS_KEY": "any",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    running.stop()


@pytest.fixture
def bucket(server: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A client of the server, which has pictures."""
    import boto3

    for name, value in server.items():
        monkeypatch.setenv(name, value)
    client = boto3.client("s3")
    client.create_bucket(Bucket="bucket")
    for index, name in enumerate(NAMES):
        file = io.BytesIO()
        Image.effect_noise((60, 40 + index), 50).convert("RGB").save(file, "PNG")
        client.put_object(Bucket="bucket", Key=f"photos/{name}", Body=file.getvalue())
    yield client
    for name in objects(client, ""):
        client.delete_object(Bucket="bucket", Key=name)
    client.close()


def objects(client: Any, folder: str) -> dict[str, bytes]:
    """Visible objects of a folder, and temporary ones."""
    found = client.list_objects_v2(Bucket="bucket", Prefix=folder).get("Contents", [])
    return {
        each["Key"].removeprefix(folder): client.get_object(Bucket="bucket", Key=each["Key"])[
            "Body"
        ].read()
        for each in found
        if not each["Key"].endswith(".comrec-batch.jsonl")
    }


def wanted(client: Any, folder: Path) -> dict[str, bytes]:
    """What comrec batch makes of the same files in folders of this machine."""
    for name, data in objects(client, "photos/").items():
        path = folder / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    main(["batch", f"{folder}/in", f"{folder}/out", "-r", "-j", "1", *CODEC])
    found = (folder / "out").rglob("*.jpg")
    return {path.relative_to(folder / "out").as_posix(): path.read_bytes() for path in found}


def start(folder: Path, *arguments: str, hook: str = "") -> subprocess.Popen[str]:
    given = ["batch", f"s3://{IN}", *arguments, "-r", "-j", "1", *CODEC, "--json", "report.json"]
    return subprocess.Popen(
        [sys.executable, "-c", HOOKED.format(hook=hook), *given],
        cwd=folder, env=os.environ, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def run(folder: Path, *arguments: str, hook: str = "") -> tuple[dict[str, Any], str]:
    """The summary, and stderr."""
    out, err = start(folder, *arguments, hook=hook).communicate()
    assert out == ""
    facts: dict[str, Any] = json.loads((folder / "report.json").read_text())
    return facts, err


def test_there_and_back(bucket: Any, tmp_path: Path) -> None:
    expected = wanted(bucket, tmp_path)
    facts, err = run(tmp_path, f"s3://{OUT}")
    assert (facts["encoded"], err) == (8, "")
    assert objects(bucket, "small/") == expected
    bucket.put_object(Bucket="bucket", Key="small/a.jpg", Body=b"other")
    bucket.delete_object(Bucket="bucket", Key="small/sub/a.jpg")
    bucket.copy_object(Bucket="bucket", CopySource=f"{IN}/c.png", Key="photos/b.png")
    facts, err = run(tmp_path, f"s3://{OUT}")
    assert (facts["skipped"], facts["encoded"], err) == (5, 3, "")
    assert objects(bucket, "small/") == expected | {"b.jpg": expected["c.jpg"]}
    assert run(tmp_path, "local")[0]["encoded"] == 8
    assert (tmp_path / "local" / "sub" / "d.jpg").read_bytes() == expected["sub/d.jpg"]


@pytest.mark.parametrize("state", [[], ["--state", "record"]])
def test_killed_and_resumed(bucket: Any, tmp_path: Path, state: list[str]) -> None:
    expected = wanted(bucket, tmp_path)
    with start(tmp_path, f"s3://{OUT}", *state, hook=STUCK) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "stuck\n"
        process.kill()
    left = objects(bucket, "small/")
    assert len(left) >= 3
    assert left.items() <= expected.items()
    facts, err = run(tmp_path, f"s3://{OUT}", *state)
    done = len(left) if state else 0  # a record there is saved every 30 seconds only
    assert (facts["skipped"], facts["encoded"], err) == (done, 8 - done, "")
    assert objects(bucket, "small/") == expected
    assert run(tmp_path, f"s3://{OUT}", *state)[0]["skipped"] == 8


def test_only_if_smaller(bucket: Any, tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "tiny.png")
    tiny = (tmp_path / "tiny.png").read_bytes()
    bucket.put_object(Bucket="bucket", Key="photos/tiny.png", Body=tiny)
    facts, _ = run(tmp_path, f"s3://{OUT}", "--only-if-smaller")
    assert (facts["encoded"], facts["kept"]) == (8, 1)
    assert objects(bucket, "small/")["tiny.png"] == tiny
    assert run(tmp_path, f"s3://{OUT}", "--only-if-smaller")[0]["skipped"] == 9


def test_a_failing_object_stops_no_other(bucket: Any, tmp_path: Path) -> None:
    bucket.put_object(Bucket="bucket", Key="photos/bad.png", Body=b"no picture")
    facts, err = run(tmp_path, f"s3://{OUT}", hook=GONE)
    assert (facts["encoded"], facts["failed"]) == (7, 2)
    bad, gone = sorted(err.splitlines())
    assert bad.startswith(f"comrec: s3://{IN}/bad.png: ")
    assert gone.startswith(f"comrec: s3://{IN}/sub/d.png: FileNotFoundError: ")
    facts, _ = run(tmp_path, f"s3://{OUT}")
    assert (facts["skipped"], facts["failed"]) == (7, 1)


def test_in_place(bucket: Any, tmp_path: Path) -> None:
    expected, before = wanted(bucket, tmp_path), objects(bucket, "photos/")
    facts, err = run(tmp_path, "--in-place", "--state", "record", hook=CHANGED)
    assert (facts["encoded"], facts["failed"]) == (7, 1)
    assert err == f"comrec: s3://{IN}/a.png: changed while it was encoded, and is left as it is\n"
    del expected["a.jpg"]
    assert objects(bucket, "photos/") == expected | {"a.png": b"changed"}
    bucket.put_object(Bucket="bucket", Key="photos/a.png", Body=before["a.png"])
    facts, err = run(tmp_path, "--in-place", "--state", "record")
    assert (facts["skipped"], facts["encoded"], err) == (7, 1, "")


@pytest.mark.usefixtures("bucket")
def test_a_bucket_that_is_not_there(tmp_path: Path) -> None:
    process = start(tmp_path, "s3://none/small")
    _, err = process.communicate()
    assert process.returncode == 1
    *failures, last = err.splitlines()
    assert all(line.startswith(f"comrec: s3://{IN}/") for line in failures)
    assert last.startswith("comrec: s3://none/small/.comrec-batch.jsonl: ")
