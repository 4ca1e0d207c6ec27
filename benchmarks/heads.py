"""`python -m benchmarks.heads`: an epoch of a linear head on ready features, the ways to train it side by side.

Plain Lightning over TensorDataset and DataLoader, a loop over a DataLoader, a loop over indices, and the fleet; each
measures on val after every epoch, and none is charged for its first epoch, which pays for what is set up. All of
them have one core, and then all cores: the loops as torch's threads, the fleet as processes, which take stacks of K
heads in turn; or, where there is one, the GPU. With --trials it times a whole sweep by the fleet, on all cores or the
GPU, beside what its trials would take by plain Lightning, one after the other.
"""

from __future__ import annotations

import argparse
import logging
import random
import time
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from benchmarks.measuring import Sampled, Stopwatch, describe_machine, finish, median, print_machine, print_table
from dogbreed.features.views import FeatureViews
from dogbreed.models.heads import LinearHead
from dogbreed.sweeps.fleet import Fleet
from dogbreed.sweeps.grouping import make_stacks
from dogbreed.sweeps.recipe import Recipe
from dogbreed.sweeps.stack import TrialState

Data = tuple[Tensor, Tensor, Tensor, Tensor]  # train features (N, D) and targets (N,), val features and targets
Times = tuple[float, float]  # seconds of wall time and of processor time, of a head and epoch
Row = dict[str, Any]
LIGHTNING, LOADER, INDEX = "Lightning", "DataLoader loop", "index loop"
LR, MOMENTUM = 0.01, 0.9
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def draw_features(pictures: int, val: int, width: int, classes: int) -> Data:
    """Features of classes that a linear head can mostly tell apart."""
    chance = torch.Generator().manual_seed(0)
    centres = torch.randn(classes, width, generator=chance)
    targets = torch.randint(classes, (pictures + val,), generator=chance)
    features = (centres[targets] * 0.15 + torch.randn(pictures + val, width, generator=chance)).relu_()
    return features[:pictures], targets[:pictures], features[pictures:], targets[pictures:]


def load_features(file: Path) -> Data:
    """train, train_targets, val and val_targets of an .npz file."""
    with np.load(file) as arrays:
        train, train_targets, val, val_targets = (
            torch.from_numpy(arrays[name]) for name in ("train", "train_targets", "val", "val_targets")
        )
    return train.float(), train_targets, val.float(), val_targets


class PlainModule(pl.LightningModule):
    """The module that a tutorial would write."""

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.head = nn.Linear(width, classes)

    def training_step(self, batch: tuple[Tensor, Tensor], index: int) -> Tensor:
        """One step."""
        loss = nn.functional.cross_entropy(self.head(batch[0]), batch[1])
        self.log("train/loss", loss)
        return loss

    def validation_step(self, batch: tuple[Tensor, Tensor], index: int) -> None:
        """One batch of val."""
        self.log("val/acc", (self.head(batch[0]).argmax(1) == batch[1]).float().mean())

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """SGD."""
        return torch.optim.SGD(self.parameters(), lr=LR, momentum=MOMENTUM)


class _Clock(pl.Callback):
    """Starts when the second epoch does: the first one pays for what is set up."""

    watch: Stopwatch

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.current_epoch == 1:
            self.watch = Stopwatch()


def by_lightning(data: Data, classes: int, batch_size: int, epochs: int) -> Times:
    """An epoch by the Trainer."""
    train, val = TensorDataset(*data[:2]), TensorDataset(*data[2:])
    clock = _Clock()
    trainer = pl.Trainer(
        max_epochs=epochs + 1,
        accelerator=DEVICE,
        callbacks=[clock],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )
    trainer.fit(
        PlainModule(data[0].shape[1], classes), DataLoader(train, batch_size, shuffle=True), DataLoader(val, batch_size)
    )
    return _each(clock.watch, epochs)


def by_loader(data: Data, classes: int, batch_size: int, epochs: int) -> Times:
    """An epoch by a loop over a DataLoader."""
    train = DataLoader(TensorDataset(*data[:2]), batch_size, shuffle=True)
    val = DataLoader(TensorDataset(*data[2:]), batch_size)

    def on_device(loader: Any) -> Any:
        return ((features.to(DEVICE), targets.to(DEVICE)) for features, targets in loader)

    return _by_loop(data, classes, epochs, lambda: on_device(train), lambda: on_device(val))


def by_index(data: Data, classes: int, batch_size: int, epochs: int) -> Times:
    """An epoch by a loop over shuffled indices."""
    x, y, val_x, val_y = (part.to(DEVICE) for part in data)

    def train() -> Any:
        return ((x[rows], y[rows]) for rows in torch.randperm(len(y), device=DEVICE).split(batch_size))

    return _by_loop(data, classes, epochs, train, lambda: [(val_x, val_y)])


def _by_loop(data: Data, classes: int, epochs: int, train: Callable[[], Any], val: Callable[[], Any]) -> Times:
    head = nn.Linear(data[0].shape[1], classes, device=DEVICE)
    optimizer = torch.optim.SGD(head.parameters(), lr=LR, momentum=MOMENTUM)
    for epoch in range(epochs + 1):
        if epoch == 1:
            watch = Stopwatch()
        for features, targets in train():
            optimizer.zero_grad()
            nn.functional.cross_entropy(head(features), targets).backward()
            optimizer.step()
        with torch.no_grad():
            sum(int((head(features).argmax(1) == targets).sum()) for features, targets in val())
    return _each(watch, epochs)


def by_fleet(data: Data, classes: int, batch_size: int, epochs: int, heads: int, workers: int) -> Times:
    """A head and epoch of a fleet of `heads` heads in `workers` processes."""
    train, val = _views(data)
    with Fleet(train, val, classes, device=DEVICE, workers=workers) as fleet:
        fleet.train(draw_recipes(heads, batch_size, 1))
        watch = Stopwatch()
        fleet.train(draw_recipes(heads, batch_size, epochs))
        return _each(watch, epochs * heads)


def draw_recipes(heads: int, batch_size: int, epochs: int) -> dict[int, Recipe]:
    """Linear heads by SGD, rates log-uniform from 0.001 to 0.1."""
    chance = random.Random(0)
    return {i: make_recipe(10 ** chance.uniform(-3, -1), batch_size, epochs) for i in range(heads)}


def stack_size(heads: int, batch_size: int) -> int:
    """K: how many of a fleet of `heads` heads are side by side in one process."""
    states = {i: TrialState(recipe) for i, recipe in draw_recipes(heads, batch_size, 1).items()}
    return max(map(len, make_stacks(states)))


def _each(watch: Stopwatch, count: int) -> Times:
    if DEVICE == "cuda":
        torch.cuda.synchronize()
    wall, cpu = watch.read()
    return wall / count, cpu / count


def make_recipe(lr: float, batch_size: int, epochs: int) -> Recipe:
    """A linear head by SGD."""
    return Recipe(
        make_head=LinearHead,
        make_optimizer=partial(torch.optim.SGD, lr=lr, momentum=MOMENTUM),
        make_scheduler=None,
        batch_size=batch_size,
        epochs=epochs,
        label_smoothing=0.0,
        seed=0,
        order_seed=0,
    )


def _views(data: Data) -> tuple[FeatureViews, FeatureViews]:
    return FeatureViews.of(data[0][None], data[1]), FeatureViews.of(data[2][None], data[3])


def measure_epochs(data: Data, classes: int, options: argparse.Namespace, batch_size: int, cores: int) -> list[Row]:
    """A head and epoch by each way on so many cores; medians of rounds in turn."""
    ways: dict[str, Callable[[], Times]] = {
        LIGHTNING: partial(by_lightning, data, classes, batch_size, options.epochs),
        LOADER: partial(by_loader, data, classes, batch_size, options.epochs),
        INDEX: partial(by_index, data, classes, batch_size, options.epochs),
    }
    for heads in options.heads:
        name = f"fleet of {heads}, K={stack_size(heads, batch_size)}"
        ways[name] = partial(by_fleet, data, classes, batch_size, options.epochs, heads, cores)
    times: dict[str, list[Times]] = {name: [] for name in ways}
    before = torch.get_num_threads()
    torch.set_num_threads(cores)
    for _ in range(options.rounds):
        for name, way in ways.items():
            times[name].append(way())
    torch.set_num_threads(before)
    return [
        {"way": name, "wall_ms": 1000 * median(wall), "cpu_ms": 1000 * median(cpu)}
        for name, (wall, cpu) in ((name, zip(*found, strict=True)) for name, found in times.items())
    ]


def show_epochs(shape: str, cores: int, rows: Sequence[Row]) -> None:
    """Print a table of ways."""
    print(f"\n{shape}, {cores} core{'s' if cores > 1 else ''}: a head and epoch")
    old = rows[0]
    print_table(
        ["", "wall ms", "cpu ms", f"x {LIGHTNING} (wall)", "x (cpu)"],
        [
            [row["way"]]
            + [f"{row[key]:.1f}" for key in ("wall_ms", "cpu_ms")]
            + [f"{old[key] / row[key]:.1f}" for key in ("wall_ms", "cpu_ms")]
            for row in rows
        ],
    )


def measure_sweep(data: Data, classes: int, trials: int, epochs: int, batch_sizes: list[int]) -> dict[str, Any]:
    """A sweep of linear heads over lr (log, 0.001 to 0.1) and batch size, measured on val after every epoch."""
    chance = random.Random(0)
    recipes = {i: make_recipe(10 ** chance.uniform(-3, -1), chance.choice(batch_sizes), epochs) for i in range(trials)}
    train, val = _views(data)
    if DEVICE == "cuda":
        torch.cuda.reset_peak_memory_stats()
    with Sampled() as memory:
        watch = Stopwatch()
        with Fleet(train, val, classes, device=DEVICE) as fleet:
            outcomes = fleet.train(recipes)
            wall, cpu = watch.read()
            time.sleep(0.6)  # two more readings of the memory, before the workers end
    best = max(row["val/acc"] for outcome in outcomes.values() for row in outcome.curve)
    peak = memory.peak / 2**30 or None
    gpu = torch.cuda.max_memory_allocated() / 2**30 if DEVICE == "cuda" else None
    old = {size: by_lightning(data, classes, size, 3)[0] for size in {recipe.batch_size for recipe in recipes.values()}}
    alone = sum(recipe.epochs * old[recipe.batch_size] for recipe in recipes.values())
    return {
        "wall_s": wall,
        "cpu_s": cpu,
        "lightning_s": alone,
        "peak_pss_gib": peak,
        "gpu_peak_gib": gpu,
        "best_val_acc": best,
    }


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    """Measure, print and, if asked, write JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.heads", description=(__doc__ or "").split("\n\n")[0])
    add = parser.add_argument
    add("--pictures", type=int, default=6680, metavar="N", help="of train (default: 6680)")
    add("--val", type=int, default=835, metavar="N", help="of val (default: 835)")
    add("--classes", type=int, default=133, metavar="C", help="default: 133")
    add("--widths", type=int, nargs="+", default=[512, 2048], metavar="D", help="of the features (default: 512 2048)")
    add("--batch-sizes", type=int, nargs="+", default=[32, 256], metavar="B", help="default: 32 256")
    add("--heads", type=int, nargs="+", default=[1, 8, 64], metavar="N", help="of a fleet (default: 1 8 64)")
    add("--epochs", type=int, default=2, metavar="E", help="default: 2")
    add("--rounds", type=int, default=3, metavar="N", help="default: 3")
    add("--trials", type=int, metavar="T", help="time a sweep of so many trials instead, of --epochs each")
    add("--features", type=Path, metavar="FILE", help=".npz: train, train_targets, val, val_targets (default: drawn)")
    add("--json", type=Path, metavar="FILE", help="write the figures there too")
    options = parser.parse_args(arguments)
    warnings.filterwarnings("ignore", module="pytorch_lightning")
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    machine = describe_machine()
    print_machine(machine)
    result: dict[str, Any] = {"machine": machine, "epochs": [], "sweeps": []}
    for width in options.widths[:1] if options.features else options.widths:
        if options.features:
            data = load_features(options.features)
        else:
            data = draw_features(options.pictures, options.val, width, options.classes)
        classes = int(data[1].max()) + 1
        shape = {"pictures": len(data[1]), "val": len(data[3]), "width": data[0].shape[1], "classes": classes}
        if options.trials:
            sweep = measure_sweep(data, classes, options.trials, options.epochs, options.batch_sizes)
            result["sweeps"].append({**shape, "trials": options.trials, "epochs": options.epochs, **sweep})
            show_sweep(result["sweeps"][-1])
            continue
        for batch_size in options.batch_sizes:
            for cores in sorted({1, machine["cores"]} if DEVICE == "cpu" else {machine["cores"]}):
                rows = measure_epochs(data, classes, options, batch_size, cores)
                result["epochs"] += [{**shape, "batch_size": batch_size, "cores": cores, **row} for row in rows]
                show_epochs(f"D={shape['width']}, batch {batch_size}, {len(data[1])} pictures", cores, rows)
    finish(result, options.json)
    return result


def show_sweep(row: dict[str, Any]) -> None:
    """Print the figures of a sweep."""
    shape = f"{row['pictures']} x {row['width']}, {row['classes']} classes"
    print(f"\n{row['trials']} trials x {row['epochs']} epochs, {shape}:")
    print(f"{row['wall_s']:.1f} s wall, {row['cpu_s']:.1f} s of processor time; best val/acc {row['best_val_acc']:.4f}")
    old, ratio = row["lightning_s"], row["lightning_s"] / row["wall_s"]
    print(f"by {LIGHTNING} one after the other ~{old:,.0f} s, extrapolated from three epochs: ~{ratio:.0f} x")
    for name, what in (("peak_pss_gib", "PSS of all processes"), ("gpu_peak_gib", "GPU memory")):
        if row[name]:
            print(f"peak {what}: {row[name]:.2f} GiB")


if __name__ == "__main__":
    main()
