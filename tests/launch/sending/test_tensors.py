"""Names that are told without training, against those that smdebug saves of a real run."""

from __future__ import annotations

from pathlib import Path

import hydra
import pytest

import dogbreed.train
from dogbreed.app import prepare
from launch.sending.tensors import tensor_names
from tests.conftest import Command

pytest.importorskip("smdebug")


@pytest.mark.slow
def test_tensor_names__are_those_that_smdebug_saves(
    command: Command, small_run: list[str], shared_folder: Path, tmp_path: Path
) -> None:
    from smdebug.trials import create_trial

    saved = [*small_run, "head=mlp", "hook=smdebug", "hook.save_all=true", "hook.save_interval.train=1"]
    where = [f"data.root={shared_folder}", f"hydra.run.dir={tmp_path}/run", "trainer.max_epochs=1"]
    ended = command(dogbreed.train.main, *saved, *where)
    assert ended.code == 0, ended.err
    names = {name.removeprefix("detach/") for name in create_trial(str(tmp_path / "run/smdebug")).tensor_names()}
    prepare()
    with hydra.initialize_config_module("dogbreed.conf", version_base="1.3"):
        config = hydra.compose("train", overrides=[*saved, f"paths.output_dir={tmp_path}"])
    told = set(tensor_names(config))
    assert names <= told
    assert {name for name in told if "head" in name} <= names
