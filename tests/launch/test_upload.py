"""`python -m launch.upload` against moto's S3."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import torch

from dogbreed.data.exclusions import Exclusion, write_exclusions
from dogbreed.errors import DataError
from launch.errors import LaunchError
from launch.files import datasets
from launch.files.datasets import Done, carry_out, plan_upload, upload_dataset
from launch.files.stores import FolderStore, S3Store
from launch.process.backend import ProcessBackend
from launch.upload import main
from tests.conftest import Command, draw_folder

ALL = 2 * (3 + 2 + 1)  # the pictures of `folder`


@pytest.fixture(scope="module")
def s3(aws: Any) -> S3Store:
    return S3Store(aws.session())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A data set of 2 classes, for one test to change as it likes."""
    return draw_folder(tmp_path / "photos", classes=2, train=3, val=2, test=1, size=16)


@pytest.fixture
def to(aws: Any) -> str:
    return f"s3://{aws.new_bucket()}/dogbreed"


def stored(aws: Any, uri: str) -> dict[str, bytes]:
    """Key below `uri` -> content, read by boto3 alone."""
    bucket, prefix = uri.removeprefix("s3://").split("/", 1)
    entries = aws.s3.list_objects_v2(Bucket=bucket, Prefix=prefix).get("Contents", [])
    read = {entry["Key"]: aws.s3.get_object(Bucket=bucket, Key=entry["Key"])["Body"].read() for entry in entries}
    return {key.removeprefix(prefix): content for key, content in read.items()}


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.jpg")}


def upload(store: Any, folder: Path, to: str, **how: Any) -> tuple[str, tuple[int, int, int]]:
    """The URI; how many were sent, copied, kept."""
    plan = plan_upload(store, folder, to, "dogs", **how)
    return plan.uri, carry_out(store, plan)[:3]


def test_upload__puts_the_folder_below_one_prefix(aws: Any, s3: S3Store, folder: Path, to: str) -> None:
    uri = upload_dataset(s3, folder, to)
    assert re.fullmatch(rf"{to}/datasets/photos-[0-9a-f]{{16}}/", uri)
    assert stored(aws, uri) == contents(folder)
    assert len(stored(aws, f"{to}/manifests/")) == 1


def test_upload__leaves_here_what_a_list_excludes(aws: Any, s3: S3Store, folder: Path, to: str, tmp_path: Path) -> None:
    place = min(contents(folder))
    write_exclusions(tmp_path / "exclude.csv", [Exclusion(place, "not wanted")])
    uri, done = upload(s3, folder, to, exclude=tmp_path / "exclude.csv")
    assert done == (ALL - 1, 0, 0)
    assert stored(aws, uri) == {name: content for name, content in contents(folder).items() if name != place}
    assert upload(s3, folder, to) != (uri, (0, 0, ALL)), "another data set"


def test_upload__again_sends_nothing(aws: Any, s3: S3Store, folder: Path, to: str, tmp_path: Path) -> None:
    uri, first = upload(s3, folder, to)
    elsewhere = Path(shutil.copytree(folder, tmp_path / "moved"))
    assert upload(s3, folder, to) == (uri, (0, 0, ALL))
    assert upload(s3, elsewhere, to) == (uri, (0, 0, ALL)), "by content, not by place or time"
    assert first == (ALL, 0, 0)


def test_upload__what_changed_is_sent_and_the_rest_copied(aws: Any, s3: S3Store, folder: Path, to: str) -> None:
    uri, _ = upload(s3, folder, to)
    before = stored(aws, uri)
    changed, moved, removed = sorted((folder / "train").rglob("*.jpg"))[:3]
    changed.write_bytes(changed.read_bytes() + b"\0")
    moved.rename(moved.with_name("renamed.jpg"))
    removed.unlink()
    newer, done = upload(s3, folder, to)
    assert done == (1, ALL - 2, 0)
    assert newer != uri
    assert stored(aws, newer) == contents(folder)
    assert stored(aws, uri) == before, "what others train on stays as it was"
    assert upload(s3, folder, to) == (newer, (0, 0, ALL - 1))


def test_upload__a_data_set_of_another_name_is_none_of_its_versions(s3: S3Store, folder: Path, to: str) -> None:
    upload_dataset(s3, folder, to, "dogs-small")
    assert upload(s3, folder, to)[1] == (ALL, 0, 0)


def test_upload__what_was_removed_there_is_neither_copied_nor_missed(
    aws: Any, s3: S3Store, folder: Path, to: str
) -> None:
    uri, _ = upload(s3, folder, to)
    place = min(contents(folder))
    bucket, prefix = uri.removeprefix("s3://").split("/", 1)
    aws.s3.delete_object(Bucket=bucket, Key=prefix + place)
    (folder / "test/001.Breed_A/new.jpg").write_bytes(b"new")
    newer, done = upload(s3, folder, to)
    assert done == (2, ALL - 1, 0)
    (folder / "test/001.Breed_A/new.jpg").unlink()
    assert upload(s3, folder, to) == (uri, (0, 1, ALL - 1)), "the newer one has it"
    assert stored(aws, uri) == contents(folder)
    assert newer != uri


def test_upload__verify_finds_what_size_and_time_do_not_show(aws: Any, s3: S3Store, folder: Path, to: str) -> None:
    uri, _ = upload(s3, folder, to)
    place, content = min(contents(folder).items())
    s3.put_bytes(uri + place, bytes(len(content)))
    assert upload(s3, folder, to) == (uri, (0, 0, ALL))
    assert upload(s3, folder, to, verify=True) == (uri, (1, 0, ALL - 1))
    assert stored(aws, uri) == contents(folder)
    path = folder / place
    status = path.stat()
    path.write_bytes(bytes(len(content)))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert upload(s3, folder, to, verify=True)[0] != uri, "another data set"


def test_upload__takes_pictures_in_class_folders_only(
    aws: Any, s3: S3Store, folder: Path, to: str, capsys: pytest.CaptureFixture[str]
) -> None:
    expected = contents(folder)
    for path in ("notes.txt", ".DS_Store", "train/a.jpg", "train/001.Breed_A/notes.txt", "train/001.Breed_A/.a.jpg"):
        (folder / path).write_bytes(b"x")
    (folder / "train/002.Breed_B/empty.jpg").write_bytes(b"")
    assert main([str(folder), "--to", to]) == 0
    out = capsys.readouterr().out
    assert "skipped: 1 empty, 1 hidden, 1 not a picture, 1 not in a class folder" in out
    uri = re.search(r"^sagemaker\.channels\.data=(\S+)$", out, re.M)
    assert uri is not None
    assert stored(aws, uri[1]) == expected


def test_upload__odd_names_come_through(aws: Any, s3: S3Store, folder: Path, to: str) -> None:
    odd = folder / "train/001.Breed_A/a b+c&d=é%20#?.JPG"
    odd.write_bytes(b"odd")
    uri = upload_dataset(s3, folder, to, "Hunde & Katzen")
    assert "/Hunde-Katzen-" in uri
    assert stored(aws, uri)[str(odd.relative_to(folder))] == b"odd"


def test_upload__in_a_folder_store(folder: Path, tmp_path: Path) -> None:
    store = FolderStore(tmp_path / "store")
    uri, done = upload(store, folder, "s3://dogbreed/a")
    assert done == (ALL, 0, 0)
    assert contents(store.path(uri)) == contents(folder)
    (folder / "train/001.Breed_A/new.jpg").write_bytes(b"new")
    assert upload(store, folder, "s3://dogbreed/a")[1] == (1, ALL, 0)


def test_upload__rehearsed_on_the_process_backend(folder: Path, tmp_path: Path, command: Command) -> None:
    ended = command(main, folder, "--backend", "process", "--process-dir", tmp_path / "jobs")
    assert ended.code == 0
    uri = re.search(r"^sagemaker\.channels\.data=(s3://dogbreed/dogbreed/datasets/photos-\w+/)$", ended.out, re.M)
    assert uri is not None
    assert contents(ProcessBackend(tmp_path / "jobs").store.path(uri[1])) == contents(folder)  # type: ignore[attr-defined]
    line = f"next: python -m launch.plan data.root={folder} data=folder {uri[0]} sagemaker.backend=process"
    assert f"{line} sagemaker.process_dir={tmp_path}/jobs" in ended.out.splitlines()


# -- weights ------------------------------------------------------------------------------------------------------


def test_upload__weights_are_alone_below_their_prefix(aws: Any, to: str, tmp_path: Path, command: Command) -> None:
    torch.save({"a": torch.arange(3)}, tmp_path / "net.pth")
    ended = command(main, tmp_path / "net.pth", "--to", to)
    assert ended.code == 0
    uri = re.search(r"^sagemaker\.channels\.weights=(s3://\S+/weights/net-[0-9a-f]{16}/)$", ended.out, re.M)
    assert uri is not None
    assert stored(aws, uri[1]) == {"net.pth": (tmp_path / "net.pth").read_bytes()}
    assert f"python -m launch.plan backbone.weights={tmp_path}/net.pth {uri[0]}" in ended.out
    assert command(main, tmp_path / "net.pth", "--to", to).out == ended.out


def test_upload__what_comes_next_is_in_the_same_region(aws: Any, to: str, tmp_path: Path, command: Command) -> None:
    torch.save({"a": torch.arange(3)}, tmp_path / "net.pth")
    ended = command(main, tmp_path / "net.pth", "--to", to, "--region", aws.region)
    assert ended.out.endswith(f" sagemaker.region={aws.region}\n")


def test_upload__a_file_without_weights_is_refused(aws: Any, to: str, tmp_path: Path, command: Command) -> None:
    (tmp_path / "photos.zip").write_bytes(b"PK")
    ended = command(main, tmp_path / "photos.zip", "--to", to)
    assert ended.code == 1
    assert re.match("error: .*photos.zip holds more than tensors", ended.err)
    assert stored(aws, f"{to}/") == {}


# -- what cannot be uploaded --------------------------------------------------------------------------------------


def remove_train(folder: Path) -> None:
    shutil.rmtree(folder / "train")


def remove_all(folder: Path) -> None:
    shutil.rmtree(folder)


def empty(folder: Path) -> None:
    remove_all(folder)
    folder.mkdir()


def empty_class(folder: Path) -> None:
    (folder / "train/005.New").mkdir()


def dangling(folder: Path) -> None:
    (folder / "train/001.Breed_A/gone.jpg").symlink_to("nowhere.jpg")


def odd_name(folder: Path) -> None:
    (folder / "train/001.Breed_A/a\nb.jpg").write_bytes(b"x")


def no_utf8(folder: Path) -> None:
    Path(os.fsdecode(os.fsencode(folder) + b"/train/001.Breed_A/\xff.jpg")).write_bytes(b"x")


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (remove_train, "no train/ in .*, which holds test, valid"),
        (remove_all, "no folder .*photos"),
        (empty, "no train/ in .*, which holds nothing"),
        (empty_class, "no picture of 005.New in .*train"),
        (dangling, "gone.jpg cannot be read"),
        (odd_name, r"a\\nb.jpg"),
        (no_utf8, r"udcff.jpg"),
    ],
)
def test_upload__a_folder_that_is_no_data_set(
    spoil: Callable[[Path], None], said: str, folder: Path, tmp_path: Path
) -> None:
    store = FolderStore(tmp_path / "store")
    spoil(folder)
    with pytest.raises(DataError, match=said):
        upload_dataset(store, folder, "s3://dogbreed/a")
    assert not store.root.exists()


def test_upload__a_mistyped_folder_is_one_clear_error(folder: Path, to: str, command: Command) -> None:
    ended = command(main, f"{folder}s", "--to", to)
    assert ended.code == 1
    assert re.match("error: no folder .*photoss\n", ended.err)
    assert len(ended.err.splitlines()) == 3


def test_upload__a_file_that_changes_meanwhile_leaves_no_manifest(aws: Any, s3: S3Store, folder: Path, to: str) -> None:
    plan = plan_upload(s3, folder, to)
    first = folder / min(contents(folder))
    size = first.stat().st_size
    first.write_bytes(bytes(size))
    with pytest.raises(DataError, match=f"1 files changed while they were sent, such as {min(plan.files)}"):
        carry_out(s3, plan)
    assert stored(aws, f"{to}/manifests/") == {}
    first.write_bytes(contents(folder)[min(plan.files)][: size // 2])
    again = plan_upload(s3, folder, to)
    assert carry_out(s3, again).sent == ALL
    assert stored(aws, again.uri) == contents(folder)


def test_upload__a_damaged_manifest_is_named(s3: S3Store, folder: Path, to: str) -> None:
    upload(s3, folder, to)
    (damaged,) = s3.files(f"{to}/manifests/")
    s3.put_bytes(damaged.uri, b'{"files": [')
    (folder / "train/001.Breed_A/new.jpg").write_bytes(b"new")
    with pytest.raises(LaunchError, match=f"{damaged.uri} is damaged"):
        upload(s3, folder, to)


# -- what AWS refuses ---------------------------------------------------------------------------------------------


def test_upload__to_a_bucket_that_is_not_there(folder: Path, command: Command, aws: Any) -> None:
    ended = command(main, folder, "--to", "s3://no-such-bucket/x")
    assert ended.code == 1
    assert re.match(r"error: listing s3://no-such-bucket/\S+: .*bucket does not exist", ended.err)
    assert len(ended.err.splitlines()) == 3


def test_upload__to_no_uri_and_without_a_place(
    folder: Path, command: Command, aws: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "is no place in S3" in command(main, folder, "--to", "photos").err
    monkeypatch.delenv("DOGBREED_ROLE", raising=False)
    ended = command(main, folder)
    assert ended.code == 1
    assert "add --to, or set" in ended.err
    monkeypatch.setenv("DOGBREED_ROLE", "arn:aws:iam::123456789012:role/dogs")
    assert "s3://sagemaker-us-east-1-123456789012/dogbreed/datasets/photos-" in command(main, folder).err


def test_upload__without_credentials(
    folder: Path, command: Command, aws: Any, monkeypatch: pytest.MonkeyPatch, to: str
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    ended = command(main, folder, "--to", to)
    assert ended.code == 1
    assert "Unable to locate credentials" in ended.err
    assert len(ended.err.splitlines()) == 3


@pytest.fixture
def allow(aws: Any) -> Iterator[Callable[[float], None]]:
    """How many more requests moto serves before it looks at who asks, and knows nobody."""

    def serve(requests: float) -> None:
        asked = urllib.request.Request(
            f"{aws.endpoint}/moto-api/reset-auth", str(requests).encode(), {"Content-Type": "text/plain"}
        )
        urllib.request.urlopen(asked).close()

    yield serve
    serve(float("inf"))


def test_upload__without_permission(folder: Path, command: Command, to: str, allow: Callable[[float], None]) -> None:
    allow(0)
    ended = command(main, folder, "--to", to)
    assert ended.code == 1
    assert re.match(r"error: listing s3://\S+: .*\(InvalidAccessKeyId\)", ended.err)
    assert len(ended.err.splitlines()) == 3


def test_upload__refused_half_way_stops_and_goes_on(
    aws: Any, s3: S3Store, folder: Path, to: str, allow: Callable[[float], None]
) -> None:
    plan = plan_upload(s3, folder, to, "dogs")
    allow(5)
    with pytest.raises(LaunchError, match=r"sending .*: .*\(InvalidAccessKeyId\)"):
        carry_out(s3, plan, workers=2)
    allow(float("inf"))
    assert stored(aws, f"{to}/manifests/") == {}
    assert len(stored(aws, plan.uri)) == 5
    assert upload(s3, folder, to) == (plan.uri, (ALL - 5, 0, 5))
    assert stored(aws, plan.uri) == contents(folder)


class Expired(BaseHTTPRequestHandler):
    """S3 as it answers old credentials."""

    def do_GET(self) -> None:
        self.send_response(400)
        self.end_headers()
        self.wfile.write(b"<Error><Code>ExpiredToken</Code><Message>The provided token has expired.</Message></Error>")

    def log_message(self, *_: Any) -> None:
        pass


def test_upload__with_expired_credentials(
    folder: Path, command: Command, to: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Expired) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
        ended = command(main, folder, "--to", to)
        server.shutdown()
    assert ended.code == 1
    assert re.match(r"error: listing s3://\S+: The provided token has expired. \(ExpiredToken\)\n", ended.err)
    assert len(ended.err.splitlines()) == 3


# -- interruptions of a real process ------------------------------------------------------------------------------


@pytest.fixture
def started(aws: Any, tmp_path: Path, to: str) -> Iterator[Callable[[], subprocess.Popen[str]]]:
    """Starts the command on many pictures, a file at a time, and waits until some are there."""
    folder = draw_folder(tmp_path / "many", train=40, size=16)
    line = [sys.executable, "-m", "launch.upload", str(folder), "--to", to, "--workers", "1"]
    processes = []

    def start() -> subprocess.Popen[str]:
        process = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        processes.append(process)
        bucket, prefix = to.removeprefix("s3://").split("/", 1)
        deadline = time.monotonic() + 240
        while aws.s3.list_objects_v2(Bucket=bucket, Prefix=prefix).get("KeyCount", 0) < 20:
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline, "it sends nothing"
            time.sleep(0.05)
        return process

    yield start
    for process in processes:
        process.kill()
        process.wait()


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_upload__interrupted_half_way_and_run_again(
    how: signal.Signals, aws: Any, s3: S3Store, to: str, tmp_path: Path, started: Callable[[], Any]
) -> None:
    process = started()
    process.send_signal(how)
    _, err = process.communicate(timeout=60)
    assert "Traceback" not in err
    if how == signal.SIGINT:
        assert process.returncode == 130
        assert err.strip() == "stopped; the same command goes on from here"
    else:
        assert process.returncode == -how
    assert stored(aws, f"{to}/manifests/") == {}, "not whole, so without a manifest"
    there = len(stored(aws, f"{to}/datasets/"))
    uri, (sent, copied, kept) = upload_there(s3, tmp_path / "many", to)
    assert (sent, copied) == (len(contents(tmp_path / "many")) - there, 0)
    assert kept == there >= 20
    assert stored(aws, uri) == contents(tmp_path / "many")


def upload_there(store: S3Store, folder: Path, to: str) -> tuple[str, tuple[int, int, int]]:
    plan = plan_upload(store, folder, to)
    done: Done = carry_out(store, plan)
    return plan.uri, done[:3]


def test_upload__workers_is_a_number(command: Command, folder: Path) -> None:
    ended = command(main, folder, "--workers", "0")
    assert ended.code == 2
    assert "0 is not a number of files" in ended.err
    assert datasets.WORKERS > 1
