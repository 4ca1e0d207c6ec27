"""`python -m benchmarks.health`: what it costs that a run is watched, training a head on ready features.

The same training bare, with the profile (phases and samples of the machine), and with the rules of health=default
too, recorded to a file as in a run; in turn, in one process. Neither is charged for the first epoch.
"""

from __future__ import annotations

import argparse
import logging
import tempfile
import time
import warnings
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch

from benchmarks.head_epochs import Data, as_views
from benchmarks.heads import draw_features
from benchmarks.measuring import Stopwatch, describe_machine, finish, median, print_machine, print_table
from dogbreed.app import compose
from dogbreed.checking import make_rules
from dogbreed.explain import SAMPLE_S
from dogbreed.features.datamodule import FeatureDataModule
from dogbreed.health.judging import Panel
from dogbreed.health.machine import MachineSampler
from dogbreed.health.monitor import HealthMonitor
from dogbreed.health.profiler import RunProfiler
from dogbreed.health.samples import Facts
from dogbreed.models.backbones import make_backbone
from dogbreed.models.classifier import BreedClassifier
from dogbreed.models.heads import LinearHead

WAYS = ("bare", "profile", "profile and rules")


class _Clock(pl.Callback):
    """Starts when the second epoch does."""

    watch: Stopwatch

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.current_epoch == 1:
            self.watch = Stopwatch()


def train(way: str, data: Data, classes: int, batch_size: int, epochs: int, preset: str) -> tuple[float, float]:
    """Seconds of wall time and of processor time of an epoch."""
    backbone = make_backbone("timm", "test_resnet", weights="none", image_size=32)
    head = LinearHead(data[0].shape[1], classes)
    names = [f"{number:03d}" for number in range(classes)]
    model = BreedClassifier(backbone, head, names, optimizer=partial(torch.optim.SGD, lr=0.003, momentum=0.9))
    train_views, val_views = as_views(data)
    batches = FeatureDataModule({"train": train_views, "val": val_views}, batch_size=batch_size)
    clock, sampler, profiler = _Clock(), MachineSampler(SAMPLE_S, time.monotonic()), RunProfiler()
    callbacks: list[pl.Callback] = [clock]
    with tempfile.TemporaryDirectory() as folder:
        if way != WAYS[0]:
            sampler.start()
            callbacks.append(profiler)
        if way == WAYS[2]:
            config = compose("train", [f"health={preset}"])
            facts = Facts(num_classes=classes, features=True, gpus=torch.cuda.device_count())
            callbacks.append(
                HealthMonitor(
                    Panel(make_rules(config)),
                    facts,
                    every_n_steps=config.health.every_n_steps,
                    recording=Path(folder) / "samples.jsonl",
                    take_steps=profiler.take_steps,
                    take_machine=sampler.take,
                )
            )
        trainer = pl.Trainer(
            max_epochs=epochs + 1,
            accelerator="auto",
            devices=1,
            callbacks=callbacks,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            use_distributed_sampler=False,
        )
        trainer.fit(model, batches)
        wall, cpu = clock.watch.read()
        sampler.stop()
    return wall / epochs, cpu / epochs


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print and, if asked, write JSON."""
    options = _parser().parse_args(arguments)
    for name in ("pytorch_lightning", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore")
    machine = describe_machine()
    print_machine(machine)
    data = draw_features(options.pictures, options.val, options.width, options.classes)
    result: dict[str, Any] = {"machine": machine, "rows": []}
    for batch_size in options.batch_sizes:
        times: dict[str, list[tuple[float, float]]] = {way: [] for way in WAYS}
        for _ in range(options.rounds):
            for way in WAYS:
                times[way].append(train(way, data, options.classes, batch_size, options.epochs, options.health))
        shape = f"{options.pictures:,} x {options.width} features, {options.classes} classes"
        print(f"\nbatch {batch_size}, {shape}: an epoch")
        rows = []
        for way in WAYS:
            wall, cpu = (median(column) for column in zip(*times[way], strict=True))
            # Each round beside its own bare one: what the machine does meanwhile falls out.
            share = [
                median(ours[kind] / bare[kind] for ours, bare in zip(times[way], times[WAYS[0]], strict=True))
                for kind in (0, 1)
            ]
            rows.append([way, f"{1000 * wall:.0f}", f"{1000 * cpu:.0f}", f"{share[0]:.3f}", f"{share[1]:.3f}"])
            result["rows"].append({"batch_size": batch_size, "way": way, "wall_s": wall, "cpu_s": cpu, "ratio": share})
        print_table(["", "wall ms", "cpu ms", "x bare (wall)", "x bare (cpu)"], rows)
    finish(result, options.json)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.health", description=__doc__)
    add = parser.add_argument
    add("--pictures", type=int, default=6720, metavar="N", help="of train (default: 6720)")
    add("--val", type=int, default=840, metavar="N", help="of val (default: 840)")
    add("--width", type=int, default=1280, metavar="D", help="of the features (default: 1280)")
    add("--classes", type=int, default=120, metavar="C", help="default: 120")
    add("--batch-sizes", type=int, nargs="+", default=[32, 128], metavar="B", help="default: 32 128")
    add("--epochs", type=int, default=5, metavar="E", help="that are timed, behind the first (default: 5)")
    add("--rounds", type=int, default=5, metavar="N", help="of all ways in turn (default: 5)")
    add("--health", default="default", metavar="NAME", help="of conf/health, whose rules judge (default: default)")
    add("--json", type=Path, metavar="FILE", help="write the figures there too")
    return parser


if __name__ == "__main__":
    main()
