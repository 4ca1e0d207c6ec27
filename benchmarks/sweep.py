"""`python -m benchmarks.sweep`: a whole sweep from photographs on, the old way and ours.

Ours is run whole, on drawn photographs: the feature pass into an empty cache, then the fleet. The old way repeats the
same picture's work in every epoch of every trial, so that a few steps of it tell how long it takes: what is
extrapolated from them per picture is marked ~, and --full runs it whole instead.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from benchmarks.features import ENGINES, make_engines, make_untrained
from benchmarks.head_epochs import make_recipe
from benchmarks.measuring import Stopwatch, describe_machine, finish, print_machine, print_table
from benchmarks.old_way import NUM_CLASSES, OldWay, draw_pictures
from dogbreed.data.dataset import PictureDataset
from dogbreed.data.folder import Split
from dogbreed.data.transforms import CropFlip
from dogbreed.features.cache import FeatureCache
from dogbreed.features.engines import Engine
from dogbreed.features.views import FeatureViews
from dogbreed.models.backbones import Backbone
from dogbreed.sweeps.fleet import Fleet

Times = dict[str, float]  # wall and cpu, in seconds


class Ours:
    """Cached features, and heads trained side by side on them.

    Args:
        backbone: the frozen network.
        engine: computes its features.
        folder: of pictures, with train and val.
        cache: an empty folder.
    """

    def __init__(self, backbone: Backbone, engine: Engine, folder: Path, cache: Path) -> None:
        self.backbone, self.engine, self.folder, self.cache = backbone, engine, folder, cache

    def load(self, views: int) -> dict[str, FeatureViews]:
        """The features of train in so many views, and of val in the clean one."""
        augmented = CropFlip((0.08, 1.0), (3 / 4, 4 / 3)) if views > 1 else None
        spec = self.backbone.transform
        splits = {name: scan(self.folder / name) for name in ("train", "val")}
        datasets = {
            "train": PictureDataset(splits["train"], spec, augmented, seed=0, views=views if views > 1 else None),
            "val": PictureDataset(splits["val"], spec),
        }
        return FeatureCache(self.cache).load(self.backbone, self.engine, datasets).views

    def sweep(self, trials: int, epochs: int, views: int, batch_size: int, *, warm: bool = False) -> Times:
        """Features, computed anew unless `warm`, and then the trials: what all of it takes."""
        if not warm:
            shutil.rmtree(self.cache, ignore_errors=True)
        watch = Stopwatch()
        features = self.load(views)
        recipes = {i: make_recipe(0.001 * 100 ** (i / max(1, trials - 1)), batch_size, epochs) for i in range(trials)}
        device = self.engine.device
        with Fleet(features["train"], features["val"], NUM_CLASSES, device=device) as fleet:
            fleet.train(recipes)
            wall, cpu = watch.read()
        return {"wall": wall, "cpu": cpu}


def scan(folder: Path) -> Split:
    """The pictures in the folders of the classes, spread over as many targets as a real data set has."""
    paths = sorted(str(path) for path in folder.glob("*/*.jpg"))
    return Split(folder.name, paths, [index % NUM_CLASSES for index in range(len(paths))])


def time_old(old: OldWay, steps: int, *, train: bool) -> Times:
    """Seconds a picture, of some steps after the first."""
    running = old.steps(train=train)
    next(running)
    watch = Stopwatch()
    done = sum(islice(running, steps))
    wall, cpu = watch.read()
    return {"wall": wall / done, "cpu": cpu / done}


def extrapolate(train: Times, val: Times, pictures: tuple[int, int], repeats: int) -> Times:
    """What so many epochs of the old way take, over train and val pictures."""
    return {kind: repeats * (pictures[0] * train[kind] + pictures[1] * val[kind]) for kind in train}


def measure(options: argparse.Namespace, scratch: Path) -> dict[str, Any]:
    """All figures."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    folder = options.folder or scratch
    pictures = draw_pictures(folder / "train", options.pictures)
    draw_pictures(folder / "val", options.val, first=options.pictures)
    backbone = make_untrained(options.architecture, options.size, pictures)
    engines = make_engines(backbone, pictures, ["torch"] if device == "cuda" else options.engines, device)
    settings: dict[str, Any] = {"batch_size": options.batch_size, "num_workers": options.num_workers, "device": device}
    old = OldWay(options.architecture, folder / "train", backbone.transform, val=folder / "val", **settings)
    trials, epochs = options.trials, options.epochs
    # Before and after ours, so that a machine that grows slower meanwhile does not tell for either.
    timed = [(time_old(old, options.steps, train=True), time_old(old, options.steps, train=False))]
    cases = [
        ("one trial, clean view", 1, 1, False),
        ("sweep, clean view", trials, 1, False),
        ("sweep, cached", trials, 1, True),
    ]
    if options.views > 1:
        cases.append((f"one trial, {options.views} views", 1, options.views, False))
        cases.append((f"sweep, {options.views} views", trials, options.views, False))
    runs: list[dict[str, Any]] = []
    for name, engine in engines.items():
        ours = Ours(backbone, engine, folder, scratch / "cache")
        for what, count, views, warm in cases:
            found = ours.sweep(count, epochs, views, options.batch_size, warm=warm)
            runs.append({"what": what, "engine": name, "trials": count, **found})
    timed.append((time_old(old, options.steps, train=True), time_old(old, options.steps, train=False)))
    train, val = ({k: (a[k] + b[k]) / 2 for k in ("wall", "cpu")} for a, b in zip(*timed, strict=True))
    whole = None
    if options.full:
        watch = Stopwatch()
        old.sweep(trials, epochs)
        whole = dict(zip(("wall", "cpu"), watch.read(), strict=True))
    for run in runs:
        guess = extrapolate(train, val, (options.pictures, options.val), run["trials"] * epochs)
        exact = whole if run["trials"] == trials else None
        run["old"] = exact or guess
        run["old_extrapolated"] = exact is None
        run["ratio_wall"], run["ratio_cpu"] = (run["old"][kind] / run[kind] for kind in ("wall", "cpu"))
    return {"old_train_picture_s": train, "old_val_picture_s": val, "runs": runs}


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    """Measure, print and, if asked, write JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sweep", description=(__doc__ or "").split("\n\n")[0])
    add = parser.add_argument
    add("--architecture", default="resnet18", metavar="NAME", help="of torchvision, with fc (default: resnet18)")
    add("--engines", nargs="+", default=list(ENGINES), choices=list(ENGINES), help="default: all")
    add("--trials", type=int, default=20, metavar="T", help="default: 20")
    add("--epochs", type=int, default=5, metavar="E", help="default: 5")
    add("--views", type=int, default=5, metavar="V", help="of the sweep with several; 1 leaves it out (default: 5)")
    add("--pictures", type=int, default=640, metavar="N", help="of train, drawn (default: 640)")
    add("--val", type=int, default=80, metavar="N", help="of val, drawn (default: 80)")
    add("--folder", type=Path, help="keep the pictures here")
    add("--size", type=int, default=224, metavar="S", help="side that the network reads (default: 224)")
    add("--batch-size", type=int, default=32, metavar="B", help="default: 32")
    add("--num-workers", type=int, default=0, metavar="N", help="of the old way's DataLoader (default: 0)")
    add("--steps", type=int, default=4, metavar="N", help="of the old way, timed before and after (default: 4)")
    add("--full", action="store_true", help="run the old way's sweep whole, which takes hours")
    add("--json", type=Path, metavar="FILE", help="write the figures there too")
    options = parser.parse_args(arguments)
    machine = describe_machine()
    print_machine(machine)
    with tempfile.TemporaryDirectory() as scratch:
        asked = {name: getattr(options, name) for name in ("architecture", "trials", "epochs", "views")}
        result = {"machine": machine, **asked, **measure(options, Path(scratch))}
    print(
        f"\n{options.architecture}, {options.pictures} + {options.val} pictures, "
        f"{options.trials} trials x {options.epochs} epochs; ~ extrapolated per picture"
    )
    rows = []
    for run in result["runs"]:
        mark = "~" if run["old_extrapolated"] else ""
        times = [f"{mark}{run['old']['wall']:,.0f}", f"{run['wall']:.2f}"]
        ratios = [f"{mark}{run[kind]:,.1f}" for kind in ("ratio_wall", "ratio_cpu")]
        rows.append([f"{run['what']}, {run['engine']}", *times, *ratios])
    print_table(["", "old way s", "ours s", "x (wall)", "x (cpu)"], rows)
    finish(result, options.json)
    return result


if __name__ == "__main__":
    main()
