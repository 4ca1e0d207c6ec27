"""FeatureCache: what was computed once is never computed again, and nothing stale is read."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from dogbreed.data.dataset import PictureDataset, Unreadable
from dogbreed.errors import ConfigError, OutputError
from dogbreed.features.engines import Engine
from dogbreed.features.extract import extract
from dogbreed.features.keys import key_of, recipe_of, row_keys
from dogbreed.features.names import default_root
from dogbreed.features.pictures import digests, forget
from dogbreed.features.reading import Extracted, Pixels, Tasks
from dogbreed.features.store import KEY_BYTES, FeatureStore, Keys
from dogbreed.features.views import FeatureViews
from dogbreed.files import write_json
from dogbreed.models.backbones import Backbone
from dogbreed.phases import phase

DTYPES = ("float32", "float16")
CHUNK_ROWS = 512  # at most these are lost when a pass is killed

ABOUT, SPEED, LEDGER = "about.json", "speed.json", "pictures.sqlite"


@dataclass
class Loaded:
    """Features ready to be read.

    Attributes:
        views: of each data set.
        unreadable: pictures that could not be decoded, each once.
        computed: rows that were computed now; the others were there.
        seconds: that it took to compute them.
        pictures_per_s: of the latest pass that computed features of this kind; None where there was none.
        pixels: what the backbone read of some of the pictures of which features were computed now.
    """

    views: dict[str, FeatureViews]
    unreadable: list[Unreadable] = field(default_factory=list)
    computed: int = 0
    seconds: float = 0.0
    pictures_per_s: float | None = None
    pixels: Pixels | None = None


class FeatureCache:
    """The features in a folder, each kept under all that it depends on.

    A row's place follows from the weights, architecture, preprocessing, decoder, library versions, engine,
    precision and number format (a folder, the store) and from the content of the picture, the augmentation, its
    seed and the view (its key there). A picture that is changed, added or moved costs its own rows at most.

    Args:
        root: the folder, made on first use; None for `default_root()`.
    """

    def __init__(self, root: str | Path | None = None) -> None:
        self.root = (default_root() if root is None else Path(root)).expanduser()

    def load(
        self,
        backbone: Backbone,
        engine: Engine,
        datasets: Mapping[str, PictureDataset],
        *,
        dtype: str = "float32",
        batch_size: int | None = None,
        workers: int | None = None,
        on_unreadable: Callable[[Unreadable], None] = lambda picture: None,
    ) -> Loaded:
        """The features of all views of all pictures, computed where they are missing.

        Two processes that ask for the same features compute them once: the second one waits. A pass that is
        killed goes on after its last chunk.

        Args:
            backbone: whose features.
            engine: computes them.
            datasets: by name, of pictures in `views` views each (None: the clean one).
            dtype: "float32" or "float16", in which they are kept.
            batch_size: of the pass; None for what suits the device.
            workers: processes of the pass; None for what suits the machine.
            on_unreadable: told of each picture that cannot be decoded; what it raises ends the pass.

        Raises:
            OutputError: the disk is full, or the folder cannot be written.
            ConfigError: the features do not fit float16.
        """
        if dtype not in DTYPES:
            raise ConfigError(f"features.dtype={dtype!r}", " or ".join(DTYPES), "set features.dtype")
        if batch_size is not None and batch_size < 1:
            raise ConfigError(f"features.batch_size={batch_size}", "at least 1, or null", "set features.batch_size")
        data = list(datasets.values())
        with phase("hashing pictures"):
            contents = [digests(pictures.paths, self.root / LEDGER) for pictures in data]
        keys = [row_keys(pictures, found) for pictures, found in zip(data, contents, strict=True)]
        recipe = recipe_of(backbone, engine, dtype)
        store = FeatureStore(self.root / key_of(recipe), backbone.num_features, dtype)
        loaded = Loaded({})
        if len(_missing(store, keys)):
            with store.writer(on_wait=_say_waiting):
                _check_room(store, len(_missing(store, keys)))  # another process may have computed them meanwhile
                _describe(store, recipe)
                # Of equal pictures one is read; where it cannot be, each of the others speaks for itself.
                for copies in (False, True):
                    failed = {picture.path for picture in loaded.unreadable}
                    tasks = _missing(store, keys, copies=copies)
                    if copies:
                        tasks = tasks[[data[number].path(index) not in failed for number, index, _ in tasks.tolist()]]
                    if not len(tasks):
                        break
                    passed = extract(data, contents, tasks, engine, batch_size=batch_size, workers=workers)
                    try:
                        with phase("feature pass"):
                            _keep(store, passed, tasks, keys, loaded, on_unreadable)
                    finally:
                        forget([picture.path for picture in loaded.unreadable], self.root / LEDGER)
                    store.refresh()
        else:
            _describe(store, recipe)
        _mark_used(store, loaded)
        with phase("cache reads"):
            for (name, pictures), wanted in zip(datasets.items(), keys, strict=True):
                rows = store.find(wanted.reshape(-1, 2)).reshape(wanted.shape[:2])
                without = {pictures.path(int(index)) for index in np.nonzero((rows < 0).any(axis=0))[0]}
                assert without == without & {picture.path for picture in loaded.unreadable}, "rows are missing"
                loaded.views[name] = FeatureViews([store.array()] * len(rows), rows, pictures.targets)
        return loaded


def _missing(store: FeatureStore, keys: Sequence[Keys], *, copies: bool = False) -> Tasks:
    """What the store lacks: data set, picture, view; the views of a picture together, of equal pictures one or all."""
    parts: list[Tasks] = [np.empty((0, 3), np.int64)]
    for number, wanted in enumerate(keys):
        rows = store.find(wanted.reshape(-1, 2)).reshape(wanted.shape[:2])
        pictures, views = np.nonzero(rows.T < 0)
        parts.append(np.stack([np.full_like(views, number), pictures, views], axis=1))
    tasks = np.concatenate(parts)
    if copies:
        return tasks
    _, first = np.unique(_keys_of(tasks, keys), axis=0, return_index=True)
    return tasks[np.sort(first)]


def _keys_of(tasks: Tasks, keys: Sequence[Keys]) -> Keys:
    found = np.empty((len(tasks), 2), np.uint64)
    for number, wanted in enumerate(keys):
        chosen = tasks[:, 0] == number
        found[chosen] = wanted[tasks[chosen, 2], tasks[chosen, 1]]
    return found


def _keep(
    store: FeatureStore,
    passed: Iterator[Extracted],
    tasks: Tasks,
    keys: Sequence[Keys],
    loaded: Loaded,
    on_unreadable: Callable[[Unreadable], None],
) -> None:
    """Append what comes out of the pass, chunk by chunk, also when it ends before its time."""
    waiting: list[Extracted] = []
    started = time.monotonic()

    def flush() -> None:
        chunk = list(waiting)
        rows = torch.cat([torch.empty(0, dtype=torch.int64), *(part.done for part in chunk)]).numpy()
        waiting.clear()  # first: what cannot be written now is not tried again
        if len(rows):
            store.append(_keys_of(tasks[rows], keys), _checked(torch.cat([part.features for part in chunk]), store))
            loaded.computed += len(rows)

    progress = tqdm(passed, "features", unit="picture", total=0, disable=None)
    progress.reset(len(tasks))
    try:
        for batch in passed:
            progress.update(len(batch.done) + len(batch.unreadable))
            waiting.append(batch)
            if batch.pixels is not None:
                loaded.pixels = batch.pixels if loaded.pixels is None else loaded.pixels + batch.pixels
            if sum(len(part.done) for part in waiting) >= CHUNK_ROWS:
                flush()
            for picture in batch.unreadable:
                if picture not in loaded.unreadable:  # in several views
                    loaded.unreadable.append(picture)
                    on_unreadable(picture)
    finally:
        progress.close()
        flush()
        loaded.seconds += time.monotonic() - started


def _checked(features: Tensor, store: FeatureStore) -> NDArray[np.floating]:
    """The features as the store keeps them, all of them finite."""
    kept: NDArray[np.floating] = features.numpy().astype(store.dtype)
    if not np.isfinite(kept).all():
        raise ConfigError(
            f"features that are no finite numbers in {store.dtype}, the largest {float(features.abs().max()):.3g}",
            "finite ones",
            "set features.dtype=float32 and features.precision=fp32, or look at backbone.weights",
        )
    return kept


def _check_room(store: FeatureStore, rows: int) -> None:
    needed = rows * (store.num_features * store.dtype.itemsize + 3 * KEY_BYTES)
    free = shutil.disk_usage(store.folder).free
    if needed > free:
        raise OutputError(
            f"features need {needed / 1e6:,.1f} MB and the disk of {store.folder.parent} has {free / 1e6:,.1f} MB",
            "room for all of them",
            "python -m dogbreed.features prune, another place (features.root=FOLDER), or features.dtype=float16",
        )


def _describe(store: FeatureStore, recipe: dict[str, Any]) -> None:
    """Write what the features depend on, for people and for the inventory, where it does not stand there already."""
    text = json.dumps(recipe)
    with suppress(OSError, ValueError):
        if json.loads((store.folder / ABOUT).read_text()) == json.loads(text):
            return
    with suppress(OutputError):  # a cache that may only be read
        write_json(store.folder / ABOUT, recipe)


def _mark_used(store: FeatureStore, loaded: Loaded) -> None:
    """Note when the store was read last, and how fast it was computed."""
    # A few rows tell how long a process takes to start, and nothing of the backbone's speed.
    if loaded.computed >= CHUNK_ROWS or (loaded.computed and speed_of(store.folder) is None):
        write_json(store.folder / SPEED, {"pictures_per_s": loaded.computed / loaded.seconds})
    with suppress(OSError):  # a cache that may only be read, or has nothing yet
        os.utime(store.folder / ABOUT)
    loaded.pictures_per_s = speed_of(store.folder)


def speed_of(folder: Path) -> float | None:
    """Pictures a second of the latest pass into a store's folder, None where it is not known."""
    try:
        return float(json.loads((folder / SPEED).read_text())["pictures_per_s"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _say_waiting() -> None:
    print("another process is computing these features: waiting for it", flush=True)
