"""The drawn sample: the same bytes from the same parameters, whole or absent, never over something else."""

import json
import shlex
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from PIL import Image

from dogbreed.data.sample import draw_sample, main
from dogbreed.errors import ConfigError, DataError, OutputError

SMALL = {"train": 2, "val": 1, "test": 1}


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_sample(tmp_path_factory.mktemp("sample") / "dogs", **SMALL)


def test_draw_sample__holds_every_split_breed_and_picture(sample):
    counts = {
        split: [len(list(breed.iterdir())) for breed in sorted((sample / split).iterdir())]
        for split in ("train", "valid", "test")
    }
    assert counts == {"train": [2] * 10, "valid": [1] * 10, "test": [1] * 10}
    assert sorted(p.name for p in sample.iterdir()) == ["sample.json", "test", "train", "valid"]


def test_draw_sample__names_folders_and_files_after_the_breed(sample):
    assert (sample / "train/001.Patchwork_hound/Patchwork_hound_00002.jpg").is_file()
    splits = [{p.name for p in (sample / split).iterdir()} for split in ("train", "valid", "test")]
    assert splits[0] == splits[1] == splits[2]


def test_draw_sample__pictures_decode_to_rgb_of_one_size(sample):
    found = set()
    for path in sample.rglob("*.jpg"):
        with Image.open(path) as picture:
            picture.load()
            found.add((picture.mode, picture.size))
    assert found == {("RGB", (160, 160))}


def test_draw_sample__no_two_pictures_are_alike(sample):
    pictures = [path.read_bytes() for path in sample.rglob("*.jpg")]
    assert len(set(pictures)) == len(pictures) == 40


def test_draw_sample__draws_the_same_bytes_again(sample, tmp_path):
    assert contents(draw_sample(tmp_path / "again", **SMALL)) == contents(sample)


def test_draw_sample__another_seed_draws_other_pictures(sample, tmp_path):
    other = contents(draw_sample(tmp_path / "other", seed=1, **SMALL))
    assert other.keys() == contents(sample).keys()
    assert not set(other.values()) & set(contents(sample).values())


def test_draw_sample__a_larger_sample_holds_the_smaller_one(sample, tmp_path):
    larger = contents(draw_sample(tmp_path / "larger", train=3, val=1, test=1))
    smaller = {name: data for name, data in contents(sample).items() if name.endswith(".jpg")}
    assert smaller.items() < larger.items()


def test_draw_sample__a_second_call_touches_nothing(sample):
    before = {path: path.stat().st_mtime_ns for path in [sample, *sample.rglob("*")]}
    assert draw_sample(str(sample), **SMALL) == sample
    assert {path: path.stat().st_mtime_ns for path in [sample, *sample.rglob("*")]} == before


def test_draw_sample__makes_parents_and_leaves_nothing_beside(tmp_path):
    root = draw_sample(tmp_path / "deep" / "dogs", train=1, val=1, test=1)
    assert list(root.parent.iterdir()) == [root]


def test_draw_sample__refuses_a_foreign_folder_and_leaves_it(tmp_path):
    root = tmp_path / "mine"
    root.mkdir()
    (root / "notes.txt").write_text("mine")
    with pytest.raises(DataError, match="something else than a sample"):
        draw_sample(root, **SMALL)
    assert contents(tmp_path) == {"mine/notes.txt": b"mine"}


@pytest.mark.parametrize("text", ["", "null", "[1]", "\udcff"])
def test_draw_sample__refuses_a_folder_with_a_foreign_card(tmp_path, text):
    root = tmp_path / "mine"
    root.mkdir()
    (root / "sample.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(DataError):
        draw_sample(root, **SMALL)


def test_draw_sample__refuses_a_file_and_a_dangling_link(tmp_path):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for name in ("file", "link"):
        with pytest.raises(DataError):
            draw_sample(tmp_path / name, **SMALL)
    assert (tmp_path / "file").read_text() == "mine"
    assert (tmp_path / "link").is_symlink()


def test_draw_sample__refuses_a_sample_of_other_parameters(sample):
    before = contents(sample)
    with pytest.raises(DataError, match='"seed": 0'):
        draw_sample(sample, seed=5, **SMALL)
    assert contents(sample) == before


def test_draw_sample__names_a_picture_that_is_gone(tmp_path):
    root = draw_sample(tmp_path / "dogs", train=1, val=1, test=1)
    gone = next((root / "valid").rglob("*.jpg"))
    gone.unlink()
    with pytest.raises(DataError, match=gone.name):
        draw_sample(root, train=1, val=1, test=1)


@pytest.mark.parametrize("wrong", [{"seed": -1}, {"train": 0}, {"val": 0}, {"test": -3}])
def test_draw_sample__refuses_low_numbers(tmp_path, wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        draw_sample(tmp_path / "dogs", **wrong)
    assert list(tmp_path.iterdir()) == []


def test_draw_sample__says_that_a_place_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(OutputError, match="dogs"):
        draw_sample(tmp_path / "file" / "dogs", **SMALL)


def test_draw_sample__two_at_once_leave_one_whole_folder(sample, tmp_path):
    root = tmp_path / "dogs"
    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(lambda _: draw_sample(root, **SMALL), range(2))) == [root, root]
    assert list(tmp_path.iterdir()) == [root]
    assert contents(root) == contents(sample)


@pytest.mark.slow
def test_draw_sample__a_killed_run_leaves_no_folder_and_no_obstacle(sample, tmp_path):
    root = tmp_path / "dogs"
    command = [sys.executable, "-m", "dogbreed.data.sample", str(root), "--train", "4000"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 60
        while not list(tmp_path.rglob("*.jpg")):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
    finally:
        process.kill()
    assert process.wait() == -signal.SIGKILL
    assert not root.exists()
    assert list(tmp_path.iterdir())  # what it had drawn, under a hidden name
    assert contents(draw_sample(root, **SMALL)) == contents(sample)


def test_main__draws_and_says_what(tmp_path, capsys):
    root = tmp_path / "dogs"
    assert main([str(root), "--seed", "3", "--train", "1", "--val", "1", "--test", "1"]) == 0
    out, err = capsys.readouterr()
    said, *following = out.splitlines()
    assert said == f"{root}: 10 breeds, pictures: 10 in train/, 10 in valid/, 10 in test/ (seed 3)"
    assert following == ["look at them:", f"  python -m dogbreed.data summary {shlex.quote(str(root))}"]
    assert err == ""
    assert json.loads((root / "sample.json").read_text())["seed"] == 3


def test_main__explains_a_refusal(tmp_path, capsys):
    assert main([str(tmp_path)]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert "what to do" in err
