"""What a feature cache holds, whether it is whole, and what of it can go."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dogbreed.errors import ConfigError, did_you_mean
from dogbreed.features.cache import ABOUT, LEDGER, speed_of
from dogbreed.features.pictures import digests, forget, remembered
from dogbreed.features.store import FeatureStore
from dogbreed.files import writing


@dataclass(frozen=True)
class Kept:
    """One kind of features in a cache.

    Attributes:
        key: the name of its folder.
        recipe: all that its features depend on, beside the pictures.
        rows: views of pictures.
        size: on the disk, in bytes.
        unused_days: since it was last read.
        pictures_per_s: of its latest pass, if there was a whole one.
        store: its rows.
    """

    key: str
    recipe: dict[str, Any]
    rows: int
    size: int
    unused_days: float
    pictures_per_s: float | None
    store: FeatureStore


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
    with kept.store.writer(on_wait=lambda: None), writing(kept.store.folder):
        shutil.rmtree(kept.store.folder)


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
    for about in sorted(root.glob(f"*/{ABOUT}")):
        try:
            recipe = json.loads(about.read_text())
            store = FeatureStore(about.parent, recipe["num_features"], recipe["dtype"])
        except (OSError, ValueError, KeyError, TypeError):  # damaged, or removed while we look
            continue
        size = sum(file.stat().st_size for file in about.parent.iterdir())
        days = (time.time() - about.stat().st_mtime) / 86_400
        yield Kept(about.parent.name, recipe, len(store), size, days, speed_of(about.parent), store)
