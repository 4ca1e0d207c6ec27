"""The commands of a write-up: what is pasted is read back by the shell and by Hydra as it was meant."""

from __future__ import annotations

import ast
import shlex
from dataclasses import replace
from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from dogbreed.reports import writeup_commands
from dogbreed.reports.contents import Run
from dogbreed.reports.reading import Folder

GIVEN = ["head=mlp", "~health.rules.Overfit", "seed=3", "+optimizer.lr=3", "data.root='my photographs'", "resume=true"]
PLACE = Path("/runs of mine/lr=0.1")


@pytest.fixture
def run() -> Run:
    command = shlex.join(["python", "-m", "dogbreed.train", *GIVEN, "hydra.run.dir=x", "hydra/launcher=basic"])
    return Run(folder=Folder(PLACE), about={"command": command})


def read(line: str) -> dict[str, object]:
    """The overrides of a command, as Hydra reads them; what is left out is None."""
    words = [word for word in shlex.split(line)[3:] if "=" in word or word.startswith("~")]
    overrides = OverridesParser.create().parse_overrides(words)
    assert len({one.key_or_group for one in overrides}) == len(overrides), "the last of two would win"
    return {one.key_or_group: one.value() for one in overrides}


def test_overrides_of__are_all_but_where_it_was(run: Run) -> None:
    assert writeup_commands.overrides_of(run) == GIVEN[:-1]
    assert writeup_commands.overrides_of(run, "optimizer.lr", "health.rules.Overfit") == [GIVEN[0], GIVEN[2], GIVEN[4]]
    assert writeup_commands.overrides_of(Run(folder=Folder(PLACE))) == []


def test_overrides_of__begin_with_the_folder_of_ones_own() -> None:
    command = shlex.join(["python", "-m", "dogbreed.train", "--config-dir", "a=b", "head=mine", "seed=3"])
    found = writeup_commands.overrides_of(Run(folder=Folder(PLACE), about={"command": command}), "seed")
    assert found == ["--config-dir", "a=b", "head=mine"]


def test_train__replaces_what_it_changes(run: Run) -> None:
    found = read(writeup_commands.train(run, "optimizer.lr=0.5"))
    assert found["optimizer.lr"] == 0.5
    assert found["data.root"] == "my photographs"
    assert "health.rules.Overfit" in found


def test_seeds__are_those_and_not_the_runs(run: Run) -> None:
    line = writeup_commands.seeds(run)
    assert shlex.split(line)[3] == "-m"
    assert shlex.split(line)[-1] == "seed=0,1,2"
    read(line)


def test_sweep__searches_around_the_run_and_tells_of_both(run: Run) -> None:
    search, report = writeup_commands.sweep(run).splitlines()
    assert "optimizer.lr" not in read(search)
    assert shlex.split(report)[3:] == ["--card", str(PLACE), "runs/sweep"]


def test_job__names_the_run_that_was_measured(run: Run) -> None:
    told = writeup_commands.job(run)
    assert told is not None
    rehearsal, plan = told.splitlines()
    assert read(rehearsal)["sagemaker.backend"] == "process"
    assert read(plan)["sagemaker.measured_run"] == str(PLACE)


def test_job__of_what_no_job_would_find_is_none(run: Run) -> None:
    command = shlex.join(["python", "-m", "dogbreed.train", "--config-dir", "mine", "head=odd"])
    assert writeup_commands.job(Run(folder=Folder(PLACE), about={"command": command})) is None
    assert writeup_commands.job(replace(run, artifact={"head_module": "mine.heads"})) is None


@pytest.mark.parametrize(
    ("artifact", "target", "module"),
    [
        ({}, "mine.heads.Odd", "mine.heads"),  # of before artifacts told it, or of a run that has none
        ({}, "dogbreed.models.heads.LinearHead", None),
        ({}, None, None),
        ({"head_module": "dogbreed.models.heads"}, "mine.heads.make_linear", None),
        ({"head_module": "mine.heads"}, "mine.heads.Odd.small", "mine.heads"),
    ],
)
def test_own_head__is_told_by_the_artifact_or_else_the_config(
    artifact: dict[str, str], target: str | None, module: str | None
) -> None:
    run = Run(folder=Folder(PLACE), artifact=artifact, config={"head": {"_target_": target} if target else {}})
    assert writeup_commands.own_head(run) == module


def test_deploy__and_serve_name_the_artifact_and_the_picture(run: Run) -> None:
    picture = "/my photographs/a.jpg"
    serve, ask = writeup_commands.serve(PLACE, picture).splitlines()
    assert shlex.split(serve)[-1] == str(PLACE)
    assert f"@{picture}" in shlex.split(ask)
    dry, deploy, question, _ = writeup_commands.deploy(PLACE, picture).splitlines()
    assert read(dry) == {"artifact": str(PLACE), "name": "breeds", "dry_run": True}
    assert read(deploy) == {"artifact": str(PLACE), "name": "breeds"}
    assert shlex.split(question)[3:] == ["breeds", picture]
    assert shlex.split(writeup_commands.predict(run, PLACE, picture))[3:] == ["--artifact", str(PLACE), picture]


def test_predict__of_a_head_of_ones_own_imports_it_and_survives_the_shell() -> None:
    run = Run(folder=Folder(PLACE), artifact={"head_module": "mine.heads"})
    python, flag, program = shlex.split(writeup_commands.predict(run, Path('it\'s "mine"\\ é'), "a b.jpg"))
    assert (python, flag) == ("python", "-c")
    calls = {ast.unparse(node.func): node.args for node in ast.walk(ast.parse(program)) if isinstance(node, ast.Call)}
    assert ast.literal_eval(calls["Predictor.load"][0]) == 'it\'s "mine"\\ é'
    assert program.startswith("import mine.heads;")
