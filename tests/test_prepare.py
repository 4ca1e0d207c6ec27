"""Which path a run takes, why, and that both lead to the same numbers."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

import dogbreed.train
from dogbreed import prepare
from dogbreed.data.datamodule import BreedDataModule
from dogbreed.data.images import picture_digest
from dogbreed.models.backbones import Backbone
from dogbreed.prepare import calibration_pictures
from dogbreed.serving.artifact import load_artifact
from dogbreed.serving.predictor import Predictor

Command = Callable[..., Any]
VIEWS = ["augmentation=crop_flip", "features.views=3"]


@pytest.fixture
def run(small_run: list[str], command: Command, tmp_path: Path) -> Callable[..., Any]:
    """run(data, name, *overrides): the real command, into the folder `name`."""

    def train(data: Path, name: str, *overrides: str) -> Any:
        own = [f"data.root={data}", f"hydra.run.dir={tmp_path / name}", f"features.root={tmp_path / 'features'}"]
        chosen = ["trainer.max_epochs=2", "data.batch_size=8", "optimizer.lr=1"]
        return command(dogbreed.train.main, *small_run, *own, *chosen, *overrides)

    return train


def metrics(folder: Path) -> list[dict[str, float]]:
    with open(folder / "metrics.csv", newline="") as file:
        return [{key: float(value) for key, value in row.items()} for row in csv.DictReader(file)]


@pytest.mark.parametrize("views", [pytest.param([], marks=pytest.mark.slow), VIEWS], ids=["clean", "three views"])
def test_train__on_features_gives_the_numbers_of_pixels(
    run: Any, shared_folder: Path, tmp_path: Path, views: list[str]
) -> None:
    for name in ("cached", "pixels"):
        ended = run(shared_folder, name, f"features={name}", *views)
        assert ended.code == 0, ended.err
    assert "training on pixels: features=pixels asks for it" in ended.out
    cached, pixels = metrics(tmp_path / "cached"), metrics(tmp_path / "pixels")
    assert len(cached) == len(pixels) == 2
    for mine, other in zip(cached, pixels, strict=True):
        timeless = {key: value for key, value in other.items() if "second" not in key and "per_s" not in key}
        assert {key: mine[key] for key in timeless} == pytest.approx(timeless, rel=1e-4, abs=1e-6)
    found = [json.loads((tmp_path / name / "metrics.json").read_text()) for name in ("cached", "pixels")]
    assert found[0] == pytest.approx(found[1], rel=1e-4)
    pictures = sorted((shared_folder / "test").rglob("*.jpg"))
    answers = [
        Predictor(load_artifact(tmp_path / name / "artifact")).predict(pictures) for name in ("cached", "pixels")
    ]
    for one, other in zip(*answers, strict=True):
        assert one.index == other.index
        assert one.probability == pytest.approx(other.probability, abs=1e-4)


def test_train__says_which_path_it_takes_and_why(run: Any, shared_folder: Path) -> None:
    short = ["trainer.max_epochs=1"]
    first, second = run(shared_folder, "1", *short), run(shared_folder, "2", "seed=1", "data.batch_size=4", *short)
    assert "training on features: test_resnet sees each picture once\n" in first.out
    assert "computed 48 of 64" in first.out  # of the 64 pictures 16 are there twice
    assert "all 64 were computed before" in second.out
    assert "train in 3 views" in run(shared_folder, "3", *VIEWS, *short).out
    fresh = run(shared_folder, "4", "augmentation=crop_flip", *short)
    assert fresh.code == 0
    assert "training on pixels: augmentation draws a fresh view" in fresh.out


CONTRADICTIONS = {
    "features.path=somewhere": "features.path",
    "features.views=0": "features.views",
    "features.views=2.5": "features.views",
    "features.views=many": "features.views",
    "features.views=true": "features.views",
    "features.views=3": "augmentation",
    "features.views=1 augmentation=crop_flip": "features.views",
    "features=pixels features.views=3": "augmentation",
    "features.dtype=float64": "features.dtype",
    "features.engine=onnx": "features.engine",
    "features.precision=half": "features.precision",
    "features.precision=int8": "features.engine",
    "features.decoder=nvjpeg": "features.decoder",
    "features.decoder=gpu": "features.decoder",
    "features=pixels features.engine=onnx": "features.engine",
    "features.batch_size=0": "features.batch_size",
    "features.batch_size=few": "features.batch_size",
    "features.seed=tomorrow": "features.seed",
}


@pytest.mark.parametrize("overrides", CONTRADICTIONS)
def test_train__what_contradicts_itself_is_one_clear_error(run: Any, shared_folder: Path, overrides: str) -> None:
    ended = run(shared_folder, "run", *overrides.split())
    assert ended.code == 1
    assert ended.err.count("error:") == 1
    assert "what to do:" in ended.err
    assert CONTRADICTIONS[overrides] in ended.err


@pytest.mark.skipif(torch.cuda.is_available() or torch.backends.mps.is_available(), reason="there is a GPU")
def test_train__asked_for_a_gpu_that_is_not_there(run: Any, shared_folder: Path, tmp_path: Path) -> None:
    ended = run(shared_folder, "run", "trainer.accelerator=gpu")
    assert ended.code == 1
    assert "error: trainer.accelerator=gpu, and there is no GPU" in ended.err
    assert not list((tmp_path / "features").glob("*/features.bin")), "before the pass"


@pytest.mark.parametrize("path", ["cached", pytest.param("pixels", marks=pytest.mark.slow)])
def test_train__skips_and_lists_a_broken_picture(run: Any, folder: Path, tmp_path: Path, path: str) -> None:
    broken = sorted((folder / "train").rglob("*.jpg"))[3]
    broken.write_bytes(broken.read_bytes()[:300])
    (broken.parent / "copy.jpg").write_bytes(broken.read_bytes())
    assert run(folder, "run", f"features={path}", "data.on_error=skip", *VIEWS).code == 0
    with open(tmp_path / "run" / "skipped.csv", newline="") as file:
        listed = {row["path"]: row for row in csv.DictReader(file)}
    assert set(listed) == {str(broken), str(broken.parent / "copy.jpg")}
    assert {row["split"] for row in listed.values()} == {"train"}
    assert all(row["reason"].startswith("unreadable: ") for row in listed.values())
    card = json.loads((tmp_path / "run" / "artifact" / "artifact.json").read_text())
    assert card["counts"]["train"] == 31 if "counts" in card else True


@pytest.mark.parametrize("fault", ["truncated", pytest.param("gone", marks=pytest.mark.slow)])
def test_train__stops_at_a_broken_picture_with_the_words_of_pixels(run: Any, folder: Path, fault: str) -> None:
    broken = sorted((folder / "train").rglob("*.jpg"))[3]
    content = broken.read_bytes()
    broken.unlink()
    if fault == "truncated":
        broken.write_bytes(content[:300])
    else:
        broken.symlink_to(folder / "nowhere")
    said = [run(folder, path, f"features={path}", "trainer.max_epochs=1") for path in ("cached", "pixels")]
    assert [ended.code for ended in said] == [1, 1]
    assert said[0].err == said[1].err
    assert str(broken) in said[0].err
    assert "data.on_error=skip" in said[0].err


@pytest.mark.parametrize("path", ["cached", pytest.param("pixels", marks=pytest.mark.slow)])
def test_train__a_split_without_a_readable_picture_is_one_clear_error(run: Any, folder: Path, path: str) -> None:
    for picture in (folder / "test").rglob("*.jpg"):
        picture.write_bytes(b"broken")
    ended = run(folder, "run", f"features={path}", "data.on_error=skip", "trainer.max_epochs=1")
    assert ended.code == 1
    assert "test/loss counts no picture (skipped: 16 unreadable)" in ended.err


@pytest.mark.slow  # the quick one stands in features/test_datamodule.py
def test_train__resumed_on_features_ends_as_if_never_stopped(run: Any, shared_folder: Path, tmp_path: Path) -> None:
    mlp = ["head=mlp", "head.hidden=8", "head.dropout=0.2", "scheduler=none", *VIEWS]
    assert run(shared_folder, "whole", *mlp).code == 0
    assert run(shared_folder, "halved", *mlp, "trainer.max_epochs=1").code == 0
    assert run(shared_folder, "halved", *mlp, "resume=true").code == 0
    heads = [
        torch.load(tmp_path / name / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
        for name in ("whole", "halved")
    ]
    assert heads[0].keys() == heads[1].keys()
    assert all(torch.equal(heads[0][key], heads[1][key]) for key in heads[0])


def test_train__a_cache_that_cannot_be_written_is_one_clear_error(
    run: Any, shared_folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "features").write_text("a file")
    ended = run(shared_folder, "run")
    assert ended.code == 1
    assert "cannot be written" in ended.err
    assert str(tmp_path / "features") in ended.err


def test_calibration__stands_for_as_long_as_its_pictures_do(
    shared_folder: Path, tmp_path: Path, backbone: Backbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prepare, "CALIBRATION_PICTURES", 8)
    root, cache = Path(shutil.copytree(shared_folder, tmp_path / "photos")), tmp_path / "cache"

    def choose() -> set[bytes]:
        pictures = BreedDataModule(root, backbone.transform, batch_size=4)
        return {picture.numpy().tobytes() for picture in calibration_pictures(pictures, cache)}

    before = choose()
    assert len(before) == 8
    for path in sorted((root / "train").rglob("*.jpg")):
        Image.open(path).transpose(Image.Transpose.FLIP_TOP_BOTTOM).save(path.with_name(f"another_{path.name}"))
    assert choose() == before, "with twice as many pictures"
    (file,) = cache.glob("calibration-*.json")
    chosen = set(json.loads(file.read_text()))
    for path in (root / "train").rglob("*.jpg"):
        if picture_digest(path.read_bytes()) == min(chosen):
            path.unlink()
    without = choose()
    assert len(without) == 8
    assert without != before
    file.write_text("damaged")
    assert choose() == without
