"""Every mistake that a user can make with a command ends in one clear error."""

from __future__ import annotations

import re
import runpy
import shlex
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import save_file

import dogbreed.evaluate
import dogbreed.predict
import dogbreed.train
from dogbreed.models.backbones import Backbone

Command = Callable[..., Any]
Refused = Callable[..., str]


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """Where a run leaves its files."""
    return tmp_path / "out"


@pytest.fixture
def refused(command: Command, small_run: list[str], out: Path) -> Refused:
    """Runs dogbreed.train where that must fail, and gives what it says: refused(*overrides)."""

    def run(*overrides: object) -> str:
        settings = ["logger=none", "trainer.max_epochs=1", f"hydra.run.dir={out}"]
        return check(command(dogbreed.train.main, *small_run, *settings, *overrides))

    return run


@pytest.fixture
def trained(command: Command, small_run: list[str], out: Path) -> Callable[..., Path]:
    """Runs dogbreed.train where that must succeed, and gives its directory: trained(*overrides)."""

    def run(*overrides: object) -> Path:
        settings = ["logger=none", "trainer.max_epochs=1", f"hydra.run.dir={out}"]
        ended = command(dogbreed.train.main, *small_run, *settings, *overrides)
        assert ended.code == 0, ended.err
        return out

    return run


def check(ended: Any) -> str:
    """What a command says that failed as it should: what it got, what is allowed, what to do, and nothing else."""
    assert ended.code == 1
    assert re.fullmatch(r"error: .+\n  allowed: .+\n  what to do: .+\n", ended.err), ended.err
    return str(ended.err)


def cut(path: Path, share: float = 0.5) -> Path:
    """The file, with the rest of it gone."""
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    return path


def pictures_of(folder: Path, split: str) -> list[Path]:
    return sorted((folder / split).glob("*/*.jpg"))


# --- the data


def test_train__without_the_data_folder(refused: Refused, tmp_path: Path) -> None:
    assert f"no data set at {tmp_path}/nowhere" in refused(f"data.root={tmp_path}/nowhere")


def test_train__without_arguments_names_the_command_to_try(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    assert "python -m dogbreed.train experiment=quickstart" in check(command(dogbreed.train.main))


def test_train__on_an_empty_folder(refused: Refused, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()

    assert "which holds nothing" in refused(f"data.root={tmp_path}/empty")


def test_train__on_class_folders_without_a_picture(refused: Refused, folder: Path) -> None:
    for picture in pictures_of(folder, "train"):
        picture.unlink()

    assert f"no picture in {folder}/train" in refused(f"data.root={folder}")


def test_train__on_a_single_class(refused: Refused, folder: Path) -> None:
    for name in ("002.Breed_B", "003.Breed_C", "004.Breed_D"):
        shutil.rmtree(folder / "train" / name)

    assert "1 class in" in refused(f"data.root={folder}")


def test_train__on_an_unknown_class_in_val(refused: Refused, folder: Path) -> None:
    (folder / "valid" / "005.Breed_E").mkdir()

    assert "005.Breed_E is none of the 4 classes" in refused(f"data.root={folder}")


@pytest.mark.parametrize("split", ["train", "valid", "test"])
def test_train__on_an_unreadable_file(split: str, refused: Refused, folder: Path) -> None:
    bad = cut(pictures_of(folder, split)[3])

    message = refused(f"data.root={folder}")
    assert f"{bad} cannot be read" in message
    assert "data.on_error=skip" in message


@pytest.mark.parametrize("split", ["train", "valid", "test"])
def test_train__lists_an_unreadable_file_that_it_skips(split: str, trained: Callable[..., Path], folder: Path) -> None:
    bad = cut(pictures_of(folder, split)[3])

    directory = trained(f"data.root={folder}", "data.on_error=skip")
    rows = (directory / "skipped.csv").read_text().splitlines()
    assert rows[0] == "split,path,reason"
    assert [row.split(",")[:2] for row in rows[1:]] == [[split.replace("valid", "val"), str(bad)]]


def test_evaluate__on_an_unreadable_file(command: Command, trained_run: Path, folder: Path, out: Path) -> None:
    bad = cut(pictures_of(folder, "test")[3])
    settings = [f"artifact={trained_run}/artifact", f"data.root={folder}", "trainer.accelerator=cpu"]

    ended = command(dogbreed.evaluate.main, *settings, "data.num_workers=0", f"hydra.run.dir={out}")
    assert f"{bad} cannot be read" in check(ended)


@pytest.fixture(scope="module")
def huge_picture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small file of 30,000 x 30,000 pixels, 2.7 GB once it is decoded."""
    path = tmp_path_factory.mktemp("huge") / "huge.png"
    Image.new("1", (30_000, 30_000)).save(path, compress_level=1)
    return path


def test_train__on_a_huge_picture(refused: Refused, folder: Path, huge_picture: Path) -> None:
    shutil.copy(huge_picture, folder / "train" / "001.Breed_A" / "huge.png")

    assert "huge.png" in refused(f"data.root={folder}")


def test_train__skips_a_huge_picture(trained: Callable[..., Path], folder: Path, huge_picture: Path) -> None:
    shutil.copy(huge_picture, folder / "train" / "001.Breed_A" / "huge.png")

    assert "huge.png" in (trained(f"data.root={folder}", "data.on_error=skip") / "skipped.csv").read_text()


def test_predict__on_a_huge_picture(command: Command, trained_run: Path, huge_picture: Path) -> None:
    ended = command(dogbreed.predict.main, "--artifact", trained_run / "artifact", huge_picture)

    assert (ended.code, ended.out, "huge.png" in ended.err) == (1, "", True)


# --- the overrides


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("data.batchsize=3", "there is no data.batchsize in the config (did you mean data.batch_size"),
        ("batch_size=3", "did you mean data.batch_size"),
        ("dat=folder", "did you mean data?"),
        ("+data.batchsize=3", "unexpected keyword argument 'batchsize'"),
        ("optimizer.momentumm=0", "did you mean optimizer.momentum"),
        ("backbone=resnet81", "backbone=resnet81, which does not exist (did you mean resnet18, resnet50"),
        ("optimizer=sdg", "did you mean sgd?"),
        ("experiment=quick", "did you mean quickstart?"),
        ("backbone=null", "error: "),
        ("data.batch_size=abc", "data.batch_size=abc\n  allowed: a whole number\n"),
        ("data.batch_size=0", "data.batch_size=0"),
        ("data.num_workers=-1", "data.num_workers=-1"),
        ("data.on_error=ignore", "raise or skip"),
        ("data.val_fraction=-1", "data.val_fraction=-1\n  allowed: a number between 0 and 1, or null"),
        ("data.exclude=''", "another kind), a path, or null, not empty"),
        ("trainer.max_epochs=abc", "trainer.max_epochs=abc\n  allowed: a whole number >= 1"),
        ("trainer.max_epochs=0", "trainer.max_epochs=0"),
        ("trainer.max_epochs=-1", "trainer.max_epochs=-1"),
        ("trainer.max_epochs=null", "trainer.max_epochs=None"),
        ("trainer.accumulate_grad_batches=0", "trainer.accumulate_grad_batches=0"),
        ("trainer.precision=17", "trainer.precision=17\n  allowed: 64, 32, 16, transformer-engine"),
        ("trainer.devices=0", "devices=0"),
        ("trainer.profiler=true", "trainer.profiler=True\n  allowed: a Profiler by its _target_, a text"),
        ("callbacks.checkpoint=5", "callbacks.checkpoint=5\n  allowed: a section"),
        ("+logger.mine=[5]", "logger.mine=[5]\n  allowed: a section"),
        ("callbacks.checkpoint.monitor=val/f2", "set callbacks.checkpoint.monitor to one of them"),
        ("callbacks.epochs.path='.'", "'.' as a name to write to"),
        ("paths.artifact=.", "'.' as a name to write to"),
        ("paths.checkpoints=5", "paths.checkpoints=5\n  allowed: a path"),
        ("paths.output_dir=''", "paths.output_dir=\n  allowed: a path"),
        ("paths.artifact=null", "paths.artifact=null\n  allowed: a path"),
        ("features.root=5", "features.root=5\n  allowed: a text"),
        ("health.rules=5", "health.rules=5\n  allowed: a section"),
        ("health.rules=''", "health.rules=\n  allowed: a section"),
        ("+health.rules.mine=1.5", "health.rules.mine=1.5\n  allowed: a section"),
        ("health.rules.Overfit.patience=soon", "health.rules.Overfit.patience=soon\n  allowed: a whole number\n"),
        ("health.rules.Overtraining.unit=days", "health.rules.Overtraining.unit=days"),
        ("health.rules.CheckInputImages.healthy_spread=[1]", "[1]\n  allowed: a list of 2, each a number, or null"),
        ("health.fail_on=5", "health.fail_on=5\n  allowed: a list, each a text"),
        ("notes=xyz", "notes=xyz\n  allowed: a list, each a text"),
        ("~notes", "Key 'notes' is not in struct"),
        ("notes=[5]", "notes=[5]\n  allowed: a list, each a text"),
        ("seed=abc", "seed=abc"),
        ("seed=-1", "seed=-1\n  allowed: a whole number from 0 to 4294967295"),
        ("resume=maybe", "true or false"),
        ("thumbnails=1", "thumbnails=1\n  allowed: true or false"),
        ("sure_precision=0", "sure_precision=0\n  allowed: above 0, at most 1"),
        ("sure_precision=95", "sure_precision=95"),
        ("sure_precision=high", "sure_precision=high"),
        ("monitor=val/accuracy", "monitor=val/accuracy (did you mean val/acc?)"),
        ("monitor=test/acc", "monitor=test/acc\n  allowed: val/loss, val/acc"),
        ("optimizer.lr=abc", "optimizer.lr=abc\n  allowed: a number, or a Tensor by its _target_"),
        ("optimizer.weight_decay=true", "optimizer.weight_decay=True\n  allowed: a number, or"),
        ("optimizer.lr=-1", "Invalid learning rate: -1"),
        ("scheduler.warmup=2", "warmup=2"),
        ("label_smoothing=abc", "label_smoothing=abc"),
        ("label_smoothing=1", "label_smoothing=1"),
        ("class_weights=rare", "balanced or null"),
        ("backbone.image_size=abc", "backbone.image_size=abc\n  allowed: a whole number, or null"),
        ("backbone.image_size=true", "backbone.image_size=True"),
        ("backbone.crop_pct=1.5", "a crop of 1.5\n  allowed: 0.1 to 1"),
        ("backbone.name=resnet81", "backbone.name='resnet81', which does not exist (did you mean resnet18"),
        ("backbone.name=hf-hub:evil/model", "which does not exist"),
        ("backbone.name=???", "backbone.name is not set"),
        ("backbone.library=keras", "timm or torchvision"),
        ("backbone.weights=null", "backbone.weights=null\n  allowed: a text"),
        ("backbone.weights=nowhere.pth", "no weights file at nowhere.pth"),
        ("seed=${nowhere}", "'nowhere' not found"),
        ("junk", "the override junk"),
        ("data.root=[", "the override data.root=["),
    ],
)
def test_train__with_a_wrong_override(override: str, message: str, refused: Refused, shared_folder: Path) -> None:
    assert message in refused(f"data.root={shared_folder}", override)


@pytest.mark.parametrize(
    "override", ["optimizer.lr=abc", "trainer.profiler=5", "head=5", "callbacks.epochs.path=5", "+logger.mine=x"]
)
def test_train__with_a_wrong_setting_computes_nothing(
    override: str, refused: Refused, shared_folder: Path, tmp_path: Path
) -> None:
    refused(f"data.root={shared_folder}", f"features.root={tmp_path / 'cache'}", override)
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("head.hidden=abc", "head.hidden=abc\n  allowed: a whole number\n"),
        ("head.dropout=1.5", "hidden=512, dropout=1.5"),
        ("head.lr=3", "head.lr"),
    ],
)
def test_train__with_a_wrong_setting_of_the_head(
    override: str, message: str, refused: Refused, shared_folder: Path
) -> None:
    assert message in refused(f"data.root={shared_folder}", "head=mlp", override)


def test_train__without_a_value_that_must_be_given(refused: Refused) -> None:
    assert "data.root is not set" in refused()


def test_train__on_a_path_with_an_equals_sign_says_how_to_quote_it(
    refused: Refused, trained: Callable[..., Path], shared_folder: Path, tmp_path: Path
) -> None:
    odd = tmp_path / "a=b, it's {c}"
    odd.symlink_to(shared_folder)

    quoted = re.search(r"what to do: .*?(\".*\")", refused(f"data.root={odd}"))
    assert quoted
    assert (trained(*shlex.split(quoted[1])) / "metrics.json").exists()


# --- weights, checkpoints, artifacts


def test_train__with_weights_of_another_backbone(refused: Refused, shared_folder: Path, tmp_path: Path) -> None:
    save_file(timm.create_model("test_efficientnet").state_dict(), tmp_path / "other.safetensors")

    message = refused(f"data.root={shared_folder}", f"backbone.weights={tmp_path}/other.safetensors")
    assert "other.safetensors does not fit ResNet" in message


@pytest.fixture
def begun(trained_run: Path, out: Path) -> Path:
    """A copy of the trained run in the place of the next, and its last checkpoint."""
    shutil.copytree(trained_run, out)
    return out / "checkpoints" / "last.ckpt"


@pytest.mark.parametrize("share", [0.0, 0.1, 0.9, 0.999])
def test_train__resuming_from_a_truncated_checkpoint(
    share: float, refused: Refused, begun: Path, shared_folder: Path
) -> None:
    cut(begun, share)

    assert f"{begun} is damaged" in refused(f"data.root={shared_folder}", "resume=true")


@pytest.mark.parametrize(
    "content", [{"state_dict": {}}, {}, [1], torch.zeros(2)], ids=["part", "empty", "list", "tensor"]
)
def test_train__resuming_from_what_is_no_checkpoint(
    content: Any, refused: Refused, begun: Path, shared_folder: Path
) -> None:
    torch.save(content, begun)

    assert f"{begun} is damaged" in refused(f"data.root={shared_folder}", "resume=true")


def test_train__resuming_with_another_head(refused: Refused, begun: Path, shared_folder: Path) -> None:
    message = refused(f"data.root={shared_folder}", "resume=true", "trainer.max_epochs=3", "head=mlp")

    assert "its head differ" in message


def test_train__resuming_with_other_weights(
    refused: Refused, begun: Path, shared_folder: Path, backbone: Backbone, tmp_path: Path
) -> None:
    weights = {name: entry * 1.01 for name, entry in backbone.network.state_dict().items()}
    save_file(weights, tmp_path / "other.safetensors")

    other = f"backbone.weights={tmp_path}/other.safetensors"
    message = refused(f"data.root={shared_folder}", "resume=true", "trainer.max_epochs=3", other)

    assert "its backbone differ" in message


@pytest.mark.parametrize("file", ["artifact.json", "weights.safetensors"])
def test_evaluate__with_a_truncated_artifact(
    file: str, command: Command, artifact: Path, shared_folder: Path, out: Path
) -> None:
    cut(artifact / file)

    ended = command(
        dogbreed.evaluate.main, f"artifact={artifact}", f"data.root={shared_folder}", f"hydra.run.dir={out}"
    )
    assert f"{file} is damaged" in check(ended)


@pytest.mark.parametrize("file", ["artifact.json", "weights.safetensors"])
def test_predict__with_a_truncated_artifact(file: str, command: Command, artifact: Path, shared_folder: Path) -> None:
    cut(artifact / file)

    ended = command(dogbreed.predict.main, "--artifact", artifact, shared_folder / "test")
    assert f"{file} is damaged" in check(ended)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ([], "artifact is not set"),
        (["artifact=nowhere", "data.root=nowhere"], "no artifact.json in nowhere"),
        (["artifact={artifact}"], "data.root is not set"),
        (["artifact={artifact}", "data.root=nowhere"], "no data set at nowhere"),
        (["artifact={artifact}", "data.root=nowhere", "split=tset"], "train, val or test"),
        (["artefact={artifact}", "data.root=nowhere"], "did you mean artifact"),
        (["artifact={artifact}", "data.root=nowhere", "backbone.weights=none"], "there is no backbone"),
    ],
)
def test_evaluate__with_a_wrong_override(
    overrides: list[str], message: str, command: Command, trained_run: Path, out: Path
) -> None:
    filled = [override.format(artifact=trained_run / "artifact") for override in overrides]

    assert message in check(command(dogbreed.evaluate.main, f"hydra.run.dir={out}", *filled))


def test_evaluate__on_a_class_that_the_artifact_does_not_know(
    command: Command, trained_run: Path, folder: Path, out: Path
) -> None:
    (folder / "test" / "005.Breed_E").mkdir()
    settings = [f"artifact={trained_run}/artifact", f"data.root={folder}", f"hydra.run.dir={out}"]

    assert "005.Breed_E is none of the 4 classes" in check(command(dogbreed.evaluate.main, *settings))


# --- the places where files are written


def test_train__into_a_place_below_a_file(refused: Refused, shared_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    place = tmp_path / "file" / "run"

    assert f"{place} cannot be written" in refused(f"data.root={shared_folder}", f"hydra.run.dir={place}")


def test_train__into_a_file(refused: Refused, shared_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")

    message = refused(f"data.root={shared_folder}", f"hydra.run.dir={tmp_path}/file")
    assert f"{tmp_path}/file cannot be written" in message


@pytest.mark.parametrize("key", ["paths.artifact", "paths.checkpoints"])
def test_train__with_a_part_of_the_run_below_a_file(
    key: str, refused: Refused, shared_folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way")

    assert "cannot be written" in refused(f"data.root={shared_folder}", f"{key}={tmp_path}/file/part")


@pytest.mark.parametrize("free_kib", [0, 4, 16, 24, 40])
def test_train__onto_a_full_disk(free_kib: int, refused: Refused, shared_folder: Path, tiny_disk: Path) -> None:
    (tiny_disk / "filler").write_bytes(bytes((64 - free_kib) * 1024))

    message = refused(f"data.root={shared_folder}", f"hydra.run.dir={tiny_disk}/run")
    assert "No space left on device" in message


def test_train__onto_a_read_only_disk(refused: Refused, shared_folder: Path, tiny_disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", tiny_disk], check=True)

    message = refused(f"data.root={shared_folder}", f"hydra.run.dir={tiny_disk}/run")
    assert "Read-only file system" in message


@pytest.mark.parametrize("free_kib", [0, 24])
def test_evaluate__onto_a_full_disk(
    free_kib: int, command: Command, trained_run: Path, shared_folder: Path, tiny_disk: Path
) -> None:
    (tiny_disk / "filler").write_bytes(bytes((64 - free_kib) * 1024))
    settings = [f"artifact={trained_run}/artifact", f"data.root={shared_folder}", f"hydra.run.dir={tiny_disk}/run"]

    ended = command(dogbreed.evaluate.main, *settings, "trainer.accelerator=cpu", "data.num_workers=0")
    assert "No space left on device" in check(ended)


# --- flags


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "--artifact"),
        (["picture.jpg"], "--artifact"),
        (["--artifact", "somewhere"], "FILE_OR_FOLDER"),
        (["--artifact", "somewhere", "picture.jpg", "--top-k", "0"], "0 is not a whole number above 0"),
        (["--artifact", "somewhere", "picture.jpg", "--batch-size", "many"], "many is not a whole number above 0"),
        (["--artifact", "somewhere", "picture.jpg", "--format", "xml"], "choose from"),
    ],
)
def test_predict__with_wrong_arguments(arguments: list[str], message: str, command: Command) -> None:
    ended = command(dogbreed.predict.main, *arguments)

    assert (ended.code, ended.out) == (2, "")
    assert re.search(rf"error: .*{re.escape(message)}", ended.err)


def test_predict__without_such_an_artifact(command: Command, shared_folder: Path) -> None:
    ended = command(dogbreed.predict.main, "--artifact", "nowhere", shared_folder / "test")

    assert "no artifact.json in nowhere" in check(ended)


def test_predict__on_a_folder_without_a_picture(command: Command, trained_run: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no picture")

    assert f"no picture in {tmp_path}" in check(
        command(dogbreed.predict.main, "--artifact", trained_run / "artifact", tmp_path)
    )


@pytest.mark.parametrize("device", ["gpu", "cuda:99"])
def test_predict__on_a_device_that_is_not_there(
    device: str, command: Command, trained_run: Path, shared_folder: Path
) -> None:
    arguments = ["--artifact", trained_run / "artifact", "--device", device, shared_folder / "test"]

    assert f"the device '{device}'" in check(command(dogbreed.predict.main, *arguments))


@pytest.mark.filterwarnings("ignore:.*found in sys.modules")
def test_train__as_a_module_shows_its_help(command: Command) -> None:
    def main() -> None:
        runpy.run_module("dogbreed.train", run_name="__main__")

    ended = command(main, "--help")
    assert (ended.code, ended.err, "  * resnet18 " in ended.out) == (0, "", True)
