"""A job's results, put together again."""

from __future__ import annotations

import io
import json
import tarfile
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

import dogbreed.evaluate
import dogbreed.predict
import dogbreed.report
from dogbreed.errors import OutputError
from dogbreed.health.__main__ import main as health
from dogbreed.health.jobs.job import read_job
from dogbreed.health.jobs.log import parse_log, read_lines
from launch.errors import LaunchError
from launch.files.fetching import fetch_run
from launch.names import output_uri
from tests.conftest import Command
from tests.launch.scripted import STEPS, Scene, ScriptedBackend, at, describe, scenes_of

Member = tuple[str, bytes] | tarfile.TarInfo


@pytest.fixture
def backend(tmp_path: Path) -> ScriptedBackend:
    return ScriptedBackend(tmp_path / "store")


def archive(*members: Member) -> bytes:
    """A .tar.gz of these files."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as packed:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                packed.addfile(member)
            else:
                about = tarfile.TarInfo(member[0])
                about.size = len(member[1])
                packed.addfile(about, io.BytesIO(member[1]))
    return content.getvalue()


def packed(folder: Path, *left_out: str) -> bytes:
    """A .tar.gz of a folder as `tar -czf ... .` makes it, with an entry for each folder."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as file:
        file.add(folder, ".", filter=lambda member: None if member.name in left_out else member)
    return content.getvalue()


def ended(backend: ScriptedBackend, *, output: bytes | None, model: bytes | None, **more: Any) -> dict[str, Any]:
    """A job `dogs` that has ended and left these archives."""
    *_, last = scenes_of("dogs", **more)
    lines = [line for scene in scenes_of("dogs") for line in scene.lines]
    backend.play("dogs", Scene(last.description, lines))
    for name, content in (("output.tar.gz", output), ("model.tar.gz", model)):
        if content is not None:
            backend.store.put_bytes(output_uri(last.description, name), content)
    backend.describe_training_job("dogs")
    return dict(last.description)


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_fetch__run_is_the_same_as_where_it_ran(backend: ScriptedBackend, trained_run: Path, tmp_path: Path) -> None:
    ended(backend, output=packed(trained_run, "./artifact"), model=packed(trained_run / "artifact"))
    fetched = fetch_run(backend, "dogs", tmp_path / "runs" / "dogs")
    found = files(fetched)
    assert {"job.log", "job.json"} <= found.keys()
    assert {name: found[name] for name in found if name not in ("job.log", "job.json")} == files(trained_run)
    assert [path.name for path in fetched.parent.iterdir()] == ["dogs"]


@pytest.mark.slow
def test_fetch__report_evaluate_and_predict_work_on_it(
    backend: ScriptedBackend, trained_run: Path, tmp_path: Path, shared_folder: Path, command: Command
) -> None:
    elsewhere = packed(trained_run, "./artifact", "./report.html")
    ended(backend, output=elsewhere, model=packed(trained_run / "artifact"))
    run = fetch_run(backend, "dogs", tmp_path / "dogs")
    assert command(dogbreed.report.main, run).code == 0
    assert (run / "report.html").exists()
    picture = next((shared_folder / "test").rglob("*.jpg"))
    assert command(dogbreed.predict.main, "--artifact", run / "artifact", picture).code == 0
    given = [f"artifact={run / 'artifact'}", f"data.root={shared_folder}", "data.num_workers=0"]
    here = [*given, f"hydra.run.dir={tmp_path / 'evaluated'}", "trainer.accelerator=cpu", "data=folder"]
    assert command(dogbreed.evaluate.main, *here).code == 0
    again = json.loads((tmp_path / "evaluated" / "metrics.json").read_text())
    assert again["test/acc"] == json.loads((trained_run / "metrics.json").read_text())["test/acc"]


def test_fetch__log_and_description_are_read_as_a_job(backend: ScriptedBackend, tmp_path: Path) -> None:
    rule = {"RuleConfigurationName": "DeadRelu", "RuleEvaluationStatus": "IssuesFound", "LastModifiedTime": at(200)}
    description = ended(backend, output=archive(("metrics.csv", b"")), model=None, DebugRuleEvaluationStatuses=[rule])
    job = read_job(fetch_run(backend, "dogs", tmp_path / "dogs"))
    assert job.status == "Completed"
    assert job.bill is not None
    assert (job.bill.start, job.bill.end) == (at(60).timestamp(), at(420).timestamp())
    assert [(line.values["epoch"], line.time) for line in job.epochs] == [
        (0, at(200).timestamp()),
        (1, at(300).timestamp()),
    ]
    assert [(told.name, told.status) for told in job.rules] == [("DeadRelu", "IssuesFound")]
    log = parse_log(read_lines(tmp_path / "dogs" / "job.log"))
    assert [(one.status, one.time) for one in log.transitions] == [(name, at(time).timestamp()) for name, time in STEPS]
    assert log.training_s == description["TrainingTimeInSeconds"]


def test_fetch__log_is_replayed(backend: ScriptedBackend, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ended(backend, output=None, model=None)
    fetch_run(backend, "dogs", tmp_path / "dogs")
    capsys.readouterr()
    assert health(["replay", str(tmp_path / "dogs" / "job.log")]) == 0
    assert "360 s billed" in capsys.readouterr().out


def test_fetch__times_are_kept_whatever_their_zone(backend: ScriptedBackend, tmp_path: Path) -> None:
    here = datetime(2026, 11, 21, 20, 30, 5, 250_000, timezone(timedelta(hours=2)))
    ended(backend, output=None, model=None, CreationTime=here)
    fetch_run(backend, "dogs", tmp_path / "dogs")
    kept = json.loads((tmp_path / "dogs" / "job.json").read_text())
    assert datetime.fromisoformat(kept["CreationTime"]) == here


def test_fetch__artifact_of_a_sweep_is_its_winners(backend: ScriptedBackend, tmp_path: Path) -> None:
    output = archive(("trials.json", b"{}"), ("winner/metrics.json", b"{}"))
    ended(backend, output=output, model=archive(("head.pt", b"1")), HyperParameters={"hydra/sweeper": '"fleet"'})
    fetch_run(backend, "dogs", tmp_path / "dogs")
    assert files(tmp_path / "dogs").keys() >= {"trials.json", "winner/metrics.json", "winner/artifact/head.pt"}


def test_fetch__what_stands_there_already_stays(backend: ScriptedBackend, tmp_path: Path) -> None:
    (tmp_path / "dogs" / ".hydra").mkdir(parents=True)
    for name in ("launch.json", ".hydra/config.yaml", ".hydra/of_the_launch.yaml"):
        (tmp_path / "dogs" / name).write_text("the launch")
    ended(backend, output=archive((".hydra/config.yaml", b"the run"), ("run.json", b"{}")), model=None)
    fetch_run(backend, "dogs", tmp_path / "dogs")
    found = files(tmp_path / "dogs")
    assert found["launch.json"] == found[".hydra/of_the_launch.yaml"] == b"the launch"
    assert found[".hydra/config.yaml"] == b"the run"


def test_fetch__repeated_it_brings_the_same(backend: ScriptedBackend, tmp_path: Path) -> None:
    ended(backend, output=archive(("run.json", b"{}")), model=archive(("head.pt", b"1")))
    first = files(fetch_run(backend, "dogs", tmp_path / "dogs"))
    (tmp_path / "dogs" / "artifact" / "head.pt").unlink()
    assert files(fetch_run(backend, "dogs", tmp_path / "dogs")) == first


def test_fetch__what_a_failed_job_left_comes_and_the_rest_is_said(backend: ScriptedBackend, tmp_path: Path) -> None:
    said: list[str] = []
    failed = describe("dogs", *STEPS[:3], ("Failed", 200.0), FailureReason="AlgorithmError")
    backend.play("dogs", Scene(failed))
    backend.store.put_bytes(output_uri(failed, "output.tar.gz"), archive(("run.json", b"{}")))
    backend.store.put_bytes(output_uri(failed, "model.tar.gz"), archive())  # of an empty folder
    fetch_run(backend, "dogs", tmp_path / "dogs", say=said.append)
    assert files(tmp_path / "dogs").keys() == {"run.json", "job.log", "job.json"}
    assert said == ["dogs (Failed) left no model.tar.gz; job.log tells how far it came"]


def link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member


@pytest.mark.parametrize(
    "members",
    [
        [("../outside", b"x")],
        [("a/../../outside", b"x")],
        [("/outside", b"x")],
        [link("a", "/etc/passwd")],
        [link("a", "../../outside")],
        [link("a", "/etc/passwd", tarfile.LNKTYPE)],
        [link("a", ".."), ("a/outside", b"x")],
        [link("a", "a")],
        [link("a", "", tarfile.FIFOTYPE)],
    ],
    ids=["up", "up inside", "absolute", "link out", "link up", "hard link out", "through a link", "loop", "pipe"],
)
def test_fetch__archive_that_leads_elsewhere_is_refused(
    backend: ScriptedBackend, tmp_path: Path, members: list[Member]
) -> None:
    ended(backend, output=archive(("run.json", b"{}"), *members), model=None)
    with pytest.raises(LaunchError, match=r"output\.tar\.gz is damaged"):
        fetch_run(backend, "dogs", tmp_path / "here" / "dogs")
    assert files(tmp_path / "here") == {}


def test_fetch__links_within_the_archive_become_copies(backend: ScriptedBackend, tmp_path: Path) -> None:
    ended(
        backend,
        output=archive(("checkpoints/best.ckpt", b"weights"), link("checkpoints/last.ckpt", "best.ckpt")),
        model=None,
    )
    fetch_run(backend, "dogs", tmp_path / "dogs")
    last = tmp_path / "dogs" / "checkpoints" / "last.ckpt"
    assert last.read_bytes() == b"weights"
    assert not last.is_symlink()


@pytest.mark.parametrize("half", [False, True])
def test_fetch__damaged_archive_leaves_what_was_there(backend: ScriptedBackend, tmp_path: Path, half: bool) -> None:
    content = archive(("run.json", b"{}"), ("best.ckpt", bytes(range(256)) * 1000))
    ended(backend, output=content[: len(content) // 2] if half else b"<Error>no archive</Error>", model=None)
    (tmp_path / "here" / "dogs").mkdir(parents=True)
    (tmp_path / "here" / "dogs" / "run.json").write_text("before")
    with pytest.raises(LaunchError, match=r"output\.tar\.gz is damaged"):
        fetch_run(backend, "dogs", tmp_path / "here" / "dogs")
    assert files(tmp_path / "here") == {"dogs/run.json": b"before"}


def test_fetch__job_that_runs_still_is_refused(backend: ScriptedBackend, tmp_path: Path) -> None:
    backend.play("dogs", Scene(describe("dogs", *STEPS[:3])))
    with pytest.raises(LaunchError, match="dogs has not ended: InProgress"):
        fetch_run(backend, "dogs", tmp_path / "dogs")


def test_fetch__full_disk_leaves_nothing_behind(backend: ScriptedBackend, tiny_disk: Path) -> None:
    ended(backend, output=archive(("best.ckpt", bytes(20_000))), model=None)
    with pytest.raises(OutputError, match="cannot be written: No space left"):
        fetch_run(backend, "dogs", tiny_disk / "dogs")
    assert [path.name for path in tiny_disk.iterdir()] == ["filler"]
