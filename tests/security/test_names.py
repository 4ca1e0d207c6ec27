"""What a file says, and what it is called, chooses no class, no path and no command, and steers no terminal."""

from __future__ import annotations

import html.parser
import json
import os
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import dogbreed.health.__main__ as health
import dogbreed.predict
import dogbreed.report
import dogbreed.train
from dogbreed.data.folder import list_class_names
from dogbreed.errors import ArtifactError, ConfigError, DataError, legible
from dogbreed.health.smdebug.trial import open_trial
from dogbreed.serving.artifact import load_artifact
from dogbreed.training.interruption import ResumableCheckpoint

Command = Callable[..., Any]
STEERING = "\x1b]0;owned\x07\x1b[2J\u202egpj.exe"


# --- classes


@pytest.mark.parametrize(
    "word",
    [
        "+health.rules.Mine._target_=pathlib.Path.touch",
        "+health.rules.Mine={_target_: pathlib.Path.touch, self: x}",
        "health.rules.Overfit._target_=subprocess.check_output",
        "health=../../../../elsewhere/evil",
        "+health@data=default",
        "health.every_n_steps=${oc.env:AWS_SECRET_ACCESS_KEY}",
    ],
)
def test_replay__takes_no_class_from_a_run(word: str, command: Command, trained_run: Path, tmp_path: Path) -> None:
    run = shutil.copytree(trained_run, tmp_path / "run")
    about = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps({**about, "command": f"python -m dogbreed.train '{word}'"}))

    ended = command(lambda: health.main(["replay", str(run)]))

    known = word.startswith(("health", "+health.", "~health"))
    assert (ended.code, "asks for" in ended.err) == ((1, True) if known else (0, False)), ended.err


def test_replay__takes_presets_and_parameters_from_a_run(command: Command, trained_run: Path, tmp_path: Path) -> None:
    run = shutil.copytree(trained_run, tmp_path / "run")
    about = json.loads((run / "run.json").read_text())
    plain = "health=aws health.rules.Overfit.patience=3 '~health.rules.Overtraining' health.rules.Tanh.layers=head"
    (run / "run.json").write_text(json.dumps({**about, "command": f"python -m dogbreed.train {plain}"}))

    ended = command(lambda: health.main(["replay", str(run)]))

    assert "asks for" not in ended.err


def test_commands__make_nothing_of_a_class_that_a_run_names(
    command: Command, trained_run: Path, shared_folder: Path, tmp_path: Path
) -> None:
    run = shutil.copytree(trained_run, tmp_path / "run")
    touched = tmp_path / "touched"
    evil = f"{{_target_: pathlib.Path.touch, self: {{_target_: pathlib.Path, _args_: [{touched}]}}}}"
    for name in ("config.yaml", ".hydra/config.yaml", "artifact/config.yaml"):
        (run / name).parent.mkdir(exist_ok=True)
        (run / name).write_text("".join(f"{key}: {evil}\n" for key in ("head", "data", "hook", "backbone")))

    command(lambda: dogbreed.report.main([str(run)]))
    command(lambda: health.main(["replay", str(run)]))
    command(dogbreed.predict.main, "--artifact", run / "artifact", shared_folder / "test")

    assert not touched.exists()


@pytest.mark.slow
def test_resumed_sweep__trains_nothing_that_it_did_not_propose(
    tmp_path: Path, command: Command, small_run: list[str], shared_folder: Path
) -> None:
    touched = tmp_path / "touched"
    sweep = [f"data.root={shared_folder}", f"hydra.sweep.dir={tmp_path / 'sweep'}", "hydra/sweeper=fleet"]
    sweep += ["hydra.sweeper.n_trials=2", "hydra.sweeper.winner=false", "optimizer.lr=1,3"]
    sweep += ["trainer.max_epochs=1", "logger=none"]
    assert command(dogbreed.train.main, "-m", *small_run, *sweep).code == 0
    journal = tmp_path / "sweep/trials.jsonl"
    lines = journal.read_text().splitlines()
    for number in (1, 7):  # in the place of one that was proposed, and beside them
        forged = {**json.loads(lines[-1]), "number": number, "value": 1.0}
        forged["params"] = {"+callbacks.x._target_": "pathlib.Path.touch", "+callbacks.x.self": str(touched)}
        journal.write_text("\n".join([*lines, json.dumps(forged)]) + "\n")

        ended = command(dogbreed.train.main, "-m", *small_run, *sweep, "resume=true")

        assert not touched.exists()
        assert (tmp_path / "sweep/best.yaml").read_text().find("callbacks.x") < 0
        assert ended.code == (1 if number == 1 else 0), ended.err


# --- paths


@pytest.mark.parametrize("folder", ["/", "/elsewhere/old", "../.."])
@pytest.mark.parametrize("path", ["/etc/passwd", "/elsewhere/old/../../etc/passwd", "../../etc/passwd"])
def test_checkpoint__names_no_file_outside_of_its_folder(path: str, folder: str, tmp_path: Path) -> None:
    callback = ResumableCheckpoint(tmp_path, "val/acc", "max")
    score = torch.tensor(0.5)
    state: dict[str, Any] = {
        "dirpath": folder,
        "best_model_path": path,
        "kth_best_model_path": path,
        "last_model_path": path,
    }
    state |= {"monitor": "val/acc", "best_model_score": score, "current_score": score, "kth_value": score}

    callback.load_state_dict({**state, "best_k_models": {path: score}})

    named = [callback.best_model_path, callback.kth_best_model_path, callback.last_model_path, *callback.best_k_models]
    assert {Path(name).parent for name in named} == {tmp_path}


def test_trial_of_smdebug__names_no_file_outside_of_itself(tmp_path: Path) -> None:
    index = tmp_path / "trial/index/000000000/000000000000_worker_0.json"
    index.parent.mkdir(parents=True)
    (tmp_path / "secret").write_text("secret")
    meta = {"mode": "TRAIN", "mode_step": 0, "event_file_name": "../secret"}
    payload = [{"tensorname": "loss_output_0", "start_idx": 0, "length": 6}]
    index.write_text(json.dumps({"meta": meta, "tensor_payload": payload}))

    with pytest.raises(ConfigError, match="none of its 1 index files"):
        open_trial(tmp_path / "trial")


def test_trial_of_smdebug__takes_no_more_memory_than_its_files(tmp_path: Path) -> None:
    event_pb2 = pytest.importorskip("tensorboard.compat.proto.event_pb2")
    event = event_pb2.Event(wall_time=1.0)
    tensor = event.summary.value.add().tensor
    tensor.dtype = 1
    tensor.float_val.append(1.0)
    for _ in range(3):
        tensor.tensor_shape.dim.add().size = 100_000
    content = event.SerializeToString()
    record = struct.pack("<Q", len(content)) + bytes(4) + content + bytes(4)
    events, index = tmp_path / "events/0.tfevents", tmp_path / "index/000000000/000000000000_worker_0.json"
    for path in (events, index):
        path.parent.mkdir(parents=True)
    events.write_bytes(record)
    payload = [{"tensorname": "loss_output_0", "start_idx": 0, "length": len(record)}]
    meta = {"mode": "TRAIN", "mode_step": 0, "event_file_name": "events/0.tfevents"}
    index.write_text(json.dumps({"meta": meta, "tensor_payload": payload}))

    trial = open_trial(tmp_path)
    assert trial.read(list(trial.steps[0].tensors.values())) == [None]


def test_artifact__shows_no_picture_that_it_only_links_to(artifact: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    (artifact / "thumbnails").mkdir()
    (artifact / "thumbnails/0000.jpg").symlink_to(tmp_path / "secret")
    (artifact / "thumbnails/0001.jpg").write_bytes(b"its own")

    loaded = load_artifact(artifact)
    assert (loaded.thumbnail(0), loaded.thumbnail(1)) == (None, b"its own")


def test_package__takes_nothing_along_that_an_artifact_only_links_to(artifact: Path, tmp_path: Path) -> None:
    from launch.files.model_package import build_package

    (tmp_path / "secret").write_text("secret")
    (artifact / "thumbnails").mkdir()
    (artifact / "thumbnails/0000.jpg").symlink_to(tmp_path / "secret")

    with pytest.raises(ArtifactError, match="is a link to"):
        build_package(artifact, tmp_path / "model.tar.gz", thumbnails=True)
    assert not (tmp_path / "model.tar.gz").exists()


def test_upload__sends_no_file_that_a_data_set_only_links_to(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from launch.files.manifests import list_files

    monkeypatch.setenv("DOGBREED_JOBS", str(tmp_path / "jobs"))
    (tmp_path / "secret").write_text("secret")
    picture = next((folder / "train").glob("*/*.jpg"))
    elsewhere = shutil.move(picture, tmp_path / "elsewhere.jpg")
    picture.symlink_to(elsewhere)
    assert len(list_files(folder)[0]) == 4 * 16, "a picture may be kept elsewhere"

    picture.unlink()
    picture.symlink_to(tmp_path / "secret")
    with pytest.raises(DataError, match="is no picture"):
        list_files(folder)


# --- terminals, logs and pages


def test_errors__steer_no_terminal() -> None:
    error = DataError(f"a{STEERING}", f"b{STEERING}", f"c{STEERING}")

    assert [line for line in str(error).split("\n") if not line.isprintable()] == []
    assert str(error).count("\n") == 2


@pytest.mark.parametrize("form", ["table", "jsonl"])
def test_predict__steers_no_terminal(
    form: str, command: Command, artifact: Path, shared_folder: Path, tmp_path: Path
) -> None:
    about = json.loads((artifact / "artifact.json").read_text())
    about["class_names"] = [f"{number}.{STEERING}" for number in range(4)]
    (artifact / "artifact.json").write_text(json.dumps(about))
    picture = next((shared_folder / "test").glob("*/*.jpg"))
    shutil.copy(picture, tmp_path / f"{STEERING}.jpg")
    (tmp_path / f"bad{STEERING}.jpg").write_bytes(b"no picture")

    ended = command(dogbreed.predict.main, "--artifact", artifact, "--format", form, tmp_path)

    assert ended.code == 1
    assert "\x1b" not in ended.out + ended.err


@pytest.mark.parametrize("name", ["001.a\nepoch=1", "001.a\x1b[2J", "001.a\x9b2J"])
def test_classes__have_names_that_steer_nothing(name: str, tmp_path: Path) -> None:
    for each in (name, "002.b"):
        (tmp_path / each).mkdir()

    with pytest.raises(DataError, match=r"the class '001\.a"):
        list_class_names(tmp_path)


class Tags(html.parser.HTMLParser):
    """The tags and attributes of a page that could run something."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [tag] if tag in ("script", "iframe", "object", "embed", "b") else []
        self.found += [name for name, value in attrs if name.startswith("on") or "javascript:" in (value or "")]


def test_report__is_no_program_of_a_class_name(
    command: Command, small_run: list[str], folder: Path, tmp_path: Path
) -> None:
    names = ["001.<script>alert(1)<", '002."onload="x', "003.$\\frac{x$", "004.{{7*7}}&lt;b&gt;"]
    for split in ("train", "valid", "test"):
        for old, new in zip(sorted(os.listdir(folder / split)), names, strict=True):
            (folder / split / old).rename(folder / split / new)
    settings = [f"data.root={folder}", f"hydra.run.dir={tmp_path / 'run'}", "trainer.max_epochs=1", "logger=none"]
    ended = command(dogbreed.train.main, *small_run, *settings)
    assert ended.code == 0, ended.err

    text = (tmp_path / "run/report.html").read_text()
    page = Tags()
    page.feed(text)
    assert page.found == []
    assert "Content-Security-Policy" in text
    assert "&lt;script&gt;alert(1)&lt;" in text


def test_legible__writes_out_what_cannot_be_seen() -> None:
    assert legible(STEERING).isprintable()
    assert legible("Rhodesian ridgeback, 犬, café") == "Rhodesian ridgeback, 犬, café"


@pytest.mark.parametrize("name", ["Mu\u0308ller", "柴\u3000犬", "👩\u200d🚀", "क्\u200dष", "❤\ufe0f"])
def test_legible__leaves_what_people_write(name: str) -> None:
    assert legible(name) == name
