"""What smdebug saved, as samples: of a small loop of anybody's, written by the real package."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from dogbreed.errors import ConfigError
from dogbreed.health.measuring import summarise
from dogbreed.health.samples import Facts, Measure, PictureStats, Sample
from dogbreed.health.smdebug.saved import read_trial, trial_facts
from dogbreed.health.smdebug.trial import Trial, open_trial

smd = pytest.importorskip("smdebug.pytorch")

NONE: Mapping[str, str] = {}


class Somebodys(nn.Module):
    """A network with names of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.relu = nn.ReLU()
        self.squash = nn.Tanh()
        self.out = nn.Linear(4, 3)

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.out(self.squash(self.relu(self.conv(pictures)).mean(dim=(2, 3))))
        return logits


def save(
    where: Path, collections: Mapping[str, str] = NONE, *, reduced: bool = False, modes: bool = True
) -> dict[str, Any]:
    """Train for two epochs of 3 batches, each followed by 2 batches of val, hooked as a script on SageMaker would.

    Returns what was seen on the way: losses by mode, pairs by mode, the weight of `out` at each step.
    """
    torch.manual_seed(0)
    config = smd.ReductionConfig(reductions=["mean"], abs_reductions=["mean"], norms=["l2"], save_shape=True)
    hook = smd.Hook(
        out_dir=str(where),
        save_config=smd.SaveConfig(save_interval=1),
        include_collections=["losses", "weights", "biases", "gradients", *collections],
        reduction_config=config if reduced else None,
    )
    for name, regex in collections.items():
        hook.get_collection(name).include(regex)
    model, loss = Somebodys(), nn.CrossEntropyLoss()
    hook.register_module(model)
    hook.register_loss(loss)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    seen: dict[str, Any] = {"TRAIN": [], "EVAL": [], "pairs": [], "weights": [], "pictures": []}
    for number, mode in enumerate(("TRAIN", "TRAIN", "TRAIN", "EVAL", "EVAL") * 2):
        if modes:
            hook.set_mode(smd.modes[mode])
        pictures, labels = torch.randn(6, 3, 8, 8) + number, torch.arange(6) % 3
        seen["weights"].append(model.out.weight.detach().clone())
        logits = model(pictures)
        value = loss(logits, labels)
        if mode == "TRAIN":
            optimizer.zero_grad()
            value.backward()
            optimizer.step()
        seen[mode].append(value.item())
        seen["pairs"].append(sorted(zip(labels.tolist(), logits.argmax(1).tolist(), strict=True)))
        seen["pictures"].append(float(pictures.mean()))
    hook.close()
    smd.del_hook()
    return seen


class Given:
    """A trial, and what was seen while it was written."""

    def __init__(self, path: Path, seen: dict[str, Any]) -> None:
        self.path, self.seen = path, seen


CUSTOM = {
    "custom_relu": ".*relu_output",
    "custom_tanh": "squash_input",
    "pictures": "Somebodys_input",
    "predictions": "Loss_input",
}


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Given:
    where = tmp_path_factory.mktemp("saved") / "trial"
    return Given(where, save(where, CUSTOM))


@pytest.fixture
def copied(given: Given, tmp_path: Path) -> Path:
    """The trial, to be damaged."""
    return Path(shutil.copytree(given.path, tmp_path / "trial"))


@pytest.fixture
def samples(given: Given) -> list[Sample]:
    return [event for event in read_trial(given.path) if isinstance(event, Sample)]


def losses(events: Iterator[Any] | list[Sample], mode: str) -> list[float]:
    return [value for event in events if isinstance(event, Sample) and event.mode == mode for _, value in event.losses]


def test_saved__losses_of_both_modes(given: Given, samples: list[Sample]) -> None:
    for mode in ("TRAIN", "EVAL"):
        assert losses(samples, mode) == pytest.approx(given.seen[mode], abs=1e-6)


def test_saved__values_are_those_that_smdebug_reads(given: Given, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMDEBUG_TRAINING_END_DELAY_REFRESH", "0")
    oracle, trial = smd.create_trial(str(given.path)), open_trial(given.path)
    assert {name for step in trial.steps for name in step.names} == set(oracle.tensor_names())
    modes = smd.modes
    for step in trial.steps:
        for name, found in zip(step.tensors, trial.read(list(step.tensors.values())), strict=True):
            assert found is not None
            np.testing.assert_array_equal(found[1], oracle.tensor(name).value(step.step, mode=modes[step.mode]))


def test_saved__steps_and_ends_of_epochs(samples: list[Sample]) -> None:
    train = [(sample.step, sample.epoch, sample.ends_epoch) for sample in samples if sample.mode == "TRAIN"]
    assert train == [(0, 0, False), (1, 0, False), (2, 0, True), (3, 1, False), (4, 1, False), (5, 1, True)]
    evaluations = [(sample.step, sample.epoch) for sample in samples if sample.mode == "EVAL" and sample.ends_epoch]
    assert evaluations == [(3, 0), (6, 1)]


def test_saved__seconds_rise(samples: list[Sample]) -> None:
    seconds = [sample.seconds for sample in samples]
    assert seconds[0] >= 0
    assert seconds == sorted(seconds)


def test_saved__pairs(given: Given, samples: list[Sample]) -> None:
    for mode, batches in (("TRAIN", (0, 1, 2, 5, 6, 7)), ("EVAL", (3, 4, 8, 9))):
        expected = sorted(pair for batch in batches for pair in given.seen["pairs"][batch])
        found = [entry for sample in samples if sample.mode == mode for entry in sample.pairs]
        assert sorted((true, predicted) for true, predicted, count in found for _ in range(count)) == expected


def test_saved__statistics_are_of_the_tensors(given: Given, samples: list[Sample]) -> None:
    before, after = given.seen["weights"][:2]
    expected = summarise(after, "weights", measure=Measure(), last=before)
    assert samples[1].tensors["Somebodys_out.weight"] == expected


def test_saved__measured_as_asked(given: Given) -> None:
    measure = Measure(tanh=(0.0, 1.0))
    (first, *_) = (event for event in read_trial(given.path, measure) if isinstance(event, Sample))
    stats = first.tensors["squash_input_0"]
    assert stats.active is not None
    assert summarise(torch.ones(2, 1), "tanh_inputs", measure=measure).active == (0.0,), "one is its end"


@pytest.mark.parametrize(
    ("name", "collection"),
    [
        ("relu_output_0", "relu_outputs"),
        ("squash_input_0", "tanh_inputs"),
        ("gradient/Somebodys_conv.weight", "gradients"),
        ("Somebodys_conv.bias", "biases"),
        ("Somebodys_input_0", "inputs"),
    ],
)
def test_saved__collections_of_names_that_are_not_ours(name: str, collection: str, samples: list[Sample]) -> None:
    assert samples[0].tensors[name].collection == collection


def test_saved__labels_and_losses_are_no_tensors(samples: list[Sample]) -> None:
    assert [name for sample in samples for name in sample.tensors if "Loss" in name] == []


def test_saved__pictures(given: Given) -> None:
    found = [event for event in read_trial(given.path) if isinstance(event, PictureStats)]
    assert [event.pictures for event in found] == [6] * 10
    assert [event.mean for event in found] == pytest.approx(given.seen["pictures"], abs=1e-5)


def test_saved__facts(given: Given) -> None:
    assert trial_facts(given.path) == Facts(num_classes=3)


def test_saved__activations_are_facts_where_all_were_looked_for(tmp_path: Path) -> None:
    save(tmp_path / "trial", {"relu_outputs": "relu_output", "tanh_inputs": "(?!)", "sigmoid_inputs": "(?!)"})
    assert trial_facts(tmp_path / "trial").activations == ("relu",)


def test_saved__reductions_alone(tmp_path: Path) -> None:
    seen = save(tmp_path / "trial", reduced=True)
    samples = [event for event in read_trial(tmp_path / "trial") if isinstance(event, Sample)]
    weight = seen["weights"][0]
    stats = samples[0].tensors["Somebodys_out.weight"]
    found = (stats.size, stats.mean, stats.abs_mean, stats.l2)
    assert found == pytest.approx((weight.numel(), *map(float, (weight.mean(), weight.abs().mean(), weight.norm()))))
    assert np.isnan(stats.variance)
    assert stats.update_l2 is None
    assert losses(samples, "TRAIN") == pytest.approx(seen["TRAIN"], abs=1e-6), "losses are saved whole"


def test_saved__a_script_without_modes_trained(tmp_path: Path) -> None:
    seen = save(tmp_path / "trial", modes=False)
    samples = [event for event in read_trial(tmp_path / "trial") if isinstance(event, Sample)]
    assert {sample.mode for sample in samples} == {"TRAIN"}
    assert len(losses(samples, "TRAIN")) == len(seen["TRAIN"]) + len(seen["EVAL"])


# -- bad input ----------------------------------------------------------------------------------------------------


def test_saved__half_an_event_file(copied: Path, given: Given) -> None:
    (file,) = copied.glob("events/000000000001/*.tfevents")
    file.write_bytes(file.read_bytes()[:-40])
    trial = open_trial(copied)
    names = list(trial.steps[1].tensors)
    found = trial.read([trial.steps[1].tensors[name] for name in names])
    assert [name for name, entry in zip(names, found, strict=True) if entry is None] == names[-1:]
    assert len(trial.damaged) == 1
    assert losses(read_trial(copied), "EVAL") == pytest.approx(given.seen["EVAL"], abs=1e-6)


def test_saved__a_missing_event_file(copied: Path, given: Given) -> None:
    (file,) = copied.glob("events/000000000001/*.tfevents")
    file.unlink()
    assert losses(read_trial(copied), "TRAIN") == pytest.approx([*given.seen["TRAIN"][:1], *given.seen["TRAIN"][2:]])


@pytest.mark.parametrize("content", ["", '{"meta": {"mode"', "[]", "{}"])
def test_saved__half_an_index_file(content: str, copied: Path, given: Given) -> None:
    (copied / "index/000000000/000000000002_worker_0.json").write_text(content)
    assert losses(read_trial(copied), "TRAIN") == pytest.approx([*given.seen["TRAIN"][:2], *given.seen["TRAIN"][3:]])


def test_saved__a_job_that_died_in_its_first_step(copied: Path, given: Given) -> None:
    shutil.rmtree(copied / "collections")
    (copied / "training_job_end.ts").unlink()
    assert losses(read_trial(copied), "TRAIN") == pytest.approx(given.seen["TRAIN"], abs=1e-6)


def test_saved__another_version(copied: Path) -> None:
    for file in copied.glob("index/*/*.json"):
        file.write_text(json.dumps({"version": 2, "tensors": []}))
    with pytest.raises(ConfigError, match="none of its 10 index files can be understood"):
        list(read_trial(copied))


def test_saved__no_such_path(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no"):
        list(read_trial(tmp_path / "nowhere"))


def test_saved__the_folder_above(given: Given) -> None:
    with pytest.raises(ConfigError, match=f"did you mean {given.path}"):
        list(read_trial(given.path.parent))


def test_saved__the_first_of_several_workers(copied: Path, given: Given) -> None:
    for file in list(copied.glob("index/*/*_worker_0.json")):
        content = json.loads(file.read_text())
        content["tensor_payload"] = content["tensor_payload"][:1]
        file.with_name(file.name.replace("worker_0", "worker_1")).write_text(json.dumps(content))
    trial: Trial = open_trial(copied)
    assert [step.number for step in trial.steps] == list(range(10))
    assert losses(read_trial(copied), "TRAIN") == pytest.approx(given.seen["TRAIN"], abs=1e-6)
