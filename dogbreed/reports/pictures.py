"""Makes thumbnails while the photographs are at hand: of what went wrong, and of each class."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from PIL import Image

from dogbreed.data.images import decode_image
from dogbreed.errors import ImageError
from dogbreed.files import new_folder, write_json

FOLDER, INDEX = "pictures", "pictures.json"

MISTAKES = 12
PAIRS = 5
PICTURES_A_PAIR = 3

SIDE = 240
_BYTES = 15_000
_QUALITIES = (82, 70, 55, 40)

CLASS_SIDE = 160
_CLASS_QUALITY = 80


def keep_pictures(
    directory: Path, predictions: Sequence[Mapping[str, Any]], example_of: Callable[[str], str | None]
) -> Path:
    """Write thumbnails of the most confident mistakes and of the worst pairs to `directory`, and pictures.json.

    Args:
        directory: of the run.
        predictions: rows as in predictions.csv: path, true, predicted, probability, probability_of_true.
        example_of: the path of a picture of a class (by its name) to show what it looks like; None if there is none.

    Returns:
        The path of pictures.json. A photograph that cannot be read is left out.

    Raises:
        OutputError: a file cannot be written.
    """
    wrong = sorted(
        (row for row in predictions if row["true"] != row["predicted"]), key=lambda row: -float(row["probability"])
    )
    with new_folder(directory / FOLDER) as folder:
        keeper = _Keeper(folder)
        content = {"mistakes": keeper.first(wrong, MISTAKES), "pairs": _pairs(keeper, wrong, example_of)}
    write_json(directory / INDEX, content)
    return directory / INDEX


class _Keeper:
    """Writes each photograph once, under a number."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: dict[str, str | None] = {}

    def first(self, rows: Iterable[Mapping[str, Any]], limit: int) -> list[dict[str, Any]]:
        """The first `limit` of the rows whose photographs can be read."""
        kept: list[dict[str, Any]] = []
        for row in rows:
            if len(kept) == limit:
                break
            file = self.keep(str(row["path"]))
            if file is not None:
                answer = {"predicted": row["predicted"], "probability": round(float(row["probability"]), 4)}
                kept.append({"file": file, "path": str(row["path"]), "true": row["true"], **answer})
        return kept

    def keep(self, path: str) -> str | None:
        """The thumbnail's name in the run's directory; None where the photograph cannot be read."""
        if path not in self._files:
            self._files[path] = self._write(path)
        return self._files[path]

    def _write(self, path: str) -> str | None:
        try:
            content = thumbnail(path)
        except ImageError:
            return None
        name = f"{sum(file is not None for file in self._files.values()):03d}.jpg"
        (self._folder / name).write_bytes(content)
        return f"{FOLDER}/{name}"


def class_thumbnails(paths: Sequence[str], targets: Sequence[int]) -> dict[int, bytes]:
    """By class index, a small JPEG of its first photograph that can be read.

    Args:
        paths: photographs.
        targets: the class index of each.
    """
    found: dict[int, bytes] = {}
    for path, target in zip(paths, targets, strict=True):
        if target not in found:
            with suppress(ImageError):  # the next one then
                found[target] = _jpeg(_shrunk(path, CLASS_SIDE), _CLASS_QUALITY)
    return found


def thumbnail(path: str, side: int = SIDE, most_bytes: int = _BYTES) -> bytes:
    """A JPEG of the photograph, upright, no side over `side` pixels, about `most_bytes` at most.

    Raises:
        ImageError: it cannot be read.
    """
    picture = _shrunk(path, side)
    content = b""
    for quality in _QUALITIES:
        content = _jpeg(picture, quality)
        if len(content) <= most_bytes:
            break
    return content


def _shrunk(path: str, side: int) -> Image.Image:
    picture = Image.fromarray(decode_image(path).permute(1, 2, 0).numpy())
    picture.thumbnail((side, side), Image.Resampling.LANCZOS)
    return picture


def _jpeg(picture: Image.Image, quality: int) -> bytes:
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=quality, optimize=True)
    return file.getvalue()


def _pairs(
    keeper: _Keeper, wrong: Sequence[Mapping[str, Any]], example_of: Callable[[str], str | None]
) -> list[dict[str, Any]]:
    counts = Counter((str(row["true"]), str(row["predicted"])) for row in wrong)
    worst = sorted(counts, key=lambda pair: (-counts[pair], pair))[:PAIRS]
    return [
        {
            "true": true,
            "predicted": predicted,
            "pictures": counts[true, predicted],
            "confused": keeper.first(
                [row for row in wrong if (row["true"], row["predicted"]) == (true, predicted)], PICTURES_A_PAIR
            ),
            "example": _example(keeper, predicted, example_of(predicted)),
        }
        for true, predicted in worst
    ]


def _example(keeper: _Keeper, class_name: str, path: str | None) -> dict[str, Any] | None:
    file = None if path is None else keeper.keep(path)
    return None if file is None else {"file": file, "path": path, "true": class_name}
