"""The hook on real runs, against what Lightning saw and what smdebug's own reader reads back."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
import yaml
from pytorch_lightning.plugins.precision import MixedPrecision
from torch import Tensor, nn
from torch.optim import SGD

from dogbreed.data.datamodule import BreedDataModule
from dogbreed.errors import ConfigError, OutputError
from dogbreed.features.cache import FeatureCache
from dogbreed.features.datamodule import FeatureDataModule
from dogbreed.features.engines import TorchEngine
from dogbreed.health.hook import SmdebugHook
from dogbreed.health.smdebug.config import needs_backbone
from dogbreed.health.smdebug.limits import unfit_versions
from dogbreed.models.backbones import Backbone, make_backbone
from dogbreed.models.classifier import BreedClassifier
from dogbreed.models.heads import Head, LinearHead, MLPHead

pytest.importorskip("smdebug")

CONF = Path(__file__).parents[2] / "conf/hook/smdebug.yaml"


def settings(out_dir: Path, **collections: Any) -> dict[str, Any]:
    """conf/hook/smdebug.yaml, with other or more collections."""
    content: dict[str, Any] = yaml.safe_load(CONF.read_text())
    del content["_target_"]
    return {**content, "out_dir": str(out_dir), "collections": {**content["collections"], **collections}}


class Losses(pl.Callback):
    """What Lightning sees of the losses: each batch's, by mode."""

    def __init__(self) -> None:
        self.train: list[float] = []
        self.val: list[float] = []

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, *_: Any) -> None:
        self.train.append(float(outputs["loss"]))

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        def keep(module: nn.Module, inputs: Any, output: Tensor) -> None:
            if not trainer.sanity_checking:
                self.val.append(float(output))

        self.handle = pl_module.plain_loss.register_forward_hook(keep)  # type: ignore[union-attr]

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.handle.remove()


def make(
    backbone: Backbone, folder: Path, head: Callable[..., Head] = LinearHead
) -> tuple[BreedClassifier, BreedDataModule]:
    data = BreedDataModule(folder, backbone.transform, batch_size=8, num_workers=0)
    arguments: dict[str, Any] = {"hidden": 8, "dropout": 0.0} if head is MLPHead else {}
    made = head(backbone.num_features, data.num_classes, **arguments)
    return BreedClassifier(backbone, made, data.class_names, optimizer=partial(SGD, lr=0.1)), data


def fit(model: BreedClassifier, data: Any, *callbacks: pl.Callback, **arguments: Any) -> pl.Trainer:
    given: dict[str, Any] = {"max_epochs": 2, "callbacks": list(callbacks), "accelerator": "cpu", "logger": False}
    quiet = ("enable_checkpointing", "enable_progress_bar", "enable_model_summary", "use_distributed_sampler")
    trainer = pl.Trainer(**{**given, **dict.fromkeys(quiet, False), **arguments})
    trainer.fit(model, data)
    return trainer


def saved(path: Path) -> Any:
    """The trial, read by smdebug itself."""
    from smdebug.trials import create_trial

    return create_trial(str(path))


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """smdebug waits a second for each trial that has ended."""
    monkeypatch.setenv("SMDEBUG_TRAINING_END_DELAY_REFRESH", "0")


Run = tuple[Any, Losses, BreedClassifier, Path]


@pytest.fixture(scope="module")
def run(shared_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """A run on pixels with a head of two layers, and its trial."""
    torch.manual_seed(0)
    where, losses = tmp_path_factory.mktemp("hook") / "smdebug", Losses()
    backbone = make_backbone("timm", "test_resnet", tag="r160_in1k", weights="none", image_size=32)
    model, data = make(backbone, shared_folder, MLPHead)
    everything = {"relu_outputs": {"layers": "all"}, "activation_inputs": {"layers": "all"}}
    fit(model, data, losses, SmdebugHook(**settings(where, **everything)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SMDEBUG_TRAINING_END_DELAY_REFRESH", "0")
        yield saved(where), losses, model, where


def values(trial: Any, name: str, mode: str) -> list[Any]:
    from smdebug import modes

    return list(trial.tensor(name).values(mode=modes[mode]).values())


def test_hook__losses_are_lightnings(run: Run) -> None:
    trial, losses, *_ = run
    assert values(trial, "CrossEntropyLoss_output_0", "TRAIN") == pytest.approx(losses.train, abs=1e-6)


def test_hook__losses_of_val_are_lightnings_without_the_sanity_check(run: Run) -> None:
    trial, losses, *_ = run
    assert len(losses.val) == 2 * 2  # epochs x batches of val
    assert values(trial, "CrossEntropyLoss_output_0", "EVAL") == pytest.approx(losses.val, abs=1e-6)


def test_hook__logits_and_labels_give_the_loss(run: Run) -> None:
    trial, losses, *_ = run
    logits, labels = (values(trial, f"CrossEntropyLoss_input_{position}", "EVAL") for position in (0, 1))
    pairs = zip(map(torch.from_numpy, logits), map(torch.from_numpy, labels), strict=True)
    again = [float(nn.functional.cross_entropy(*pair)) for pair in pairs]
    assert again == pytest.approx(losses.val, abs=1e-6)


def test_hook__gradients_are_of_what_is_trained(run: Run) -> None:
    trial, _, model, _ = run
    trained = {f"gradient/Network_{name}" for name, entry in model.network.named_parameters() if entry.requires_grad}
    assert set(trial.tensor_names(collection="gradients")) == trained


def test_hook__step_is_weight_minus_rate_times_gradient(run: Run) -> None:
    trial, *_ = run
    first, second = values(trial, "Network_head.layers.0.weight", "TRAIN")[:2]
    gradient = values(trial, "gradient/Network_head.layers.0.weight", "TRAIN")[0]
    np.testing.assert_allclose(second, first - 0.1 * gradient, atol=1e-7)


def test_hook__frozen_weights_are_left_out(run: Run) -> None:
    trial, *_ = run
    assert [name for name in trial.tensor_names() if name.startswith("Network_backbone")] == []


def test_hook__input_of_an_in_place_relu_is_what_it_read(run: Run) -> None:
    trial, *_ = run
    before, after = (values(trial, f"backbone.network.act1_{end}_0", "TRAIN")[0] for end in ("input", "output"))
    assert before.min() < 0
    np.testing.assert_array_equal(np.maximum(before, 0), after)


def test_hook__leaves_nothing_on_the_model(run: Run) -> None:
    *_, model, _ = run
    for module in model.modules():
        assert not module._forward_hooks
        assert not module._forward_pre_hooks
        assert not hasattr(module, "_module_name")
    assert not any(parameter._backward_hooks for parameter in model.parameters())
    assert all(layer.inplace for name, layer in model.network.backbone.named_modules() if name.endswith("act1"))


def test_hook__closes_its_files(run: Run) -> None:
    *_, where = run
    assert (where / "training_job_end.ts").is_file()
    assert list(where.rglob("*.tmp")) == []
    assert not (where / "claim.smd").exists()


@pytest.mark.parametrize("library", ["timm", "torchvision"])
def test_hook__relus_of_resnet18_are_found_by_their_type(library: str, shared_folder: Path, tmp_path: Path) -> None:
    backbone = make_backbone(library, "resnet18", weights="none", image_size=64)
    model, data = make(backbone, shared_folder)
    hook = SmdebugHook(**settings(tmp_path / "smdebug", relu_outputs={"layers": "all"}))
    fit(model, data, hook, max_epochs=1, limit_train_batches=1, limit_val_batches=1, num_sanity_val_steps=0)
    found = saved(tmp_path / "smdebug").tensor_names(collection="relu_outputs")
    assert len(found) == 17  # one at the stem, two in each of the 8 blocks
    assert all("relu" in name or "act" in name for name in found)


def test_hook__a_jobs_expression_for_relus_finds_timms(
    backbone: Backbone, shared_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = {
        "LocalPath": str(tmp_path / "tensors"),
        "HookParameters": {"train.save_interval": "2", "eval.save_interval": "1"},
        "CollectionConfigurations": [
            {"CollectionName": "losses", "CollectionParameters": None},
            {"CollectionName": "custom_relu", "CollectionParameters": {"include_regex": ".*relu_output"}},
        ],
    }
    (tmp_path / "input/config").mkdir(parents=True)
    (tmp_path / "input/config/debughookconfig.json").write_text(json.dumps(job))
    monkeypatch.setenv("SAGEMAKER_BASE_DIR", str(tmp_path))
    model, data = make(backbone, shared_folder)
    fit(model, data, SmdebugHook(**settings(tmp_path / "unused")), max_epochs=1)
    from smdebug import modes

    trial = saved(tmp_path / "tensors")
    assert trial.steps(modes.TRAIN) == [0, 2]
    assert trial.steps(modes.EVAL) == [0, 1]
    assert "backbone.network.layer1.0.act1_output_0" in trial.tensor_names(collection="custom_relu")
    assert not (tmp_path / "unused").exists()


def test_hook__intervals_of_a_collection(backbone: Backbone, shared_folder: Path, tmp_path: Path) -> None:
    often = {"save_interval": {"train": 2, "eval": None}}
    given = settings(tmp_path / "smdebug", weights=often, biases={"save_interval": {"eval": 1}}, gradients=None)
    given["save_steps"] = {"train": [], "eval": []}
    given["save_interval"] = {"train": 3, "eval": None}
    model, data = make(backbone, shared_folder)
    fit(model, data, SmdebugHook(**given), max_epochs=1)
    trial = saved(tmp_path / "smdebug")
    assert "gradient/Network_head.linear.weight" not in trial.tensor_names()
    from smdebug import modes

    weight, bias = (trial.tensor(f"Network_head.linear.{name}") for name in ("weight", "bias"))
    assert (weight.steps(modes.TRAIN), weight.steps(modes.EVAL)) == ([0, 2], [])
    assert (bias.steps(modes.TRAIN), bias.steps(modes.EVAL)) == ([0, 3], [0, 1])


def test_hook__own_collections_by_module_and_by_name(backbone: Backbone, shared_folder: Path, tmp_path: Path) -> None:
    norms = {"modules": ["torch.nn.BatchNorm2d"], "tensors": "outputs", "layers": "all"}
    frozen = {"include_regex": r"^Network_backbone.*bn1\.weight$", "reductions": ["mean", "l2_norm"]}
    model, data = make(backbone, shared_folder)
    hook = SmdebugHook(**settings(tmp_path / "smdebug", norms=norms, frozen=frozen))
    fit(model, data, hook, max_epochs=1, limit_train_batches=1, limit_val_batches=0)
    trial = saved(tmp_path / "smdebug")
    expected = sum(isinstance(layer, nn.BatchNorm2d) for layer in backbone.modules())
    assert len(trial.tensor_names(collection="norms")) == expected > 0
    name = "Network_backbone.network.bn1.weight"
    weight = dict(backbone.network.named_parameters())["bn1.weight"]
    assert trial.tensor(name).reduction_value(0, "l2") == pytest.approx(float(weight.norm()), rel=1e-6)


def test_hook__on_features_sees_head_and_loss(backbone: Backbone, shared_folder: Path, tmp_path: Path) -> None:
    model, data = make(backbone, shared_folder)
    splits = {name: data.pictures(name) for name in ("train", "val", "test")}
    loaded = FeatureCache(tmp_path / "cache").load(backbone, TorchEngine(backbone), splits, workers=0)
    features = FeatureDataModule(loaded.views, batch_size=8, seed=0, source=data)
    losses = Losses()
    fit(model, features, losses, SmdebugHook(**settings(tmp_path / "smdebug")))
    trial = saved(tmp_path / "smdebug")
    assert values(trial, "CrossEntropyLoss_output_0", "TRAIN") == pytest.approx(losses.train, abs=1e-6)
    assert values(trial, "head_input_0", "TRAIN")[0].shape == (8, backbone.num_features)
    assert [name for name in trial.tensor_names() if name.startswith("backbone")] == []


def test_hook__gradients_of_mixed_precision_are_unscaled(
    backbone: Backbone, shared_folder: Path, tmp_path: Path
) -> None:
    model, data = make(backbone, shared_folder)
    mixed = MixedPrecision("16-mixed", "cpu", torch.amp.GradScaler("cpu", init_scale=1024.0))
    fit(model, data, SmdebugHook(**settings(tmp_path / "smdebug")), max_epochs=1, plugins=[mixed])
    trial = saved(tmp_path / "smdebug")
    first, second = values(trial, "Network_head.linear.weight", "TRAIN")[:2]
    gradient = values(trial, "gradient/Network_head.linear.weight", "TRAIN")[0]
    np.testing.assert_allclose(second, first - 0.1 * gradient, atol=1e-7)


def test_hook__a_second_fit_in_the_same_process(backbone: Backbone, shared_folder: Path, tmp_path: Path) -> None:
    model, data = make(backbone, shared_folder)
    for name in ("first", "second"):
        losses = Losses()
        fit(model, data, losses, SmdebugHook(**settings(tmp_path / name)), max_epochs=1)
        assert values(saved(tmp_path / name), "CrossEntropyLoss_output_0", "TRAIN") == pytest.approx(
            losses.train, abs=1e-6
        )


class Fail(pl.Callback):
    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
        if trainer.global_step == 2:
            raise RuntimeError("in the middle")


def test_hook__closed_after_an_exception(backbone: Backbone, shared_folder: Path, tmp_path: Path) -> None:
    model, data = make(backbone, shared_folder)
    with pytest.raises(RuntimeError, match="in the middle"):
        fit(model, data, SmdebugHook(**settings(tmp_path / "smdebug")), Fail())
    assert len(values(saved(tmp_path / "smdebug"), "CrossEntropyLoss_output_0", "TRAIN")) == 2
    assert not any(module._forward_hooks for module in model.modules())


def test_hook__errors_of_smdebug_come_out(backbone: Backbone, shared_folder: Path, tmp_path: Path) -> None:
    model, data = make(backbone, shared_folder)
    model.network.head.bfloat16()  # which smdebug cannot save, nor can our check of the precision see it
    given = settings(tmp_path / "smdebug")
    given["collections"] = {"losses": given["collections"]["losses"]}  # smdebug's default, under which it swallows them
    with pytest.raises(TypeError, match="BFloat16"):
        fit(model, data, SmdebugHook(**given))


def test_hook__names_a_folder_that_cannot_be_written(backbone: Backbone, shared_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    model, data = make(backbone, shared_folder)
    with pytest.raises(OutputError, match="file/smdebug cannot be written"):
        fit(model, data, SmdebugHook(**settings(tmp_path / "file/smdebug")))


def test_hook__a_full_disk_ends_the_run(backbone: Backbone, shared_folder: Path, tiny_disk: Path) -> None:
    model, data = make(backbone, shared_folder)
    with pytest.raises(OutputError, match="smdebug cannot be written: No space left"):
        fit(model, data, SmdebugHook(**{**settings(tiny_disk / "smdebug"), "save_all": True}))


def test_hook__refuses_a_folder_with_a_trial(backbone: Backbone, shared_folder: Path, run: Run) -> None:
    *_, where = run
    model, data = make(backbone, shared_folder)
    with pytest.raises(OutputError, match="holds a trial already"):
        fit(model, data, SmdebugHook(**settings(where)))


def test_hook__refuses_bfloat16(backbone: Backbone, shared_folder: Path, tmp_path: Path) -> None:
    model, data = make(backbone, shared_folder)
    with pytest.raises(ConfigError, match="numpy, in which smdebug saves, has no bfloat16"):
        fit(model, data, SmdebugHook(**settings(tmp_path / "smdebug")), precision="bf16-mixed")


@pytest.mark.parametrize("inner", [pytest.param(True, marks=pytest.mark.slow), False], ids=["wrapped", "in place"])
def test_hook__refuses_what_is_compiled(inner: bool, backbone: Backbone, shared_folder: Path, tmp_path: Path) -> None:
    model, data = make(backbone, shared_folder)
    if inner:
        compiled: Any = torch.compile(model.network.head)
        model.network.head = compiled
    else:
        model.network.head.compile()
    with pytest.raises(ConfigError, match=r"torch\.compile"):
        fit(model, data, SmdebugHook(**settings(tmp_path / "smdebug")))


def test_hook__refuses_sagemakers_checkpoints_with_several_processes(
    backbone: Backbone, shared_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "checkpointconfig.json").write_text("{}")
    monkeypatch.setenv("CHECKPOINT_CONFIG_FILE_PATH", str(tmp_path / "checkpointconfig.json"))
    model, _ = make(backbone, shared_folder)
    hook = SmdebugHook(**settings(tmp_path / "smdebug"))
    trainer = pl.Trainer(accelerator="cpu", devices=2, strategy="ddp", logger=False, enable_checkpointing=False)
    with pytest.raises(ConfigError, match="2 processes and SageMaker's checkpoints"):
        hook.setup(trainer, model, "fit")


@pytest.mark.parametrize(
    ("installed", "refused"),
    [
        ({"numpy": "2.2.6", "protobuf": "3.20.3"}, []),
        ({"numpy": "2.3.0", "protobuf": "3.20.3"}, ["numpy 2.3.0"]),
        ({"numpy": "1.26.4", "protobuf": "4.25.1"}, ["protobuf 4.25.1"]),
    ],
)
def test_hook__refuses_versions(installed: dict[str, str], refused: list[str]) -> None:
    found = [error.got for error in unfit_versions(installed)]
    assert [any(part in got for got in found) for part in refused] == [True] * len(found)


WRONG: list[tuple[Callable[[dict[str, Any]], Any], str]] = [
    (lambda given: given["collections"].update(gradiens={}), "did you mean gradients"),
    (lambda given: given["collections"]["losses"].update(save_intervall={}), "did you mean save_interval"),
    (lambda given: given["collections"]["relu_outputs"].update(layers="tail"), "layers=tail"),
    (lambda given: given["save_interval"].update(train=0), "save_interval.train=0"),
    (lambda given: given["save_interval"].update(training=5), "save_interval.training"),
    (lambda given: given["save_steps"].update(train=["a"]), "save_steps.train"),
    (lambda given: given["collections"].update(mine={"include_regex": "a("}), "include_regex=a("),
    (lambda given: given["collections"].update(mine={"include_regex": "a{1,2}"}), "no comma"),
    (lambda given: given["collections"]["weights"].update(reductions=["varience"]), "did you mean variance"),
    (
        lambda given: given["collections"].update(
            mine={"modules": ["torch.nn.No"], "tensors": "inputs", "layers": "all"}
        ),
        "torch.nn.No",
    ),
]


@pytest.mark.parametrize(("change", "named"), WRONG, ids=[named for _, named in WRONG])
def test_hook__names_a_setting_that_is_wrong(change: Any, named: str, tmp_path: Path) -> None:
    given = settings(tmp_path)
    change(given)
    with pytest.raises(ConfigError, match=re.escape(named)):
        SmdebugHook(**given)


@pytest.mark.parametrize("content", ["", "[]", '{"CollectionConfigurations": [{}]}'])
def test_hook__names_a_jobs_file_that_is_wrong(content: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "hook.json").write_text(content)
    monkeypatch.setenv("SMDEBUG_CONFIG_FILE_PATH", str(tmp_path / "hook.json"))
    with pytest.raises(ConfigError, match=r"hook\.json cannot be read"):
        SmdebugHook(**settings(tmp_path / "smdebug"))


@pytest.mark.parametrize(
    ("collections", "pixels"),
    [
        ({}, False),
        ({"relu_outputs": {"layers": "all"}}, True),
        ({"inputs": {"layers": "all"}}, True),
        ({"mine": {"include_regex": "head"}}, False),
        ({"mine": {"include_regex": "Network_backbone"}}, False),
        ({"mine": {"include_regex": ".*relu_output"}}, True),
        ({"mine": {"include_regex": ["CrossEntropyLoss", "layer4"]}}, True),
        ({"mine": None}, False),
    ],
)
def test_needs_backbone__says_why(collections: dict[str, Any], pixels: bool, tmp_path: Path) -> None:
    why = needs_backbone(settings(tmp_path, **collections), {})
    assert (why is not None) == pixels
    assert why is None or next(iter(collections)) in why


@pytest.mark.parametrize(
    ("collection", "named"),
    [
        ({"include_regex": "a("}, "hook.collections.mine.include_regex=a("),
        ({"include_regex": 5}, "hook.collections.mine.include_regex=5"),
        ({"include_regex": "relu", "save_interval": 5}, "hook.collections.mine.save_interval=5"),
        (5, "hook.collections.mine=5"),
    ],
)
def test_needs_backbone__names_a_setting_that_is_wrong(collection: Any, named: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=re.escape(named)):
        needs_backbone(settings(tmp_path, mine=collection), {})


def test_needs_backbone__names_a_setting_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="hook has no save_all"):
        needs_backbone({key: value for key, value in settings(tmp_path).items() if key != "save_all"}, {})


def asked_of_a_job(folder: Path, *collections: dict[str, Any]) -> str | None:
    """What `needs_backbone` says where a job's own file asks for these collections."""
    (folder / "hook.json").write_text(json.dumps({"CollectionConfigurations": collections}))
    return needs_backbone(settings(folder), {"SMDEBUG_CONFIG_FILE_PATH": str(folder / "hook.json")})


@pytest.mark.parametrize(("regex", "named"), [("*relu", r"\*relu of the collection mine"), (5, "no text")])
def test_needs_backbone__names_an_expression_of_a_job_that_is_wrong(regex: Any, named: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=rf"hook\.json.*{named}"):
        asked_of_a_job(tmp_path, {"CollectionName": "mine", "CollectionParameters": {"include_regex": regex}})


def test_needs_backbone__of_a_job_that_collects_all(tmp_path: Path) -> None:
    assert asked_of_a_job(tmp_path, {"CollectionName": "losses"}) is None
    assert "the collection all" in str(asked_of_a_job(tmp_path, {"CollectionName": "all"}))


def test_needs_backbone__of_no_hook_and_of_all() -> None:
    assert needs_backbone(None) is None
    assert "save_all" in str(needs_backbone({**settings(Path()), "save_all": True}, {}))


PROGRAM = """
import sys
from functools import partial
from pathlib import Path
import pytorch_lightning as pl
sys.path.insert(0, {here!r})
from test_hook import SmdebugHook, fit, make, settings
from dogbreed.models.backbones import make_backbone

class Say(pl.Callback):
    def on_train_batch_end(self, trainer, *_):
        if trainer.global_step == 3:
            print("three steps", flush=True)

backbone = make_backbone("timm", "test_resnet", tag="r160_in1k", weights="none", image_size=32)
model, data = make(backbone, Path({folder!r}))
fit(model, data, SmdebugHook(**settings(Path({out!r}))), Say(), max_epochs=10_000)
"""


@pytest.mark.slow
def test_hook__closed_after_sigterm(shared_folder: Path, tmp_path: Path) -> None:
    program = PROGRAM.format(here=str(Path(__file__).parent), folder=str(shared_folder), out=str(tmp_path / "smdebug"))
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=dict(os.environ)
    )
    assert process.stdout is not None
    while "three steps" not in (line := process.stdout.readline()):
        assert line or process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=60)
    assert (tmp_path / "smdebug/training_job_end.ts").is_file()
    assert list((tmp_path / "smdebug").rglob("*.tmp")) == []
    assert len(values(saved(tmp_path / "smdebug"), "CrossEntropyLoss_output_0", "TRAIN")) >= 3
    assert "Traceback" not in err
