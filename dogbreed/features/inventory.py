"""What a feature cache holds, whether it is whole, and what of it can go."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dogbreed.errors import ConfigError, did_you_mean
from dogbreed.features.cache import ABOUT, LEDGER, speed_of
from dogbreed.features.keys import key_of
from dogbreed.features.pictures import digests, forget, remembered
from dogbreed.features.store import FeatureStore
from dogbreed.files import writing


@dataclass(frozen=True)
class Kept:
    """One kind of features in a cache.

    Attributes:
        key: the name of its folder.
        recipe: all that its features depend on, beside the pictures; None where it cannot be read.
        rows: views of pictures.
        size: on the disk, in bytes.
        unused_days: since it was last read.
        pictures_per_s: of its latest pass, if there was a whole one.
        folder: of them all.
        store: its rows; None without the recipe.
    """

    key: str
    recipe: dict[str, Any] | None
    rows: int
    size: int
    unused_days: float
    pictures_per_s: float | None
    folder: Path
    store: FeatureStore | None


def list_kept(root: str | Path) -> list[Kept]:
    """Everything in the cache at `root`, what was read last first; nothing where there is no cache."""
    return sorted(_read_all(Path(root).expanduser()), key=lambda kept: kept.unused_days)


def choose(kept: list[Kept], keys: list[str]) -> list[Kept]:
    """Those whose key begins with one of `keys`; all for no keys.

    Raises:
        ConfigError: there is none for one of them.
    """
    for key in keys:
        if not any(one.key.startswith(key) for one in kept):
            known = [one.key for one in kept]
            near = did_you_mean(key, known)
            raise ConfigError(
                f"no features {key}{near}", ", ".join(known) or "none", "python -m dogbreed.features list"
            )
    return [one for one in kept if not keys or one.key.startswith(tuple(keys))]


def remove(kept: Kept) -> None:
    """Delete one kind of features; a process that reads them keeps what it has mapped.

    Raises:
        OutputError: it cannot be deleted.
    """
    with writing(kept.folder), kept.store.writer(on_wait=lambda: None) if kept.store else nullcontext():
        shutil.rmtree(kept.folder)


def check_pictures(root: str | Path) -> tuple[int, list[str]]:
    """Read every picture that the cache remembers again: how many, and which hold something else than remembered.

    Their size and time of change say that they are the same. What is found is remembered; the next run computes
    the features of what has changed. Files that are gone are forgotten.
    """
    ledger = Path(root).expanduser() / LEDGER
    if not ledger.exists():
        return 0, []
    before = remembered(ledger)
    forget([path for path in before if not os.path.exists(path)], ledger)
    paths = [path for path in before if os.path.exists(path)]
    found = digests(paths, ledger, again=True)
    return len(paths), [path for path, digest in zip(paths, found, strict=True) if digest and digest != before[path]]


def _read_all(root: Path) -> Iterator[Kept]:
    for folder in sorted({file.parent for name in (ABOUT, "index.jsonl", "lock") for file in root.glob(f"*/{name}")}):
        try:
            size = sum(file.stat().st_size for file in folder.iterdir())
            read = max(file.stat().st_mtime for file in (folder, *folder.glob(ABOUT)))
        except OSError:  # removed while we look
            continue
        recipe, store = _read_recipe(folder)
        rows, days = 0 if store is None else len(store), (time.time() - read) / 86_400
        yield Kept(folder.name, recipe, rows, size, days, speed_of(folder), folder, store)


def _read_recipe(folder: Path) -> tuple[dict[str, Any], FeatureStore] | tuple[None, None]:
    try:
        recipe = json.loads((folder / ABOUT).read_text())
        if key_of(recipe) != folder.name:
            raise ValueError(folder)
        return recipe, FeatureStore(folder, recipe["num_features"], recipe["dtype"])
    except (OSError, ValueError, KeyError, TypeError):  # damaged, or its first pass was killed before it was written
        return None, None
