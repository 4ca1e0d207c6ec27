"""Files that would run if anything unpickled them, in every place that a command reads."""

from __future__ import annotations

import hashlib
import io
import json
import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

import dogbreed.features.__main__ as features
import dogbreed.health.__main__ as health
import dogbreed.predict
import dogbreed.report
import dogbreed.train
from dogbreed.data.exclusions import read_exclusions
from dogbreed.data.images import decode_image
from dogbreed.errors import ArtifactError, CheckpointError, ConfigError, ImageError, RequestError, WeightsError
from dogbreed.exports.formats import export_folder
from dogbreed.exports.loading import load_forward
from dogbreed.models.weights import load_weights
from dogbreed.serving.artifact import load_artifact
from dogbreed.serving.exchange import MEDIA_TYPES, read_question
from dogbreed.training.interruption import check_checkpoint

Command = Callable[..., Any]
FORMS = ("pickle", "numpy", "yaml", "torch", "legacy")


def test_canary__sings_for_who_trusts_it(canary: Any) -> None:
    trusting: dict[str, Callable[[bytes], object]] = {
        "pickle": pickle.loads,
        "numpy": lambda content: np.load(io.BytesIO(content), allow_pickle=True),
        "yaml": yaml.unsafe_load,
        "torch": lambda content: torch.load(io.BytesIO(content), weights_only=False),
        "legacy": lambda content: torch.load(io.BytesIO(content), weights_only=False),
    }
    for form, content in canary.all().items():
        trusting[form](content)
        assert canary.path.exists(), form
        canary.path.unlink()


@pytest.mark.parametrize("form", FORMS)
def test_weights__are_not_run(form: str, canary: Any, tmp_path: Path) -> None:
    for name in ("weights.pth", "weights.safetensors", "weights.npy"):
        (tmp_path / name).write_bytes(canary.all()[form])
        with pytest.raises(WeightsError):
            load_weights(tmp_path / name)


@pytest.mark.parametrize("form", FORMS)
def test_checkpoint__is_not_run(form: str, canary: Any, tmp_path: Path) -> None:
    (tmp_path / "last.ckpt").write_bytes(canary.all()[form])
    with pytest.raises(CheckpointError):
        check_checkpoint(tmp_path / "last.ckpt")


@pytest.mark.parametrize("name", ["last.ckpt", "best.ckpt"])
def test_train__does_not_run_a_checkpoint(
    name: str, canary: Any, command: Command, small_run: list[str], trained_run: Path, folder: Path, tmp_path: Path
) -> None:
    run = shutil.copytree(trained_run, tmp_path / "run")
    (run / "checkpoints" / name).write_bytes(canary.torch())

    settings = [
        f"data.root={folder}",
        f"hydra.run.dir={run}",
        "trainer.max_epochs=2",
        "data.batch_size=8",
        "resume=true",
    ]
    ended = command(dogbreed.train.main, *small_run, *settings, "optimizer.lr=3")

    assert (ended.code, ended.err.count("\n")) == (1, 3), ended.err
    assert ended.err.startswith(f"error: {run}/checkpoints/{name} is damaged")


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", ["artifact.json", "weights.safetensors"])
def test_artifact__is_not_run(name: str, form: str, canary: Any, artifact: Path) -> None:
    (artifact / name).write_bytes(canary.all()[form])
    if name == "weights.safetensors":  # not even where whoever sends it has counted the checksum anew
        about = json.loads((artifact / "artifact.json").read_text())
        about["weights_sha256"] = hashlib.sha256(canary.all()[form]).hexdigest()
        (artifact / "artifact.json").write_text(json.dumps(about))

    with pytest.raises(ArtifactError):
        load_artifact(artifact)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("engine", "files"), [("torch_export", ("model.pt2",)), ("openvino", ("model.xml", "model.bin"))]
)
def test_export__is_not_run(engine: str, files: tuple[str, ...], form: str, canary: Any, artifact: Path) -> None:
    if engine == "openvino":
        pytest.importorskip("openvino")
    folder = export_folder(artifact, engine)
    folder.mkdir(parents=True)
    for name in files:
        (folder / name).write_bytes(canary.all()[form])
    about = json.loads((artifact / "artifact.json").read_text())
    sums = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in files}
    described = {"format": engine, "weights_sha256": about["weights_sha256"], "files": sums}
    (folder / "export.json").write_text(json.dumps(described))

    with pytest.raises(ArtifactError):
        load_forward(artifact, engine, load_artifact(artifact))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("media_type", MEDIA_TYPES)
def test_request__is_not_run(media_type: str, form: str, canary: Any) -> None:
    with pytest.raises((RequestError, ImageError)):
        decode_image(read_question(canary.all()[form], media_type).pictures[0])  # type: ignore[arg-type]


@pytest.mark.parametrize("form", FORMS)
def test_picture_and_list__are_not_run(form: str, canary: Any, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_bytes(canary.all()[form])
    with pytest.raises(ConfigError):
        read_exclusions(tmp_path / "list.csv", folder)
    with pytest.raises(ImageError):
        decode_image(canary.all()[form])


@pytest.mark.parametrize("form", FORMS)
def test_report_and_replay__run_no_file_of_a_run(
    form: str, canary: Any, command: Command, trained_run: Path, tmp_path: Path
) -> None:
    run = shutil.copytree(trained_run, tmp_path / "run")
    for path in run.rglob("*"):
        if path.is_file():
            path.write_bytes(canary.all()[form])

    ended = command(lambda: dogbreed.report.main([str(run)]))
    assert (ended.code, ended.err) == (0, "")
    ended = command(lambda: health.main(["replay", str(run)]))
    assert (ended.code, ended.err.count("\n")) == (1, 3), ended.err


@pytest.mark.parametrize("form", ["pickle", "numpy"])
def test_feature_cache__is_not_run(
    form: str, canary: Any, command: Command, small_run: list[str], folder: Path, tmp_path: Path
) -> None:
    cache = tmp_path / "features"

    def train(name: str) -> Any:
        settings = [f"data.root={folder}", f"features.root={cache}", f"hydra.run.dir={tmp_path / name}"]
        ended = command(dogbreed.train.main, *small_run, *settings, "trainer.max_epochs=1", "logger=none")
        assert ended.code == 0, ended.err
        return json.loads((tmp_path / name / "metrics.json").read_text())

    before = train("before")
    for path in cache.rglob("*"):
        if path.is_file():
            path.write_bytes(canary.all()[form])
    for arguments in (["list"], ["verify"]):
        ended = command(lambda chosen=arguments: features.main(["--root", str(cache), *chosen]))
        assert ended.code in (0, 1), ended.err
    assert train("after") == before


@pytest.mark.parametrize("dtype", ["object", "O", "V8", "S4"])
def test_feature_cache__of_another_kind_of_numbers_is_not_read(
    dtype: str, canary: Any, command: Command, tmp_path: Path
) -> None:
    store = tmp_path / "features" / "0123456789abcdef"
    store.mkdir(parents=True)
    (store / "about.json").write_text(json.dumps({"num_features": 2, "dtype": dtype}))
    (store / "features.bin").write_bytes(canary.pickle() * 100)

    ended = command(lambda: features.main(["--root", str(tmp_path / "features"), "verify"]))
    assert ended.code in (0, 1), ended.err


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("folder_name", ["index", "events", "collections"])
def test_trial_of_smdebug__is_not_run(
    folder_name: str, form: str, canary: Any, command: Command, tmp_path: Path
) -> None:
    trial = tmp_path / "trial"
    index = {
        "meta": {"mode": "TRAIN", "mode_step": 0, "event_file_name": "events/000000000000/0_worker_0.tfevents"},
        "tensor_payload": [{"tensorname": "loss_output_0", "start_idx": 0, "length": 50}],
        "shape_payload": [],
    }
    contents = {
        "index": ("index/000000000/000000000000_worker_0.json", json.dumps(index).encode()),
        "events": ("events/000000000000/0_worker_0.tfevents", bytes(50)),
        "collections": ("collections/000000000/worker_0_collections.json", b'{"collections": {}}'),
    }
    contents[folder_name] = (contents[folder_name][0], canary.all()[form])
    for name, content in contents.values():
        (trial / name).parent.mkdir(parents=True)
        (trial / name).write_bytes(content)

    for arguments in (["replay", str(trial)], ["tensors", str(trial)]):
        ended = command(lambda chosen=arguments: health.main(chosen))
        assert ended.code in (0, 1)
        assert "Traceback" not in ended.err


@pytest.mark.slow
def test_downloaded_weights__are_not_run(canary: Any, tmp_path: Path) -> None:
    """In the caches of torch.hub and of the hub of timm's models, which any program of the user writes to."""
    hub = tmp_path / "torch/hub/checkpoints"
    hub.mkdir(parents=True)
    (hub / "resnet18-f37072fd.pth").write_bytes(canary.torch(legacy=True))
    repository = tmp_path / "hub/models--timm--resnet18.a1_in1k"
    for name in ("pytorch_model.bin", "model.safetensors"):
        file = repository / "snapshots/0123" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(canary.torch())
    (repository / "refs").mkdir()
    (repository / "refs/main").write_text("0123")
    caches = {"TORCH_HOME": str(tmp_path / "torch"), "HF_HUB_CACHE": str(tmp_path / "hub"), "HF_HUB_OFFLINE": "1"}
    code = (
        "from dogbreed.models.backbones import make_backbone\n"
        "from dogbreed.errors import WeightsError\n"
        "for library, tag in (('torchvision', 'IMAGENET1K_V1'), ('timm', 'a1_in1k')):\n"
        "    try:\n"
        "        make_backbone(library, 'resnet18', tag=tag)\n"
        "    except WeightsError as error:\n"
        "        print(error.got)\n"
    )

    for drop in (None, "model.safetensors"):  # without it, timm takes the other
        if drop is not None:
            (repository / "snapshots/0123" / drop).unlink()
        ran = subprocess.run([sys.executable, "-c", code], env={**os.environ, **caches}, capture_output=True, text=True)
        assert (ran.returncode, ran.stdout.count("\n")) == (0, 2), ran.stdout + ran.stderr
