"""Every run explains itself: what watches it, and what it leaves to be read."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from importlib import resources
from itertools import count
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
import yaml
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, ListConfig, OmegaConf

from dogbreed.app import build
from dogbreed.data.folder import SPLITS
from dogbreed.data.loading import available_cores
from dogbreed.files import from_here, write_csv, write_json
from dogbreed.health.judging import Panel
from dogbreed.health.machine import MachineSampler, process_started
from dogbreed.health.monitor import HealthMonitor
from dogbreed.health.profiler import RunProfiler, write_profile
from dogbreed.health.recording import SAMPLES
from dogbreed.health.rules.base import Rule
from dogbreed.health.samples import Facts, PictureStats
from dogbreed.health.smdebug.trial import holds_trial
from dogbreed.health.telling import tell
from dogbreed.interrupts import ctrl_c
from dogbreed.phases import clock, phase, restart
from dogbreed.prepare import Prepared, say
from dogbreed.reports.pictures import keep_pictures
from dogbreed.reports.run_report import write_report
from dogbreed.training.calibration import Calibrator
from dogbreed.training.predictions import COLUMNS, TestPredictions, answers

HEALTH, DATA, PREDICTIONS = "health.json", "data.json", "predictions.csv"
SAMPLE_S = 0.5  # between two looks at the machine, as in SageMaker's profiler


class Watch:
    """What watches a run: the rules, the profile, the answers to val and test, and a debugger's hook if there is one.

    Args:
        config: of the run.
        prepared: what it trains on.
        directory: of the run, where all of this is left.
        sampler: of the machine, running.
        rules: see `dogbreed.checking.make_rules`.
        hook: see `make_hook`.

    Attributes:
        callbacks: for the trainer.
        calibrator: one of them: what val teaches about the answers.
    """

    def __init__(
        self,
        config: DictConfig,
        prepared: Prepared,
        directory: Path,
        sampler: MachineSampler,
        rules: Sequence[Rule],
        hook: pl.Callback | None,
    ) -> None:
        self._directory, self._pictures, self._sampler = directory, prepared.pictures, sampler
        self._report = config.report
        self._profiler, self.calibrator = RunProfiler(sampler), Calibrator(config.sure_precision)
        self._predictions = TestPredictions(lambda: self.calibrator.temperature)
        self._preset = _choice("health")
        self._monitor = HealthMonitor(
            Panel(rules),
            facts_of(config, prepared),
            every_n_steps=config.health.every_n_steps,
            backbone=any(rule.parameters.get("layers") == "all" for rule in rules),
            recording=directory / SAMPLES,
            fail_on=list(config.health.fail_on or ()),
            stopped=Path(config.paths.checkpoints) / "stopped.ckpt",
            started=sampler.started,
            take_steps=self._profiler.take_steps,
            take_machine=sampler.take,
        )
        if prepared.features is not None and prepared.features.pixels is not None:
            self._monitor.see(PictureStats(*prepared.features.pixels))
        self.callbacks: list[pl.Callback] = [self._profiler, self.calibrator, self._predictions]
        self.callbacks += [self._monitor] if rules else []
        self.callbacks += [hook] if hook is not None else []

    def write_health(self) -> list[str]:
        """Leave health.json and profile.json, also of a run that ended before its time; what was found, as lines."""
        self._write_profile()
        began_before = not self._monitor.begun and (self._directory / HEALTH).exists()
        if self._monitor not in self.callbacks or began_before:  # the verdict on a run that had ended already stands
            return []
        outcomes = self._monitor.outcomes()
        content = {"preset": self._preset, "rules": [outcome.to_json() for outcome in outcomes]}
        write_json(self._directory / HEALTH, content)
        return tell(outcomes)

    def write_data(self) -> None:
        """Leave data.json: the classes, and how many pictures each has."""
        names = self._pictures.class_names
        counts = {name: self._pictures.split(name).counts(len(names)) for name in SPLITS}
        content = {"root": str(self._pictures.root), "class_names": list(names), "pictures": counts}
        write_json(self._directory / DATA, content)

    def write_failed(self) -> None:
        """Leave the report of a run that failed, as far as it came; what is wrong with that is no matter now."""
        if not self._report:
            return
        try:
            say(f"how far it came, in a browser: {from_here(write_report(self._directory))}")
        except Exception as error:  # the run's own error is the one to be seen
            say(f"no report: {error}")

    def write_rest(self) -> None:
        """Leave the answers to test, the photographs that the report shows, and the report."""
        with phase("report"):
            self._write_answers()
            self._write_profile()
            path = write_report(self._directory) if self._report else None
        self._write_profile()  # now with the report's own time
        if path is not None:
            say(f"the whole story, in a browser: {from_here(path)}")

    def _write_profile(self) -> None:
        write_profile(self._directory, self._sampler.samples, clock(), self._sampler.started)

    def _write_answers(self) -> None:
        names, test, train = self._pictures.class_names, self._pictures.split("test"), self._pictures.split("train")
        rows = answers(self._predictions.predictions, test.paths, names)
        write_csv(self._directory / PREDICTIONS, rows, COLUMNS)
        examples = {names[target]: path for path, target in zip(train.paths, train.targets, strict=True)}
        keep_pictures(self._directory, rows, examples.get)


def make_hook(config: DictConfig) -> pl.Callback | None:
    """The debugger's hook, if one is configured; of a run that continues in a folder beside that of its first part.

    Raises:
        ConfigError: it cannot be made so.
    """
    if "_target_" not in (config.hook or {}):
        return None
    place = str(config.hook.out_dir)
    if config.resume:
        parts = (f"{place}_{number}" if number > 1 else place for number in count(1))
        place = next(part for part in parts if not holds_trial(part))
    hook: pl.Callback = build(config, "hook", out_dir=place)
    return hook


def run_started() -> float:
    """When this run began, by time.monotonic(): with the process where that is its command, so that imports count.

    Now everywhere else: in a sweep, a notebook that has been open all day, a script of the user's.
    """
    restart()
    several = HydraConfig.initialized() and HydraConfig.get().mode == RunMode.MULTIRUN
    return process_started() if ctrl_c.is_command and not several else time.monotonic()


def facts_of(config: DictConfig, prepared: Prepared) -> Facts:
    """What the rules may know of the run beside what they see."""
    pictures = prepared.pictures
    settings = {key: value for key, value in _flat(OmegaConf.to_container(config, resolve=True))}
    return Facts(
        settings={key: value for key, value in settings.items() if not key.startswith(("health.", "hook."))},
        defaults=dict(_defaults("optimizer", "head", "trainer", "scheduler")),
        num_classes=pictures.num_classes,
        class_names=tuple(pictures.class_names),
        train_counts=tuple(pictures.split("train").counts(pictures.num_classes)),
        cores=available_cores(),
        gpus=len(used_gpus(config)),
        features=prepared.features is not None,
    )


def used_gpus(config: DictConfig) -> tuple[int, ...]:
    """The numbers of the GPUs that the trainer will use, of those that this process may."""
    there, devices = torch.cuda.device_count(), config.trainer.devices
    if config.trainer.accelerator not in ("auto", "gpu", "cuda"):
        return ()
    if isinstance(devices, ListConfig):
        return tuple(number for number in devices if isinstance(number, int) and number < there)
    count = int(devices) if str(devices).isdecimal() else there  # auto and -1: all
    return tuple(range(min(count, there)))


def _defaults(*groups: str) -> Iterator[tuple[str, Any]]:
    """What the chosen files of conf/ say themselves, whatever the command line does."""
    for group in groups:
        file = resources.files("dogbreed.conf") / group / f"{_choice(group)}.yaml"
        content = yaml.safe_load(file.read_text(encoding="utf-8")) if file.is_file() else None
        yield from _flat({group: content or {}})


def _choice(group: str) -> str:
    """The file of a group that was chosen."""
    return str(HydraConfig.get().runtime.choices.get(group)) if HydraConfig.initialized() else ""


def _flat(content: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in content.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
