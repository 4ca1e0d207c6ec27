"""Names of files and folders, which may hold anything, on one line that shows what they hold."""

from __future__ import annotations

from dogbreed import errors


def legible(name: str, most: int | None = None) -> str:
    r"""The name with whatever cannot be seen written out: line ends, what steers a terminal, bytes that are no UTF-8.

    Args:
        name: of a file, a folder or a class.
        most: letters to show; a longer name loses its middle.

    >>> print(legible("a\nb\x1b[31m.jpg"), legible("caf\udce9.jpg"), legible("café 犬.jpg"))
    a\nb\x1b[31m.jpg caf\xe9.jpg café 犬.jpg
    >>> legible("train/001.Affenpinscher/00001.jpg", 20)
    'train/001…/00001.jpg'
    """
    shown = errors.legible(name)
    if most is None or len(shown) <= most:
        return shown
    return f"{shown[: (most - 1) // 2]}…{shown[-(most // 2) :]}"
