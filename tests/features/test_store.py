"""What the store gives is what was put there, whatever happens to its files."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some
from numpy.typing import NDArray

from dogbreed.errors import OutputError
from dogbreed.features import store as module
from dogbreed.features.store import FeatureStore, Keys

D = 6
PROPERTY = settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))


def keys_of(*numbers: int) -> Keys:
    return np.array([[number * 2**40, number] for number in numbers], np.uint64).reshape(-1, 2)


def rows_of(*numbers: int) -> NDArray[np.float32]:
    return np.array([[number + part / 8 for part in range(D)] for number in numbers], np.float32).reshape(-1, D)


def put(store: FeatureStore, *numbers: int) -> None:
    with store.writer(on_wait=lambda: None):
        store.append(keys_of(*numbers), rows_of(*numbers))


def reopen(folder: Path, dtype: str = "float32") -> FeatureStore:
    """As a new process opens it."""
    module._verified.clear()
    return FeatureStore(folder, D, dtype)


def check(store: FeatureStore, numbers: list[int]) -> list[int]:
    """The numbers that are there; each must be what was put."""
    rows = store.find(keys_of(*numbers))
    there = [number for number, row in zip(numbers, rows, strict=True) if row >= 0]
    assert np.array_equal(store.array()[rows[rows >= 0]], rows_of(*there))
    return there


@pytest.fixture
def three(tmp_path: Path) -> FeatureStore:
    """Three chunks: 0 to 3, 4 to 6, 7 to 11."""
    store = FeatureStore(tmp_path / "store", D, "float32")
    for chunk in ([0, 1, 2, 3], [4, 5, 6], [7, 8, 9, 10, 11]):
        put(store, *chunk)
    return store


CHUNKS = ([0, 1, 2, 3], [4, 5, 6], [7, 8, 9, 10, 11])
ALL = list(range(12))


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_store__gives_back_what_was_put_in_any_order(tmp_path: Path, dtype: str) -> None:
    store = FeatureStore(tmp_path / "store", D, dtype)
    order = np.random.default_rng(0).permutation(40).tolist()
    for first in range(0, 40, 7):
        put(store, *order[first : first + 7])
    for opened in (store, reopen(tmp_path / "store", dtype)):
        assert check(opened, [*ALL, 99, 39]) == [*ALL, 39]
        assert len(opened) == 40
    assert (tmp_path / "store" / "features.bin").stat().st_size == 40 * D * np.dtype(dtype).itemsize


def test_store__that_is_empty_finds_nothing(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path / "store", D, "float32")
    assert check(store, ALL) == []
    assert store.array().shape == (0, D)
    assert not (tmp_path / "store").exists()
    assert store.verify() == (0, 0)


def test_store__is_mapped_and_not_read(three: FeatureStore) -> None:
    array = three.array()
    assert isinstance(array, np.memmap)
    assert not array.flags.writeable


def test_store__keys_that_share_a_half_are_told_apart(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path / "store", D, "float32")
    with store.writer(on_wait=lambda: None):
        store.append(np.array([[7, 1]], np.uint64), rows_of(1))
    assert store.find(np.array([[7, 2], [1, 7], [7, 1]], np.uint64)).tolist() == [-1, -1, 0]


def test_store__a_later_row_takes_the_place_of_an_earlier_one(three: FeatureStore) -> None:
    with three.writer(on_wait=lambda: None):
        three.append(keys_of(5), rows_of(50))
    for store in (three, reopen(three.folder)):
        assert np.array_equal(store.array()[store.find(keys_of(5))], rows_of(50))


def mend(store: FeatureStore) -> None:
    """Put again what is missing; afterwards all is there."""
    lost = sorted(set(ALL) - set(check(store, ALL)))
    if lost:
        put(store, *lost)
    assert check(store, ALL) == ALL
    assert check(reopen(store.folder), ALL) == ALL


@PROPERTY
@given(place=some.floats(0, 1, exclude_max=True), bit=some.integers(0, 7))
def test_store__one_flipped_bit_of_the_rows_costs_their_chunk(
    tmp_path_factory: pytest.TempPathFactory, place: float, bit: int
) -> None:
    folder = tmp_path_factory.mktemp("flipped")
    for chunk in CHUNKS:
        put(FeatureStore(folder, D, "float32"), *chunk)
    content = bytearray((folder / "features.bin").read_bytes())
    at = int(place * len(content))
    content[at] ^= 1 << bit
    (folder / "features.bin").write_bytes(content)
    store = reopen(folder)
    hit = next(chunk for chunk in CHUNKS if at // (4 * D) in chunk)
    assert check(store, ALL) == [number for number in ALL if number not in hit]
    assert reopen(folder).verify() == (3, 1)
    mend(store)


@PROPERTY
@given(place=some.floats(0, 1, exclude_max=True), byte=some.integers(1, 255))
def test_store__one_changed_byte_of_the_index_is_never_read(
    tmp_path_factory: pytest.TempPathFactory, place: float, byte: int
) -> None:
    folder = tmp_path_factory.mktemp("flipped")
    for chunk in CHUNKS:
        put(FeatureStore(folder, D, "float32"), *chunk)
    content = bytearray((folder / "index.jsonl").read_bytes())
    content[int(place * len(content))] ^= byte
    (folder / "index.jsonl").write_bytes(content)
    store = reopen(folder)
    assert len(check(store, ALL)) <= 12 - 3
    mend(store)


@pytest.mark.parametrize("step", [11, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", ["features.bin", "index.jsonl"])
def test_store__cut_anywhere_keeps_the_whole_chunks_before(three: FeatureStore, name: str, step: int) -> None:
    whole = {file: (three.folder / file).read_bytes() for file in ("features.bin", "index.jsonl")}
    content, row = whole[name], 4 * D
    ends = [4 * row, 7 * row, 12 * row]
    if name == "index.jsonl":
        ends = [number + 1 for number, byte in enumerate(content) if byte == ord("\n")]
    for cut in range(0, len(content) + 1, step):
        for file, written in whole.items():
            (three.folder / file).write_bytes(written[:cut] if file == name else written)
        store = reopen(three.folder)
        whole_chunks = sum(end <= cut for end in ends)
        assert check(store, ALL) == [number for chunk in CHUNKS[:whole_chunks] for number in chunk], cut
        mend(store)


@pytest.mark.parametrize("cut", [0, 10, 4 * 4 * D, 7 * 4 * D + 3])
def test_store__what_is_whole_can_be_read_beside_what_is_cut(three: FeatureStore, cut: int) -> None:
    with open(three.data, "r+b") as file:
        file.truncate(cut)
    store = reopen(three.folder)
    wanted = [0, 3] if cut >= 4 * 4 * D else []
    assert check(store, [0, 3]) == wanted


@pytest.mark.parametrize("name", ["features.bin", "index.jsonl"])
def test_store__a_file_that_is_gone_is_written_again(three: FeatureStore, name: str) -> None:
    (three.folder / name).unlink()
    store = reopen(three.folder)
    assert check(store, ALL) == []
    mend(store)


def test_store__rubbish_after_the_last_line_is_written_over(three: FeatureStore) -> None:
    """What a kill leaves: rows without a line, and half a line."""
    with open(three.data, "ab") as file:
        file.write(b"\xff" * 61)
    with open(three.folder / "index.jsonl", "ab") as file:
        file.write(b'{"first": 12, "ro')
    store = reopen(three.folder)
    assert check(store, ALL) == ALL
    put(store, 12, 13)
    assert check(reopen(three.folder), [*ALL, 12, 13]) == [*ALL, 12, 13]
    assert reopen(three.folder).verify() == (4, 0)


@pytest.mark.parametrize("pages", [3, 6], ids=["rows do not fit", "line does not fit"])
def test_store__a_full_disk_is_one_clear_error_and_leaves_no_torn_file(tiny_disk: Path, pages: int) -> None:
    filler, many = tiny_disk / "filler", list(range(100, 600))  # 12 kB of rows, and a line of 16 kB
    os.truncate(filler, 64 * 1024 - pages * 4096)
    store = FeatureStore(tiny_disk / "store", D, "float32")
    put(store, 0)
    before = {path.name: path.read_bytes() for path in store.folder.iterdir()}
    with pytest.raises(OutputError, match=r"features\.bin cannot be written"):
        put(store, *many)
    assert {path.name: path.read_bytes() for path in store.folder.iterdir()} == before
    assert check(store, [0, *many]) == [0]
    filler.unlink()
    put(store, *many)
    assert check(reopen(store.folder), [0, *many]) == [0, *many]


def test_store__sees_what_another_has_appended(three: FeatureStore) -> None:
    other = FeatureStore(three.folder, D, "float32")
    put(other, 20)
    assert check(three, [20]) == []
    three.refresh()
    assert check(three, [20]) == [20]
    put(three, 21)
    put(other, 22)
    assert check(reopen(three.folder), [*ALL, 20, 21, 22]) == [*ALL, 20, 21, 22]


def test_verify__reads_again_what_was_found_whole(three: FeatureStore) -> None:
    assert check(three, ALL) == ALL
    content = bytearray(three.data.read_bytes())
    content[0] ^= 1
    three.data.write_bytes(content)
    assert three.verify() == (3, 1)
    assert check(three, ALL) == [4, 5, 6, 7, 8, 9, 10, 11]


def test_store__has_no_file_open_afterwards(three: FeatureStore) -> None:
    check(three, ALL)
    opened = [path.resolve() for path in Path("/proc/self/fd").iterdir() if path.exists()]
    assert not [path for path in opened if three.folder in path.parents]
