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
import torch

from benchmarks.head_epochs import (
    DEVICE,
    Data,
    Times,
    as_views,
    by_fleet,
    by_index,
    by_lightning,
    by_loader,
    make_recipe,
    stack_size,
)
from benchmarks.measuring import Sampled, Stopwatch, describe_machine, finish, median, print_machine, print_table
from dogbreed.sweeps.fleet import Fleet

Row = dict[str, Any]
LIGHTNING, LOADER, INDEX = "Lightning", "DataLoader loop", "index loop"


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
    train, val = as_views(data)
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
