"""The kept thumbnails, made from real files."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dogbreed.errors import OutputError
from dogbreed.reports.pictures import class_thumbnails, keep_pictures


def draw(path: Path, width: int = 60, height: int = 40, **options: Any) -> str:
    """A picture of noise, the dearest kind for a JPEG."""
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path, quality=95, **options)
    return str(path)


def row(path: str, true: str, predicted: str, probability: float) -> dict[str, Any]:
    return {
        "path": path, "true": true, "predicted": predicted, "probability": probability, "probability_of_true": 0.0,
    }  # fmt: skip


def kept(directory: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((directory / "pictures.json").read_text())
    return content


def test_keep_pictures__most_confident_mistakes_come_first(tmp_path: Path) -> None:
    paths = [draw(tmp_path / f"{number}.jpg") for number in range(20)]
    rows = [row(path, "a", "ab"[number % 3 > 0], number / 20) for number, path in enumerate(paths)]
    keep_pictures(tmp_path, rows, lambda name: None)
    wrong = sorted((entry["probability"] for entry in rows if entry["true"] != entry["predicted"]), reverse=True)
    assert [shown["probability"] for shown in kept(tmp_path)["mistakes"]] == wrong[:12]


def test_keep_pictures__worst_pairs_with_an_example_of_what_they_were_taken_for(tmp_path: Path) -> None:
    paths = [draw(tmp_path / f"{number}.jpg") for number in range(6)]
    example = draw(tmp_path / "example.jpg")
    rows = [row(path, "a", "c", 0.5) for path in paths[:2]] + [row(path, "a", "b", 0.5) for path in paths[2:]]
    keep_pictures(tmp_path, rows, {"b": example}.get)
    first, second = kept(tmp_path)["pairs"]
    assert (first["true"], first["predicted"], first["pictures"]) == ("a", "b", 4)
    assert [shown["path"] for shown in first["confused"]] == paths[2:5]
    assert first["example"]["path"] == example
    assert second["example"] is None


@pytest.mark.parametrize("damage", ["missing", "cut short", "no picture"])
def test_keep_pictures__leaves_out_what_cannot_be_read(tmp_path: Path, damage: str) -> None:
    bad, good = draw(tmp_path / "bad.jpg"), draw(tmp_path / "good.jpg")
    content = Path(bad).read_bytes()
    Path(bad).write_bytes(content[: len(content) // 2] if damage == "cut short" else b"text")
    if damage == "missing":
        Path(bad).unlink()
    keep_pictures(tmp_path, [row(bad, "a", "b", 0.9), row(good, "a", "b", 0.8)], {"b": bad}.get)
    assert [shown["path"] for shown in kept(tmp_path)["mistakes"]] == [good]
    assert kept(tmp_path)["pairs"][0]["example"] is None


@pytest.mark.parametrize(("width", "height"), [(1200, 900), (900, 1200), (100, 50)])
def test_keep_pictures__thumbnails_are_small(tmp_path: Path, width: int, height: int) -> None:
    keep_pictures(tmp_path, [row(draw(tmp_path / "a.jpg", width, height), "a", "b", 0.9)], lambda name: None)
    file = tmp_path / kept(tmp_path)["mistakes"][0]["file"]
    with Image.open(file) as picture:
        assert picture.format == "JPEG"
        assert max(picture.size) == min(240, max(width, height))
        assert picture.width / picture.height == pytest.approx(width / height, rel=0.02)
    assert file.stat().st_size <= 24_000, "noise is dearer than any photograph"


def test_keep_pictures__turns_them_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter
    keep_pictures(tmp_path, [row(draw(tmp_path / "a.jpg", 60, 40, exif=exif), "a", "b", 0.9)], lambda name: None)
    content = (tmp_path / kept(tmp_path)["mistakes"][0]["file"]).read_bytes()
    with Image.open(io.BytesIO(content)) as picture:
        assert picture.size == (40, 60)
        assert not picture.getexif()


def test_keep_pictures__a_photograph_is_written_once(tmp_path: Path) -> None:
    path = draw(tmp_path / "a.jpg")
    keep_pictures(tmp_path, [row(path, "a", "b", 0.9)], lambda name: path)
    content = kept(tmp_path)
    files = {content["mistakes"][0]["file"], content["pairs"][0]["confused"][0]["file"]}
    assert files == {content["pairs"][0]["example"]["file"]}
    assert len(list((tmp_path / "pictures").iterdir())) == 1


def test_keep_pictures__again_leaves_nothing_of_before(tmp_path: Path) -> None:
    paths = [draw(tmp_path / f"{number}.jpg") for number in range(3)]
    keep_pictures(tmp_path, [row(path, "a", "b", 0.9) for path in paths], lambda name: None)
    keep_pictures(tmp_path, [row(paths[0], "a", "b", 0.9)], lambda name: None)
    assert [file.name for file in (tmp_path / "pictures").iterdir()] == ["000.jpg"]


def test_keep_pictures__of_no_mistake_are_none(tmp_path: Path) -> None:
    keep_pictures(tmp_path, [row(draw(tmp_path / "a.jpg"), "a", "a", 0.9)], lambda name: None)
    assert kept(tmp_path) == {"mistakes": [], "pairs": []}


def test_keep_pictures__below_a_file_is_an_output_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match="cannot be written"):
        keep_pictures(tmp_path / "file", [], lambda name: None)


def test_class_thumbnails__of_the_first_picture_of_each_class_that_can_be_read(tmp_path: Path) -> None:
    paths = [draw(tmp_path / f"{number}.jpg", width=400 + 40 * number, height=200) for number in range(4)]
    Path(paths[0]).write_bytes(b"text")
    found = class_thumbnails(paths, [2, 2, 0, 0])
    sizes = {index: Image.open(io.BytesIO(content)).size for index, content in found.items()}
    assert sizes == {2: (160, 73), 0: (160, 67)}
