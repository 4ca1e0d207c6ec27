"""Where the time goes, in real fits whose parts sleep as long as the test says."""

from __future__ import annotations

import gc
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.plugins.io import TorchCheckpointIO
from pytorch_lightning.profilers import PassThroughProfiler, PyTorchProfiler, SimpleProfiler
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from dogbreed.health.machine import MachineSampler, count_loaders
from dogbreed.health.profiler import RunProfiler, build_profile, write_profile
from dogbreed.health.samples import MachineSample
from dogbreed.health.stopwatch import Stopwatch
from dogbreed.phases import Clock, Phase, clock, phase, restart

BATCHES, VAL_BATCHES = 6, 2
NAP = 0.01  # long beside what a step of this model takes by itself


class Sleepy(pl.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.linear = torch.nn.Linear(4, 2)

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        time.sleep(2 * NAP)
        return self.linear(batch).square().mean()

    def validation_step(self, batch: Tensor, batch_idx: int) -> None:
        time.sleep(NAP)

    test_step = validation_step

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)

    def backward(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        time.sleep(3 * NAP)
        loss.backward()


class Rows(Dataset[Tensor]):
    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Tensor:
        time.sleep(NAP)
        return torch.ones(4)


class Slow(pl.Callback):
    """A callback of the user's, in the middle of the optimiser's step and after it; it keeps times of its own."""

    def on_train_start(self, *_: Any) -> None:
        self.began = time.perf_counter()
        self.free, self.longest = self.began, list[float]()  # for each batch: since this callback was done before it

    def on_before_optimizer_step(self, *_: Any) -> None:
        time.sleep(NAP)

    def on_train_batch_end(self, *_: Any) -> None:
        self.longest.append(time.perf_counter() - self.free)
        time.sleep(4 * NAP)
        self.free = time.perf_counter()

    def on_fit_end(self, *_: Any) -> None:
        self.taken = time.perf_counter() - self.began


class SlowDisk(TorchCheckpointIO):
    def save_checkpoint(self, *arguments: Any, **named: Any) -> None:
        time.sleep(5 * NAP)
        super().save_checkpoint(*arguments, **named)


def loader(count: int, workers: int = 0) -> DataLoader[Tensor]:
    return DataLoader(Rows(count), batch_size=1, num_workers=workers, persistent_workers=workers > 0)


def make_trainer(tmp_path: Path, *callbacks: pl.Callback, **settings: Any) -> pl.Trainer:
    return pl.Trainer(
        max_epochs=1,
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[*callbacks, ModelCheckpoint(tmp_path)],
        plugins=[SlowDisk()],
        **settings,
    )


def fit(trainer: pl.Trainer, workers: int = 0) -> None:
    trainer.fit(Sleepy(), loader(BATCHES, workers), loader(VAL_BATCHES, workers))


@pytest.fixture(autouse=True)
def fresh_clock() -> Iterator[None]:
    restart()
    yield
    restart()


def parts(phase: Phase) -> dict[str, Phase]:
    return {part.name: part for part in phase.parts}


def test_profiler__splits_training_as_the_parts_slept(tmp_path: Path) -> None:
    slow = Slow()
    fit(make_trainer(tmp_path, slow, RunProfiler()))
    loops = parts(clock().root)
    training = loops["training"]
    found = parts(training)
    slept = {"waiting for data": 1, "forward": 2, "backward": 3, "callbacks": 5}
    for name, naps in slept.items():
        assert found[name].seconds >= BATCHES * naps * NAP, name
    inside = sum(loops[name].seconds for name in ("training", "validation", "checkpoints"))
    assert inside <= slow.taken, "neither the backward pass nor a callback counts to the optimiser as well"


def test_profiler__counts_every_batch_in_every_stage(tmp_path: Path) -> None:
    """A name of Lightning's that changes would leave a stage empty."""
    profiler = RunProfiler()
    trainer = make_trainer(tmp_path, profiler)
    fit(trainer)
    trainer.test(Sleepy(), loader(3), verbose=False)
    found = {name: {part.name: part.count for part in loop.parts} for name, loop in parts(clock().root).items()}
    stages = ("waiting for data", "transfer", "forward", "backward", "optimiser")
    assert [found["training"][name] for name in stages] == [BATCHES] * 5
    for loop, count in (("sanity check", VAL_BATCHES), ("validation", VAL_BATCHES), ("test", 3)):
        assert [found[loop][name] for name in stages[:3]] == [count] * 3, loop
    assert clock().root.part("checkpoints").count == 1


def test_profiler__loops_are_apart_and_checkpoints_beside_them(tmp_path: Path) -> None:
    started = time.perf_counter()
    fit(make_trainer(tmp_path, RunProfiler()))
    taken = time.perf_counter() - started
    found = {part.name: part.seconds for part in clock().root.parts}
    assert set(found) == {"sanity check", "training", "validation", "checkpoints"}
    assert found["checkpoints"] >= 5 * NAP
    assert found["validation"] >= VAL_BATCHES * 2 * NAP
    assert found["training"] >= BATCHES * 6 * NAP
    assert sum(found.values()) <= taken, "no moment counts twice"


@pytest.mark.parametrize("accumulated", [1, 4])
def test_profiler__steps_hold_their_waiting_and_no_callback(tmp_path: Path, accumulated: int) -> None:
    profiler, slow = RunProfiler(), Slow()
    fit(make_trainer(tmp_path, profiler, slow, accumulate_grad_batches=accumulated))
    durations, waits = profiler.take_steps()
    assert (len(durations), len(waits)) == (BATCHES, BATCHES)
    assert min(waits) >= NAP
    inside = 5 if accumulated == 4 else 6  # a batch without an optimiser step calls no callback inside
    for duration, wait, longest in zip(durations, waits, slow.longest, strict=True):
        assert wait + inside * NAP <= duration <= longest, "what comes after the batch is none of it"
    assert profiler.take_steps() == ([], [])


def test_profiler__keeps_what_it_saw_of_a_fit_that_fails(tmp_path: Path) -> None:
    class Fails(pl.Callback):
        def on_before_optimizer_step(self, trainer: pl.Trainer, *_: Any) -> None:
            if trainer.global_step == 2:
                raise RuntimeError("it fails")

    inner = PassThroughProfiler()
    trainer = make_trainer(tmp_path, Fails(), RunProfiler(), profiler=inner)
    with pytest.raises(RuntimeError, match="it fails"):
        fit(trainer)
    found = parts(parts(clock().root)["training"])
    assert (found["forward"].count, found["backward"].count) == (3, 3)
    assert trainer.profiler is inner  # type: ignore[attr-defined]


def test_profiler__counts_inside_the_phase_that_is_open(tmp_path: Path) -> None:
    with phase("trial 3"):
        fit(make_trainer(tmp_path, RunProfiler()))
    assert "training" in parts(clock().root.part("trial 3"))


def test_profiler__another_profiler_works_on(tmp_path: Path) -> None:
    inner = SimpleProfiler()
    trainer = make_trainer(tmp_path, RunProfiler(), profiler=inner)
    fit(trainer)
    assert len(inner.recorded_durations["run_training_batch"]) == BATCHES
    assert len(inner.recorded_durations["[_TrainingEpochLoop].train_dataloader_next"]) == BATCHES
    assert parts(parts(clock().root)["training"])["forward"].count == BATCHES
    assert trainer.profiler is inner  # type: ignore[attr-defined]


def test_profiler__tells_the_sampler_when_training_runs_and_who_loads_for_it(tmp_path: Path) -> None:
    gc.collect()
    others = count_loaders()  # which other tests have left behind
    with MachineSampler(0.01, time.monotonic()) as sampler:
        fit(make_trainer(tmp_path, RunProfiler(sampler)), workers=1)
    training = [sample.loaders for sample in sampler.samples if sample.training]
    assert not sampler.training
    assert not sampler.samples[0].training
    assert max(training) == others + 1, "the loader of val sleeps"


def test_stopwatch__costs_less_than_lightnings_own() -> None:
    """Of processor time, for measuring points as a step has them."""
    names = [f"[Callback]C{number}.on_train_batch_start" for number in range(40)]
    names += ["run_training_batch", "[Strategy]S.training_step", "[LightningModule]M.on_before_zero_grad"]

    def cost(profiler: Any) -> float:
        started = time.thread_time()
        for _ in range(50):
            for name in names:
                with profiler.profile(name):
                    pass
        return time.thread_time() - started

    lightnings = PassThroughProfiler()
    ours = Stopwatch(lightnings, "RunProfiler")
    costs = [(cost(ours), cost(lightnings)) for _ in range(10)]  # in turns: what slows the machine slows both
    assert min(one for one, _ in costs) < min(other for _, other in costs)  # measured: 0.57


@pytest.mark.slow  # torch's profiler takes seconds to start
def test_profiler__torchs_profiler_leaves_a_chrome_trace(tmp_path: Path) -> None:
    schedule = torch.profiler.schedule(wait=0, warmup=1, active=2, repeat=1)
    deep = PyTorchProfiler(dirpath=tmp_path / "trace", filename="trace", schedule=schedule)
    fit(make_trainer(tmp_path, RunProfiler(), profiler=deep))
    files = list((tmp_path / "trace").glob("*training_step*.pt.trace.json"))
    assert files
    names = {event.get("name") for event in json.loads(files[0].read_text())["traceEvents"]}
    assert "[pl][profile]run_training_batch" in names


# -- profile.json -----------------------------------------------------------------------------------------------------


def assert_adds_up(tree: dict[str, Any]) -> None:
    if tree["parts"]:
        assert sum(part["seconds"] for part in tree["parts"]) == pytest.approx(tree["seconds"], abs=1e-4)
    for part in tree["parts"]:
        assert_adds_up(part)


def test_profile__of_a_real_fit_adds_up(tmp_path: Path) -> None:
    started = time.monotonic() - 2
    with MachineSampler(0.02, started) as sampler, phase("data checks"):
        at_most = time.monotonic() - started
        time.sleep(NAP)
    fit(make_trainer(tmp_path, Slow(), RunProfiler()))
    write_profile(tmp_path, sampler.samples, clock(), started)
    profile = json.loads((tmp_path / "profile.json").read_text())
    tree = profile["phases"]
    assert_adds_up(tree)
    assert [part["name"] for part in tree["parts"]][:3] == ["imports and set-up", "data checks", "sanity check"]
    assert 2 <= tree["parts"][0]["seconds"] <= at_most + 1e-6  # it is rounded
    assert tree["parts"][-1]["name"] == "other"
    assert tree["seconds"] == pytest.approx(profile["seconds"], abs=1e-3)
    assert profile["machine"]["samples"] == len(sampler.samples)


def test_profile__of_a_long_run_has_300_points_that_keep_the_mean() -> None:
    samples = [
        MachineSample(number / 2, cores=(number % 100, 0.0), memory=1.0, gpus=(50.0,), gpu_memory=(9.0,))
        for number in range(7200)
    ]
    profile = build_profile(samples, Clock(), started=0.0, ended=3600.0)
    series = profile["series"]
    assert [len(series[name]) for name in ("seconds", "cpu", "memory_gib", "gpu")] == [300] * 4
    assert sum(series["cpu"]) / 300 == pytest.approx(99 / 4)
    assert series["io_wait"] is None
    assert (profile["machine"]["every_s"], profile["machine"]["samples"]) == (0.5, 7200)
    assert profile["machine"]["gpus"][0]["p95"] == 50.0


def test_profile__without_samples_is_json_all_the_same(tmp_path: Path) -> None:
    started = time.monotonic() - 1
    write_profile(tmp_path, [], Clock(), started)
    at_most = time.monotonic() - started
    profile = json.loads((tmp_path / "profile.json").read_text(), parse_constant=pytest.fail)
    assert 1 <= profile["phases"]["seconds"] <= at_most + 1e-6  # it is rounded
    assert profile["machine"] == {
        "every_s": None, "samples": 0, "cores": None, "io_wait": None, "memory_gib": None, "gpus": [], "gpu_memory": [],
    }  # fmt: skip


def test_profile__gpu_that_is_silent_for_a_while_leaves_a_gap() -> None:
    samples = [MachineSample(0.0, gpus=(40.0,)), MachineSample(0.5), MachineSample(1.0, gpus=(60.0,))]
    assert build_profile(samples, Clock(), 0.0, 1.0)["series"]["gpu"] == [40.0, None, 60.0]
