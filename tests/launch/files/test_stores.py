"""Both stores against the same expectations: moto's S3 over HTTP, and a folder."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dogbreed.errors import OutputError
from launch.backends import Store
from launch.errors import LaunchError
from launch.files import stores
from launch.files.stores import FolderStore, S3Store


@pytest.fixture(scope="module")
def s3_store(aws: Any) -> S3Store:
    return S3Store(aws.session())


@pytest.fixture
def folder_store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "store")


@pytest.fixture(params=["S3", "folder"])
def place(request: pytest.FixtureRequest) -> tuple[Store, str]:
    """A store, and the URI of an empty bucket in it."""
    if request.param == "folder":
        return request.getfixturevalue("folder_store"), "s3://bucket"
    return request.getfixturevalue("s3_store"), f"s3://{request.getfixturevalue('aws').new_bucket()}"


def listed(store: Store, prefix: str) -> list[tuple[str, int]]:
    return [(file.uri.removeprefix(prefix), file.size) for file in store.files(prefix)]


def test_store__gives_back_what_was_put(place: tuple[Store, str], tmp_path: Path) -> None:
    store, bucket = place
    content = os.urandom(1000)
    (tmp_path / "a").write_bytes(content)
    store.put(f"{bucket}/x/a b&ü.bin", tmp_path / "a")
    store.get(f"{bucket}/x/a b&ü.bin", tmp_path / "new/back")
    assert (tmp_path / "new/back").read_bytes() == content
    assert store.get_bytes(f"{bucket}/x/a b&ü.bin") == content
    store.put_bytes(f"{bucket}/x/a b&ü.bin", b"other")
    assert store.get_bytes(f"{bucket}/x/a b&ü.bin") == b"other", "the later one counts"


def test_s3__big_files_go_in_parts(aws: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stores, "_WHOLE", 6 << 20)
    monkeypatch.setattr(stores, "_PART", 5 << 20)  # the least that S3 takes
    store, bucket = S3Store(aws.session()), aws.new_bucket()
    (tmp_path / "big").write_bytes(os.urandom(stores._WHOLE + 12345))
    store.put(f"s3://{bucket}/big", tmp_path / "big")
    assert aws.s3.head_object(Bucket=bucket, Key="big")["ETag"].endswith('-2"'), "in two parts"
    store.get(f"s3://{bucket}/big", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == (tmp_path / "big").read_bytes()
    assert store.holds(f"s3://{bucket}/big", tmp_path / "big")
    with open(tmp_path / "big", "r+b") as file:
        file.write(b"other")
    assert not store.holds(f"s3://{bucket}/big", tmp_path / "big")


def test_store__lists_by_the_beginning_of_the_key_in_order(place: tuple[Store, str]) -> None:
    store, bucket = place
    for key in ("dogs/b/1", "dogs/b.txt", "dogs/B/2", "dogs-2/a", "other", "dogs/b/é"):
        store.put_bytes(f"{bucket}/{key}", key.encode())
    assert listed(store, f"{bucket}/dogs") == [
        ("-2/a", 8), ("/B/2", 8), ("/b.txt", 10), ("/b/1", 8), ("/b/é", 9),
    ]  # fmt: skip
    assert [key for key, _ in listed(store, f"{bucket}/dogs/")] == ["B/2", "b.txt", "b/1", "b/é"]
    assert [key for key, _ in listed(store, f"{bucket}/dogs/b/1")] == [""]
    assert len(listed(store, f"{bucket}/")) == 6
    assert listed(store, f"{bucket}/nothing/here") == []


@pytest.mark.slow
def test_store__lists_more_than_a_page(place: tuple[Store, str]) -> None:
    store, bucket = place
    for number in range(1005):  # S3 gives 1,000 at a time
        store.put_bytes(f"{bucket}/{number}", b"")
    assert len(listed(store, f"{bucket}/")) == 1005


def test_store__what_is_not_there(place: tuple[Store, str], tmp_path: Path) -> None:
    store, bucket = place
    assert store.get_bytes(f"{bucket}/a") is None
    (tmp_path / "back").write_text("kept")
    with pytest.raises(LaunchError, match="fetching"):
        store.get(f"{bucket}/a", tmp_path / "back")
    assert (tmp_path / "back").read_text() == "kept"
    assert not store.holds(f"{bucket}/a", tmp_path / "back")
    with pytest.raises(LaunchError, match="No such file"):
        store.put(f"{bucket}/a", tmp_path / "nothing")
    with pytest.raises(LaunchError):
        store.copy(f"{bucket}/a", f"{bucket}/b")


def test_store__copies_and_compares(place: tuple[Store, str], tmp_path: Path) -> None:
    store, bucket = place
    (tmp_path / "a").write_bytes(b"one")
    store.put(f"{bucket}/a b", tmp_path / "a")
    store.copy(f"{bucket}/a b", f"{bucket}/deep/c")
    assert store.get_bytes(f"{bucket}/deep/c") == b"one"
    assert store.holds(f"{bucket}/deep/c", tmp_path / "a")
    (tmp_path / "a").write_bytes(b"two")
    assert not store.holds(f"{bucket}/deep/c", tmp_path / "a"), "of the same size, and another"


def test_store__a_full_disk_here_is_said_and_leaves_nothing(place: tuple[Store, str], tiny_disk: Path) -> None:
    store, bucket = place
    store.put_bytes(f"{bucket}/a", bytes(50_000))
    with pytest.raises(OutputError, match="back cannot be written: No space left"):
        store.get(f"{bucket}/a", tiny_disk / "back")
    assert [path.name for path in tiny_disk.iterdir()] == ["filler"]


@pytest.mark.parametrize("uri", ["dogs/a", "s3://", "/a/b", "s3:///a"])
def test_store__no_uri_of_s3(uri: str, place: tuple[Store, str]) -> None:
    with pytest.raises(LaunchError, match="is no place in S3"):
        place[0].get_bytes(uri)


# -- a folder -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["../a", "b/../../a", "b//a", "./a", "b/.", "b/a\0", "/a"])
def test_folder__no_key_leaves_its_bucket(key: str, folder_store: FolderStore) -> None:
    with pytest.raises(LaunchError, match="is no place in a folder"):
        folder_store.put_bytes(f"s3://bucket/{key}", b"")
    with pytest.raises(LaunchError, match="is no place in a folder"):
        folder_store.get_bytes(f"s3://bucket/{key}")
    with pytest.raises(LaunchError, match="is no place in a folder"):
        folder_store.get_bytes(f"s3://../{key}")
    assert not folder_store.root.exists()


def test_folder__local_is_this_machine_and_only_read(folder_store: FolderStore, tmp_path: Path) -> None:
    (tmp_path / "photos/train").mkdir(parents=True)
    (tmp_path / "photos/train/a.jpg").write_bytes(b"abc")
    (tmp_path / "photos-2").mkdir()
    uri = f"s3://local{tmp_path}/photos"
    assert folder_store.path(uri) == tmp_path / "photos"
    assert listed(folder_store, f"{uri}/") == [("train/a.jpg", 3)]
    assert folder_store.get_bytes(f"{uri}/train/a.jpg") == b"abc"
    with pytest.raises(LaunchError, match="cannot be written"):
        folder_store.put_bytes(f"{uri}/train/b.jpg", b"")
    folder_store.copy(f"{uri}/train/a.jpg", "s3://bucket/a.jpg")
    assert folder_store.get_bytes("s3://bucket/a.jpg") == b"abc"


def test_folder__without_room_or_permission_is_one_clear_error(tiny_disk: Path, tmp_path: Path) -> None:
    store = FolderStore(tiny_disk)
    with pytest.raises(LaunchError, match=r"writing s3://bucket/a: No space left"):
        store.put_bytes("s3://bucket/a", bytes(50_000))
    assert listed(store, "s3://bucket/") == []
    (tmp_path / "file").write_text("")
    with pytest.raises(LaunchError, match="writing s3://bucket/a"):
        FolderStore(tmp_path / "file").put_bytes("s3://bucket/a", b"")


WRITER = """
import sys
from pathlib import Path
from launch.files.stores import FolderStore
print(flush=True)
while True:
    FolderStore(Path(sys.argv[1])).put("s3://bucket/a", Path(sys.argv[2]))
"""


def test_folder__a_killed_process_leaves_whole_files_only(tmp_path: Path) -> None:
    (tmp_path / "big").write_bytes(bytes(20_000_000))
    store = FolderStore(tmp_path / "store")
    for wait in (0.01, 0.03, 0.07):
        writer = subprocess.Popen([sys.executable, "-c", WRITER, store.root, tmp_path / "big"], stdout=subprocess.PIPE)
        assert writer.stdout is not None
        writer.stdout.readline()
        time.sleep(wait)
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        assert set(listed(store, "s3://bucket/")) <= {("a", 20_000_000)}


# -- what S3 refuses ----------------------------------------------------------------------------------------------


@pytest.fixture
def closed_port(aws: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No S3 at all."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{taken.getsockname()[1]}")
        monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
        yield


def test_s3__its_checksum_is_s3s_own(aws: Any, s3_store: S3Store, tmp_path: Path) -> None:
    bucket = aws.new_bucket()
    (tmp_path / "a").write_bytes(b"abc")
    s3_store.put(f"s3://{bucket}/a", tmp_path / "a")
    found = aws.s3.head_object(Bucket=bucket, Key="a", ChecksumMode="ENABLED")
    assert found["ChecksumSHA256"] == "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=", "FIPS 180-2, appendix B.1"


def test_s3__what_another_tool_put_cannot_be_told(aws: Any, s3_store: S3Store, tmp_path: Path) -> None:
    bucket = aws.new_bucket()
    (tmp_path / "a").write_bytes(b"abc")
    aws.s3.put_object(Bucket=bucket, Key="a", Body=b"abc")
    assert not s3_store.holds(f"s3://{bucket}/a", tmp_path / "a"), "it is sent again, with a checksum"


def test_s3__no_bucket_is_one_clear_error(s3_store: S3Store) -> None:
    there = "s3://no-such-bucket/"
    for ask in (lambda: s3_store.put_bytes(f"{there}a", b""), lambda: listed(s3_store, there)):
        with pytest.raises(LaunchError, match="bucket does not exist") as error:
            ask()
        assert "\n" not in error.value.got


@pytest.mark.usefixtures("closed_port")
def test_s3__no_network_is_one_clear_error(aws: Any) -> None:
    with pytest.raises(LaunchError, match="writing s3://bucket/a: Could not connect") as error:
        S3Store(aws.session()).put_bytes("s3://bucket/a", b"")
    assert "\n" not in error.value.got


def test_s3__without_boto3_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "boto3.py").write_text("raise ImportError('none here', name='boto3')")
    code = "from launch.files.stores import S3Store\n"
    code += "try:\n    S3Store(None)\nexcept Exception as e:\n    print(type(e), e)"
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert "LaunchError" in done.stdout
    assert "pip install 'dogbreed[sagemaker]'" in done.stdout
