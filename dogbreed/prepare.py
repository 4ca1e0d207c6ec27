"""What a run or a sweep trains on: pictures, or their features, and why."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from omegaconf import DictConfig
from pytorch_lightning.utilities import rank_zero_only
from torch import Tensor

from dogbreed.app import build
from dogbreed.checking import needs_pixels
from dogbreed.data.datamodule import BreedDataModule
from dogbreed.data.dataset import PictureDataset
from dogbreed.data.folder import SPLITS, Split, describe_skipped
from dogbreed.data.loading import SplitLoaders
from dogbreed.errors import ConfigError, OutputError, legible_lines
from dogbreed.features.cache import LEDGER, FeatureCache, Loaded
from dogbreed.features.conversion import CALIBRATION_PICTURES
from dogbreed.features.datamodule import FeatureDataModule
from dogbreed.features.engines import Engine, make_engine
from dogbreed.features.pictures import digests
from dogbreed.features.precision import TRAIN_PICTURES, check_setting
from dogbreed.features.reading import Pixels, measure_pixels
from dogbreed.files import write_json
from dogbreed.models.backbones import Backbone
from dogbreed.phases import phase
from dogbreed.streams import styled

_MEASURED = 512  # pictures, where no pass measures any: a second or two, once


@dataclass(frozen=True)
class Prepared:
    """What there is to train on.

    Attributes:
        pictures: the photographs.
        backbone: the frozen network.
        features: what it saw in each picture; None for a run that needs pixels.
        batches: what a trainer reads: features where there are some, else pixels.
    """

    pictures: BreedDataModule
    backbone: Backbone
    features: Loaded | None
    batches: SplitLoaders


def prepare(config: DictConfig) -> Prepared:
    """The pictures, the backbone and, unless something needs pixels, the features of all of them.

    Raises:
        ConfigError, DataError, WeightsError, OutputError: the config asks for what cannot be.
    """
    why_pixels = needs_pixels(config)
    with phase("data checks"):
        pictures = build(
            config,
            "data",
            augmentation=build(config, "augmentation"),
            views=config.features.views,
            view_seed=config.features.seed,
        )
        pictures.prepare_data()
        pictures.setup()
        _describe(pictures)
    with phase("weights"):
        backbone = build(config, "backbone")
    pictures.transform = backbone.transform
    if why_pixels is not None:
        say(f"training on pixels: {why_pixels}")
        return Prepared(pictures, backbone, None, pictures)
    with phase("features"):
        features = load_features(config, pictures, backbone)
    batches = FeatureDataModule(features.views, batch_size=pictures.batch_size, seed=pictures.seed, source=pictures)
    return Prepared(pictures, backbone, features, batches)


def load_features(config: DictConfig, pictures: BreedDataModule, backbone: Backbone) -> Loaded:
    """The features of every split from the cache, what is missing computed now."""
    settings = config.features
    splits = {name: pictures.pictures(name, train=name == "train") for name in SPLITS}
    rows = sum(len(split) * (split.views or 1) for split in splits.values())
    say(
        f"training on features: {backbone.source['name']} sees each picture once"
        + (f", train in {settings.views} views" if settings.views else "")
    )
    cache = FeatureCache(settings.root)
    engine = engine_of(config, backbone, pictures)
    loading = partial(cache.load, backbone, dtype=settings.dtype, batch_size=settings.batch_size)
    loading = partial(loading, workers=pictures.num_workers, on_unreadable=pictures.note_unreadable)
    if settings.precision == "int8":
        _check("features.precision=int8", loading, engine, make_engine(backbone, settings.engine), pictures)
    if settings.decoder == "gpu":
        plain = make_engine(backbone, settings.engine, precision=settings.precision, device=engine.device)
        _check("features.decoder=gpu", loading, engine, plain, pictures)
    loaded = loading(engine, splits)
    if loaded.computed:
        say(f"computed {loaded.computed:,} of {rows:,} in {loaded.seconds:.1f} s ({loaded.pictures_per_s:,.0f}/s)")
    else:
        say(f"all {rows:,} were computed before, in {cache.root}")
    _remember_pixels(loaded, pictures, cache.root)
    return loaded


def _remember_pixels(loaded: Loaded, pictures: BreedDataModule, cache: Path) -> None:
    """Keep what the pass measured of these pictures for runs that need no pass; fill it in where there was none."""
    spec = hashlib.sha256(json.dumps(pictures.spec.to_dict()).encode()).hexdigest()[:16]
    file = cache / f"pixels-{_name_of(pictures)}-{spec}.json"
    with suppress(OSError, ValueError, TypeError):
        known = Pixels(**json.loads(file.read_text(encoding="utf-8")))
        loaded.pixels = known if loaded.pixels is None else known + loaded.pixels
    if loaded.pixels is None:  # computed for another folder, or by an earlier version
        loaded.pixels = _some_pixels(pictures)
    if loaded.pixels is not None:
        with suppress(OutputError):  # a cache that may only be read
            write_json(file, loaded.pixels._asdict())


def _some_pixels(pictures: BreedDataModule) -> Pixels | None:
    """What the backbone reads of some pictures of train; None where none of them can be decoded."""
    split = _spread(pictures.split("train"), _MEASURED)
    dataset = PictureDataset(split, pictures.spec)
    views = [sample.image for sample in map(dataset.__getitem__, range(len(split))) if sample.image is not None]
    return measure_pixels(torch.stack(views), pictures.spec) if views else None


def engine_of(config: DictConfig, backbone: Backbone, pictures: BreedDataModule) -> Engine:
    """The engine that the config names, on the device that the trainer uses.

    Raises:
        ConfigError: there is no such engine or device.
    """
    asked, there = config.trainer.accelerator, torch.cuda.is_available()
    if asked in ("gpu", "cuda") and not (there or torch.backends.mps.is_available()):
        raise ConfigError(f"trainer.accelerator={asked}, and there is no GPU", "auto or cpu here", "set it")
    on_gpu = there and asked in ("auto", "gpu", "cuda")
    settings = config.features
    return make_engine(
        backbone,
        settings.engine,
        precision=settings.precision,
        device="cuda" if on_gpu else "cpu",
        decoder=settings.decoder,
        examples=calibration_pictures(pictures, FeatureCache(settings.root).root)
        if settings.precision == "int8"
        else None,
    )


def _check(setting: str, load: Callable[..., Loaded], engine: Engine, plain: Engine, pictures: BreedDataModule) -> None:
    """Compare what an engine with a setting computes with what one without it does."""
    some = {"train": _spread(pictures.split("train"), TRAIN_PICTURES), "val": pictures.split("val")}
    datasets = {name: PictureDataset(split, pictures.spec) for name, split in some.items()}
    say(f"checking {setting} on val, with {len(some['train']):,} pictures of train")
    without, with_it = (load(chosen, datasets).views for chosen in (plain, engine))
    train, val = ((without[split], with_it[split]) for split in ("train", "val"))
    found = check_setting(setting, train, val, pictures.num_classes)
    say(f"a linear probe gets {found.with_it:.2%} of val right with it, {found.without:.2%} without")


def calibration_pictures(pictures: BreedDataModule, cache: Path) -> Iterator[Tensor]:
    """Pictures of train to calibrate int8 on, uint8 (1, 3, S, S) each.

    By their content, at random so to say. All int8 features depend on the choice, so the cache remembers it for this
    folder of pictures, and it stands for as long as all of them do.
    """
    split = pictures.split("train")
    found = digests(split.paths, cache / LEDGER)
    places = {digest: index for index, digest in enumerate(found) if digest}
    file = cache / f"calibration-{_name_of(pictures)}.json"
    try:
        chosen = [str(digest) for digest in json.loads(file.read_text(encoding="utf-8"))]
    except (OSError, ValueError, TypeError):  # there is none, or it is damaged
        chosen = []
    if len(chosen) < min(CALIBRATION_PICTURES, len(places)) or not places.keys() >= set(chosen):
        chosen = sorted(places)[:CALIBRATION_PICTURES]
        with suppress(OutputError):  # a cache that may only be read
            write_json(file, chosen)
    indices = [places[digest] for digest in chosen]
    paths, targets = [split.paths[index] for index in indices], [split.targets[index] for index in indices]
    dataset = PictureDataset(Split("train", paths, targets), pictures.spec)
    return (sample.image[None] for sample in map(dataset.__getitem__, range(len(dataset))) if sample.image is not None)


def _name_of(pictures: BreedDataModule) -> str:
    """16 hexadecimal digits for what is train: a folder, less what is split off or excluded."""
    seed = pictures.seed if any(pictures.fractions.values()) else None
    parts = [os.path.abspath(pictures.root), pictures.fractions, seed]
    described = json.dumps([*parts, os.path.abspath(pictures.exclude)] if pictures.exclude else parts)
    return hashlib.sha256(described.encode()).hexdigest()[:16]


def _spread(split: Split, count: int) -> Split:
    """About `count` pictures, from all over the split and so from every class."""
    step = max(1, len(split) // count)
    return Split(split.name, split.paths[::step], split.targets[::step])


def _describe(pictures: BreedDataModule) -> None:
    counts = ", ".join(f"{name} {len(pictures.split(name)):,}" for name in SPLITS)
    say(f"{pictures.root}: {pictures.num_classes} classes; {counts} pictures")
    if pictures.skipped:
        say(describe_skipped(pictures.skipped))
    found = pictures.split("train").counts(pictures.num_classes)
    empty = [name for name, count in zip(pictures.class_names, found, strict=True) if not count]
    if empty:
        say(f"without a picture in train, and so never learned: {', '.join(empty)}")


@rank_zero_only
def say(text: str, style: str = "") -> None:
    """Print lines, once however many processes train; on a terminal in one of the styles of `dogbreed.streams`."""
    print(styled(legible_lines(text), style, sys.stdout), flush=True)
