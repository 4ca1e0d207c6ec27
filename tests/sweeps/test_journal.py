"""The journal of a sweep: whole whatever happens."""

from __future__ import annotations

import csv
import json
import os
import signal
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ModelCheckpoint

from dogbreed.errors import ConfigError, OutputError
from dogbreed.sweeps.journal import Journal, Record, best_row, make_record

PLAN = {"space": {"optimizer.lr": "interval(0.001,0.1)"}, "overrides": ["head=mlp"], "sampler": "sobol"}


def record(number: int, state: str = "finished", value: float | None = 0.5) -> Record:
    return Record(number, {"optimizer.lr": 0.1 / (number + 1), "scheduler": None, "name": "ü\n,"}, state, value)


def test_journal__goes_on_where_it_was(tmp_path: Path) -> None:
    with Journal(tmp_path, PLAN, resume=False) as journal:
        journal.add(record(0))
        journal.add(record(1, "failed", None))
        journal.add(record(2, "stopped"))
    with Journal(tmp_path, PLAN, resume=True) as journal:
        assert [journal.is_done(number) for number in range(4)] == [True, False, True, False]
        journal.add(record(1, value=0.9))
    with Journal(tmp_path, PLAN, resume=True) as journal:
        assert journal.last == {0: record(0), 1: record(1, value=0.9), 2: record(2, "stopped")}
        assert journal.first[1] == record(1, "failed", None), "proposals were made from this one"


def test_journal__drops_a_line_that_was_cut_anywhere(tmp_path: Path) -> None:
    with Journal(tmp_path, PLAN, resume=False) as journal:
        journal.add(record(0))
        journal.add(record(1))
    path = tmp_path / "trials.jsonl"
    whole = path.read_bytes()
    second = whole.index(b"\n", whole.index(b"\n") + 1) + 1
    for end in [*range(second, len(whole), 7), len(whole) - 1]:
        path.write_bytes(whole[:end])
        with Journal(tmp_path, PLAN, resume=True) as journal:
            assert list(journal.last) == [0]
            journal.add(record(1))
        assert path.read_bytes() == whole


@pytest.mark.parametrize("content", [b"", b'{"plan', b'{"plan": {}}\n', b'{"plan": {"sampler": "tpe"}}\n{"number'])
def test_journal__begins_anew_where_no_trial_is_lost(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "trials.jsonl").write_bytes(content)
    with Journal(tmp_path, PLAN, resume=False) as journal:
        journal.add(record(0))
    with Journal(tmp_path, PLAN, resume=True) as journal:
        assert list(journal.last) == [0]


def test_journal__will_not_overwrite_a_sweep(tmp_path: Path) -> None:
    with Journal(tmp_path, PLAN, resume=False) as journal:
        journal.add(record(0))
    with pytest.raises(OutputError, match="holds a sweep already"):
        Journal(tmp_path, PLAN, resume=False)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"space": {"optimizer.lr": "interval(0.001,1.0)"}}, r"optimizer.lr was interval\(0.001,0.1\), is interval"),
        ({"space": {"data.batch_size": "choice(1,2)"}}, "optimizer.lr was .* is fixed; data.batch_size was fixed"),
        ({"overrides": ["head=linear"]}, "overrides: then head=mlp; now head=linear"),
        ({"sampler": "tpe"}, "another sampler: was sobol, is tpe"),
    ],
)
def test_journal__refuses_another_sweep_by_name(change: dict[str, object], said: str, tmp_path: Path) -> None:
    with Journal(tmp_path, PLAN, resume=False) as journal:
        journal.add(record(0))
    with pytest.raises(ConfigError, match=said):
        Journal(tmp_path, {**PLAN, **change}, resume=True)


def test_journal__of_another_process_is_left_alone(tmp_path: Path) -> None:
    with Journal(tmp_path, PLAN, resume=False) as journal:
        journal.add(record(0))
        child = os.fork()
        if child == 0:
            try:
                Journal(tmp_path, PLAN, resume=True)
            except OutputError as error:
                os._exit(7 if "another process" in str(error) else 1)
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7


def test_journal__says_when_the_disk_is_full(tiny_disk: Path) -> None:
    long = Record(0, {"name": "x" * 10_000}, "finished")
    with (
        Journal(tiny_disk / "sweep", PLAN, resume=False) as journal,
        pytest.raises(OutputError, match="cannot be written"),
    ):
        journal.add(long)


def test_journal__is_on_disk_before_the_next_trial_begins(tmp_path: Path) -> None:
    child = os.fork()
    if child == 0:
        journal = Journal(tmp_path, PLAN, resume=False)
        for number in range(3):
            journal.add(record(number))
        os.kill(os.getpid(), signal.SIGKILL)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
    with Journal(tmp_path, PLAN, resume=True) as journal:
        assert list(journal.last) == [0, 1, 2]


def test_tables__hold_every_trial(tmp_path: Path) -> None:
    curve = [{"epoch": 0, "train/loss": float("nan"), "val/loss": 2.0, "val/acc": 0.25}]
    with Journal(tmp_path, PLAN, resume=False) as journal:
        journal.add(make_record(0, record(0).params, curve, "val/acc", seconds=1.5, backbone={"parameters": 9}))
        journal.add(record(1, "failed", None))
        journal.write_tables("val/acc")
    with open(tmp_path / "trials.csv", newline="") as file:
        first, second = csv.DictReader(file)
    assert (first["val/acc"], first["optimizer.lr"], first["scheduler"], first["name"]) == (
        "0.25",
        "0.1",
        "null",
        "ü\n,",
    )
    assert (first["parameters"], second["parameters"], second["state"]) == ("9", "", "failed")
    content = json.loads((tmp_path / "trials.json").read_text(), parse_constant=lambda name: pytest.fail(name))
    assert content["direction"] == "max"
    assert content["trials"][0]["curve"][0]["train/loss"] is None
    assert content["trials"][0]["value"] == 0.25


@pytest.mark.parametrize("monitor", ["val/acc", "val/loss"])
@pytest.mark.parametrize(
    "values",
    [[0.1, 0.3, 0.3, 0.2], [0.3, 0.1, 0.1], [0.2], [float("nan"), 0.2, 0.2], [float("nan"), float("nan")]],
)
def test_best_row__is_the_epoch_that_lightning_keeps(values: list[float], monitor: str) -> None:
    mode = "max" if monitor == "val/acc" else "min"
    keeper = ModelCheckpoint(monitor=monitor, mode=mode, save_top_k=1)
    trainer = pl.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False)
    kept = -1
    for epoch, value in enumerate(values):
        current = torch.tensor(value)
        if keeper.check_monitor_top_k(trainer, current):
            worst = torch.tensor(float("inf" if mode == "min" else "-inf"))
            keeper.best_k_models = {"best": worst if current.isnan() else current}
            keeper.kth_best_model_path, kept = "best", epoch
    rows = [{"epoch": epoch, monitor: value} for epoch, value in enumerate(values)]
    best = best_row(rows, monitor)
    assert best is not None
    assert best["epoch"] == kept


def test_make_record__of_a_trial_that_never_was_a_number() -> None:
    made = make_record(3, {}, [{"epoch": 0, "val/loss": float("nan")}], "val/loss", seconds=1)
    assert (made.state, made.value, made.best_epoch) == ("finished", None, 0)


def test_journal__leaves_no_lock_behind_a_dead_process(tmp_path: Path) -> None:
    child = os.fork()
    if child == 0:
        Journal(tmp_path, PLAN, resume=False)
        os._exit(0)
    os.waitpid(child, 0)
    with Journal(tmp_path, PLAN, resume=True):
        pass
