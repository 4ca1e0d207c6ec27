"""Downloads that become a folder: whole or not there, after every step, whatever is there already."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from dogbreed.download.dataset import download_dataset
from dogbreed.download.guard import ArchiveLimits, LimitError
from dogbreed.errors import ConfigError, DataError, OutputError
from tests.download.downloading import NOISE, SETTINGS, SHA256, TREE, ZIP, Place, zipped
from tests.download.lying_server import (
    answers,
    breaks_after,
    honest,
    sends_chunks,
    serving,
)

CONF = Path(__file__).parents[2] / "conf" / "download.yaml"


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.fixture
def place(tmp_path: Path) -> Place:
    (tmp_path / "data").mkdir()
    return Place(tmp_path / "data" / "dogs")


def test_download_dataset__makes_the_folder_and_leaves_nothing_beside_it(place: Place) -> None:
    with serving(ZIP) as server:
        place.get(server.url)

    assert (place.tree(), place.beside()) == (TREE, [])
    assert f"sha256={SHA256}" in place.said
    assert place.lines[-1] == f"next: python -m dogbreed.data summary {place.root}"


def test_download_dataset__fetches_nothing_the_second_time(place: Place) -> None:
    with serving(ZIP) as server:
        place.get(server.url)
        place.get(server.url)

    assert len(server.asked) == 1
    assert "is there already" in place.said


@pytest.mark.parametrize("form", ["file URL", "path", "relative path"])
def test_download_dataset__takes_a_file_of_this_machine(
    form: str, place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = tmp_path / "dogs #1.zip"
    archive.write_bytes(ZIP)
    monkeypatch.chdir(tmp_path)
    place.get({"file URL": archive.as_uri(), "path": str(archive), "relative path": archive.name}[form])
    place.get(str(archive), sha256=SHA256.upper())

    assert (place.tree(), archive.read_bytes()) == (TREE, ZIP)


@pytest.mark.parametrize("top", ["", "dogImages/", "a/b/"])
def test_download_dataset__takes_off_what_is_wrapped_around(top: str, place: Place, tmp_path: Path) -> None:
    (tmp_path / "dogs.zip").write_bytes(zipped(top=top))
    place.get(str(tmp_path / "dogs.zip"))

    assert place.tree() == TREE


@pytest.mark.parametrize("tree", [{"train/1.Beagle/a.jpg": b"x"}, {"1.Beagle/a.jpg": b"x", "1.Beagle/b.jpg": b"y"}])
def test_download_dataset__keeps_the_only_split_and_the_only_class(tree: dict[str, bytes], tmp_path: Path) -> None:
    (tmp_path / "dogs.zip").write_bytes(zipped(tree, top="photos/"))
    root = download_dataset(str(tmp_path / "dogs.zip"), tmp_path / "dogs", say=list[str]().append, **SETTINGS)

    assert Place(root).tree() == tree


def test_download_dataset__goes_on_in_another_run(place: Place) -> None:
    with serving(ZIP, breaks_after(300_000), answers(503)) as server:
        with pytest.raises(DataError, match=r"2 times in a row; 0\.3 MB have come and are kept"):
            place.get(server.url, retries=1)
        assert place.tree() is None
        place.get(f"{server.url}?X-Amz-Signature=other", retries=0)
        place.root.rename(place.root.with_name("elsewhere"))

    assert server.ranges == [None, "bytes=300000-", None]  # another query may be another file


def test_download_dataset__keeps_an_archive_that_a_higher_limit_lets_in(place: Place) -> None:
    with serving(ZIP) as server:
        with pytest.raises(LimitError):
            place.get(server.url, limits=ArchiveLimits(max_files=5, max_gb=1, max_ratio=9))
        place.get(server.url)

    assert (place.tree(), len(server.asked)) == (TREE, 1)


def test_download_dataset__throws_away_an_archive_that_is_refused(place: Place) -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("../x"))
    with serving(packed.getvalue()) as server, pytest.raises(DataError, match="leads out of its folder"):
        place.get(server.url)

    assert (len(server.asked), place.tree(), place.beside()) == (1, None, [])


def test_download_dataset__never_touches_a_folder_of_others(place: Place) -> None:
    place.root.mkdir()
    (place.root / "mine.txt").write_text("mine")
    for _ in range(2):
        with pytest.raises(DataError, match="not from a download"):
            download_dataset("http://127.0.0.1:9/x.zip", place.root, **SETTINGS)

    assert (place.tree(), place.beside()) == ({"mine.txt": b"mine"}, [])


def test_download_dataset__fills_an_empty_folder(place: Place, tmp_path: Path) -> None:
    (tmp_path / "dogs.zip").write_bytes(ZIP)
    place.root.mkdir()
    download_dataset(str(tmp_path / "dogs.zip"), place.root, **SETTINGS)

    assert place.tree() == TREE


@pytest.mark.parametrize("change", ["lost", "shorter", "other source", "other sha256"])
def test_download_dataset__tells_of_a_folder_that_is_not_what_it_was(change: str, place: Place, tmp_path: Path) -> None:
    archive = tmp_path / "dogs.zip"
    archive.write_bytes(ZIP)
    place.get(str(archive))
    if change == "lost":
        (place.root / "train/001.Breed/1.jpg").unlink()
    if change == "shorter":
        os.truncate(place.root / "train/001.Breed/1.jpg", 7)

    with pytest.raises(DataError, match="nothing was changed"):
        download_dataset(
            str(tmp_path / "other.zip" if change == "other source" else archive),
            place.root,
            sha256="0" * 64 if change == "other sha256" else None,
            **SETTINGS,
        )


def test_download_dataset__goes_on_once_the_disk_has_room(tiny_disk: Path) -> None:
    tree = {"train/a.jpg": NOISE[:24_000]}
    place = Place(tiny_disk / "dogs")
    os.truncate(tiny_disk / "filler", 40 * 1024)
    with serving(zipped(tree), sends_chunks()) as server:
        with pytest.raises(OutputError, match="No space left"):
            download_dataset(server.url, place.root, **SETTINGS)
        assert place.tree() is None
        (tiny_disk / "filler").unlink()
        download_dataset(server.url, place.root, **SETTINGS)

    assert (place.tree(), place.beside()) == (tree, [])
    assert int((server.ranges[1] or "")[6:-1]) > 0


BAD = {
    "url": [
        "ftp://x/y.zip",
        "https:///x.zip",
        "http://[::1/x.zip",
        "http://x/a b.zip",
        "file://host/x",
        "http://x:99999/y",
    ],
    "sha256": ["abc", "g" * 64],
    "size_bytes": [0, -1, "many", True],
    "retries": [-1, None],
    "backoff_s": [-1, "soon"],
    "timeout_s": [0, None],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name in BAD for value in BAD[name]])  # type: ignore[attr-defined]
def test_download_dataset__refuses_settings_that_cannot_be(name: str, value: object, place: Place) -> None:
    with pytest.raises(ConfigError):
        place.get(**{"url": "http://127.0.0.1:9/x.zip", name: value})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "url", ["/nowhere.zip", "file:///nowhere.zip", "/dev/zero", "/etc", "http://127.0.0.1:1/x.zip"]
)
def test_download_dataset__tells_of_what_is_not_there(url: str, place: Place) -> None:
    with pytest.raises(DataError):
        place.get(url)

    assert place.beside() == []


def test_download_dataset__is_made_once_by_several_at_a_time(place: Place) -> None:
    with serving(ZIP, partial(honest, pace_s=0.02)) as server:
        threads = [threading.Thread(target=place.get, args=(server.url,)) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)

    assert (place.tree(), len(server.asked), place.beside()) == (TREE, 1, [])


def test_download_dataset__takes_what_its_config_says(place: Place) -> None:
    values: Any = OmegaConf.to_container(OmegaConf.load(CONF))
    values |= {"limits": ArchiveLimits(**values["limits"]), "root": place.root}
    with serving(ZIP) as server:
        place.get(**{name: value for name, value in values.items() if name != "root"} | {"url": server.url})

    assert place.tree() == TREE


CODE = """
import sys
from dogbreed.download.guard import ArchiveLimits
from dogbreed.download.dataset import download_dataset
limits = ArchiveLimits(max_files=9999, max_gb=1, max_ratio=99)
download_dataset(sys.argv[1], sys.argv[2], limits=limits, retries=3, backoff_s=0.1, timeout_s=60)
"""


def started(url: str, root: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", CODE, url, root], stdout=subprocess.DEVNULL)


def killed_once(process: subprocess.Popen[bytes], reached: Iterator[bool]) -> None:
    """Kill a process as soon as it has come so far."""
    until = time.monotonic() + 120
    while not next(reached):
        assert process.poll() is None
        assert time.monotonic() < until
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait(60)


@pytest.mark.slow
def test_download_dataset__ends_right_after_kills(place: Place) -> None:
    tree = {f"train/{n % 9}.Breed/{n}.jpg": NOISE[:500] for n in range(3000)} | {"train/0.Breed/large.jpg": NOISE * 20}
    archive = zipped(tree)
    part = place.root.parent / ".dogs.download" / "archive.part"
    unpacked = part.with_name("unpacked")
    with serving(archive, *[partial(honest, pace_s=0.02)] * 2) as server:
        first = started(server.url, place.root)
        killed_once(first, iter(lambda: part.exists() and part.stat().st_size > 500_000, None))
        assert place.tree() is None
        second = started(server.url, place.root)
        killed_once(second, iter(lambda: unpacked.exists() and any(unpacked.iterdir()), None))
        assert place.tree() is None
        assert started(server.url, place.root).wait(120) == 0

    assert (place.tree(), place.beside()) == (tree, [])
    assert server.ranges[0] is None
    assert int((server.ranges[1] or "")[6:-1]) > 500_000
    assert len(server.ranges) == 2  # the third had it all
