"""How each class did, which are confused, and a picture of it."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dogbreed.files import write_bytes, write_csv

Counts = npt.NDArray[np.int64]

#: Pictures by true class (row) and predicted class (column): what the files below are made of.
PER_CLASS, CONFUSED, PICTURE = "per_class.csv", "confused.csv", "confusion.png"


def write_evaluation(directory: Path, confusion: Counts, class_names: Sequence[str], title: str) -> None:
    """Write per_class.csv, confused.csv and confusion.png into `directory`.

    Args:
        directory: where.
        confusion: (C, C) pictures by true class (row) and predicted class (column).
        class_names: length C.
        title: of the picture.

    Raises:
        OutputError: a file cannot be written.
    """
    write_csv(
        directory / PER_CLASS,
        per_class(confusion, class_names),
        ("class_name", "pictures", "recall", "precision", "f1"),
    )
    write_csv(directory / CONFUSED, confused(confusion, class_names), ("true", "predicted", "pictures", "share"))
    _draw(directory / PICTURE, confusion, class_names, title)


def per_class(confusion: Counts, class_names: Sequence[str]) -> list[dict[str, Any]]:
    """One row a class: its pictures, and recall, precision and F1 in [0, 1]; empty where there is nothing to divide."""
    hits, true, predicted = confusion.diagonal(), confusion.sum(axis=1), confusion.sum(axis=0)
    return [
        {
            "class_name": name,
            "pictures": int(true[i]),
            "recall": _ratio(hits[i], true[i]),
            "precision": _ratio(hits[i], predicted[i]),
            "f1": _ratio(2 * hits[i], true[i] + predicted[i]),
        }
        for i, name in enumerate(class_names)
    ]


def confused(confusion: Counts, class_names: Sequence[str], limit: int = 50) -> list[dict[str, Any]]:
    """The pairs that are mistaken most often, worst first; `share` is of the true class's pictures."""
    mistakes = confusion.copy()
    np.fill_diagonal(mistakes, 0)
    order = np.argsort(-mistakes, axis=None, kind="stable")[:limit]
    pairs = [divmod(int(position), len(class_names)) for position in order]
    return [
        {
            "true": class_names[i],
            "predicted": class_names[j],
            "pictures": int(mistakes[i, j]),
            "share": _ratio(mistakes[i, j], confusion[i].sum()),
        }
        for i, j in pairs
        if mistakes[i, j] > 0
    ]


def _ratio(part: int, whole: int) -> float | str:
    return round(float(part) / float(whole), 4) if whole else ""


def _draw(path: Path, confusion: Counts, class_names: Sequence[str], title: str) -> None:
    from matplotlib.figure import Figure  # without pyplot: no window system, no state to clean up

    size = min(24.0, max(6.0, 0.16 * len(class_names) + 3))
    figure = Figure(figsize=(size, size), layout="constrained")
    axes = figure.add_subplot()
    shares = confusion / np.maximum(1, confusion.sum(axis=1, keepdims=True))
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, interpolation="nearest")
    font = 10 if len(class_names) <= 20 else 7 if len(class_names) <= 60 else 5
    ticks = range(len(class_names))
    # A name may hold $, which would be read as mathematics.
    axes.set_xticks(ticks, class_names, rotation=90, fontsize=font, parse_math=False)
    axes.set_yticks(ticks, class_names, fontsize=font, parse_math=False)
    axes.set(xlabel="predicted", ylabel="true")
    axes.set_title(title, parse_math=False)
    if len(class_names) <= 20:
        for (row, column), count in np.ndenumerate(confusion):
            if count:
                colour = "white" if shares[row, column] > 0.5 else "black"
                axes.text(column, row, str(count), ha="center", va="center", fontsize=9, color=colour)
    figure.colorbar(image, ax=axes, shrink=0.6, fraction=0.04, pad=0.02, label="share of the true class")
    content = io.BytesIO()
    figure.savefig(content, dpi=150 if len(class_names) <= 60 else 200)
    write_bytes(path, content.getvalue())
