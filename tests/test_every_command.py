"""Every command, with every kind of input that cannot be: one clear error, exit code 1 or 2, and nothing written."""

from __future__ import annotations

import importlib
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

Command = Callable[..., Any]

FILE, FOLDER = "not a picture, nor JSON {\n", "something"


def _junk(folder: Path) -> Path:
    """A folder of what is none of ours, under names that are."""
    folder.mkdir()
    names = ["artifact.json", "metrics.json", "trials.json", "config.yaml", "health.json", "metrics.csv", "run.json"]
    for name in [*names, "samples.jsonl", "trials.jsonl", "weights.safetensors", "001.jpg"]:
        (folder / name).write_text(FILE)
    for name in ("train", "valid", "test"):
        (folder / name).write_text(FILE)
    return folder


def _loop(path: Path) -> Path:
    path.symlink_to(path)
    return path


def _file(path: Path) -> Path:
    path.write_text(FILE)
    return path


def _folder(path: Path) -> Path:
    path.mkdir()
    return path


#: What a path may lead to where something else was wanted, by its name.
PLACES: dict[str, Callable[[Path], object]] = {
    "missing": lambda where: where / "missing",
    "a file": lambda where: _file(where / "file"),
    "an empty folder": lambda where: _folder(where / "empty"),
    "junk": lambda where: _junk(where / "junk"),
    "not UTF-8": lambda where: os.fsdecode(os.fsencode(where) + b"/\xff\xfe"),
    "a device": lambda where: "/dev/null",
    "too long": lambda where: where / ("x" * 300),
    "a NUL byte": lambda where: "a\0b",
    "a loop": lambda where: _loop(where / "loop"),
    "nothing": lambda where: "",
    "below a file": lambda where: _file(where / "above") / "below",
}

_HERE = ["--backend", "process", "--process-dir", "jobs"]
_SAID = ["sagemaker.region=us-east-1", "sagemaker.role=arn:aws:iam::123456789012:role/jobs", "sagemaker.image=mine:1"]
_TRAIN = ["data=folder", "backbone=any", "backbone.library=timm", "backbone.name=test_resnet", "backbone.tag=none"]
_TRAIN += ["backbone.weights=none", "backbone.image_size=32", "hydra.run.dir=run"]

#: Each place where a command takes a path: {} stands for it, and {artifact} and {data} for what is right.
PATHS: list[tuple[str, list[str]]] = [
    ("dogbreed.train", [*_TRAIN, "data.root={}"]),
    ("dogbreed.train", [*_TRAIN, "data.root={data}", "data.exclude={}"]),
    ("dogbreed.train", [*_TRAIN, "data.root={data}", "backbone.weights={}"]),
    ("dogbreed.evaluate", ["artifact={}", "data.root={data}", "hydra.run.dir=run"]),
    ("dogbreed.evaluate", ["artifact={artifact}", "data.root={}", "hydra.run.dir=run"]),
    ("dogbreed.predict", ["--artifact", "{}", "{data}/test"]),
    ("dogbreed.serve", ["--port", "0", "--artifact", "{}"]),
    ("dogbreed.export", ["--format", "torch", "--pictures", "{data}/test", "--artifact", "{}"]),
    ("dogbreed.report", ["{}"]),
    ("dogbreed.health.__main__", ["replay", "{}"]),
    ("dogbreed.health.__main__", ["tensors", "{}"]),
    ("dogbreed.features.__main__", ["--root", "{}", "verify", "abc"]),
    ("dogbreed.features.__main__", ["--root", "{}", "prune", "abc"]),
    ("dogbreed.data.__main__", ["summary", "{}", "out=out"]),
    ("dogbreed.data.__main__", ["audit", "{}", "out=out"]),
    ("dogbreed.data.__main__", ["split", "{}", "out"]),
    ("launch.upload", ["{}", *_HERE]),
    ("launch.package", ["--artifact", "{}"]),
    ("launch.prices", ["show", "ml.none", "--file", "{}"]),
    ("launch.prices", ["refresh", "--url", "{}"]),
    ("launch.jobs", ["describe", "{}", *_HERE]),
    ("launch.jobs", ["fetch", "{}", *_HERE]),
    ("launch.deploy", ["name=dogs", "artifact={}", "dry_run=true", *_SAID[:2]]),
    ("launch.transform", ["input=s3://a/b", "output=s3://a/c", "artifact={}", "dry_run=true", *_SAID[:2]]),
]

#: What no command takes: each with words that the error holds.
ARGUMENTS: list[tuple[str, list[str]]] = [
    *(
        (module, [*first, wrong])
        for module, first in [
            ("dogbreed.predict", ["--artifact", "a", "b"]),
            ("dogbreed.serve", ["--artifact", "a"]),
            ("dogbreed.export", ["--artifact", "a", "--format", "openvino", "--pictures", "b"]),
            ("dogbreed.report", ["a"]),
            ("dogbreed.features.__main__", ["verify"]),
            ("dogbreed.health.__main__", ["tensors", "a"]),
            ("dogbreed.data.sample", ["a"]),
            ("launch.upload", ["a"]),
            ("launch.package", ["--artifact", "a"]),
            ("launch.prices", ["show"]),
            ("launch.jobs", ["list"]),
            ("launch.ask", ["a", "b"]),
            ("launch.delete", ["a"]),
            ("launch.endpoints", ["a"]),
        ]
        for wrong in ("--nope", "--nope=1", "-Z")
    ),
    *(
        (module, [])
        for module in (
            *("train", "evaluate", "predict", "serve", "export", "report", "features.__main__", "health.__main__"),
            "data.sample",
        )
        for module in (f"dogbreed.{module}",)
    ),
    *((f"launch.{name}", []) for name in ("upload", "package", "prices", "jobs", "ask", "delete", "deploy", "update")),
    *((f"launch.{name}", []) for name in ("transform", "train", "tune")),
    *(("dogbreed.predict", ["--artifact", "a", "b", "--top-k", value]) for value in ("0", "-1", "1.5", "nan", "", "x")),
    *(("dogbreed.predict", ["--artifact", "a", "b", "--batch-size", value]) for value in ("0", "-1", "nan", "inf")),
    *(("dogbreed.predict", ["--artifact", "a", "b", "--correct-index", value]) for value in ("x", "nan", "1.5")),
    *(("dogbreed.serve", ["--artifact", "a", "--port", value]) for value in ("-1", "65536", "x", "1e3", "9" * 5000)),
    *(("dogbreed.serve", ["--artifact", "a", "--timeout-s", value]) for value in ("-1", "nan", "inf", "x", "")),
    *(("dogbreed.serve", ["--artifact", "a", "--max-pixels", value]) for value in ("0", "-1", "nan", "x")),
    *(("dogbreed.serve", ["--artifact", "a", "--host", value, "--port", "0"]) for value in ("no host", "999.1.1.1")),
    *(("dogbreed.data.sample", ["a", "--train", value]) for value in ("0", "-1", "1.5", "nan", "x")),
    *(("dogbreed.data.sample", ["a", "--seed", value]) for value in ("-1", "x", "inf")),
    *(("dogbreed.features.__main__", ["prune", "--unused-days", value]) for value in ("-1", "nan", "x", "")),
    *(("dogbreed.data.__main__", [command]) for command in ("download", "summary", "audit", "split")),
    *(("dogbreed.data.__main__", [command, "a", "b", "c"]) for command in ("download", "summary", "audit", "split")),
    *(("dogbreed.data.__main__", [command, "nope=1"]) for command in ("download", "summary", "audit", "split")),
    *(("dogbreed.data.__main__", ["audit", "{data}", f"limits.min_side={value}"]) for value in ("x", "-1", "nan")),
    *(("dogbreed.data.__main__", ["summary", "{data}", f"grid.pictures={value}"]) for value in ("x", "-1", "nan", "0")),
    *(("dogbreed.data.__main__", ["download", url, "out"]) for url in ("x", "ftp://x", "file:///nowhere.zip", "http://")),
    ("dogbreed.data.__main__", ["nope"]),
    ("dogbreed.features.__main__", ["prune"]),
    ("dogbreed.features.__main__", ["nope"]),
    ("dogbreed.health.__main__", ["replay", "a", "trainer.max_epochs=1"]),
    ("dogbreed.health.__main__", ["nope"]),
    *(("launch.jobs", ["list", "--limit", value, *_HERE]) for value in ("0", "-1", "x", "²")),
    *(("launch.jobs", ["list", "--price-per-hour", value, *_HERE]) for value in ("0", "-1", "nan", "inf", "x")),
    ("launch.jobs", ["list", "--tag", "x"]),
    *(("launch.upload", ["a", "--workers", value, *_HERE]) for value in ("0", "-1", "x", "²")),
    *(("launch.upload", ["a", "--to", value, *_HERE]) for value in ("", "x", "http://x", "s3://")),
    ("launch.prices", ["refresh", "--url", "ftp://x"]),
    *(("launch.ask", ["a", "b", "--threads", value]) for value in ("0", "x", "nan")),
    ("launch.endpoints", ["--yes"]),
    *(("launch.standin.__main__", arguments) for arguments in (["--nope"], ["--port", "x"], ["--port", "65536"])),
    *(
        ("dogbreed.train", [*_TRAIN, "data.root={data}", override])
        for override in (
            "nope=1", "+trainer.nope=1", "seed=x", "seed=-1", "seed=1e400", "seed=nan", "trainer.max_epochs=0",
            "trainer.max_epochs=-1", "trainer.max_epochs=1.5", "trainer.max_epochs=nan", "data.batch_size=0",
            "data.batch_size=x", "data.batch_size=nan", "data.num_workers=-1", "optimizer.lr=x", "optimizer.lr=-1",
            "optimizer.lr=nan", "head=nope", "monitor=nope", "monitor=null", "label_smoothing=2", "label_smoothing=x",
            "sure_precision=nan", "sure_precision=0", "resume=2", "class_weights=x", "features.dtype=x",
            "features.views=0", "features.batch_size=-1", "data.val_fraction=2", "data.val_fraction=nan", "a=[",
            "backbone.image_size=0", "backbone.image_size=nan", "data.on_error=x", "trainer.accelerator=x",
        )
    ),
    *(
        ("dogbreed.evaluate", ["artifact={artifact}", "data.root={data}", "hydra.run.dir=run", override])
        for override in ("split=nope", "split=null", "split=[1]", "data.batch_size=0", "data.num_workers=x", "nope=1")
    ),
    *(
        ("launch.plan", [*_TRAIN[:-1], "data.root={data}", *_SAID, override])
        for override in (
            "sagemaker.instance_count=0", "sagemaker.instance_count=nan", "sagemaker.volume_size_gb=-1",
            "sagemaker.max_run_s=x", "sagemaker.nope=1", "sagemaker.backend=x",
        )
    ),
]  # fmt: skip


@pytest.fixture
def at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder to run in, without an account at AWS; afterwards it is still empty."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.chdir(home)
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in {
        "EC2_METADATA_DISABLED": "true",
        "CONFIG_FILE": "none",
        "SHARED_CREDENTIALS_FILE": "none",
    }.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    monkeypatch.setenv("DOGBREED_FEATURES", str(tmp_path / "features"))
    yield home
    told = {"config.yaml", "hydra.yaml", "overrides.yaml", "run.json"}  # what a run was asked for, kept as it begins
    assert [path for path in home.rglob("*") if path.is_file() and path.name not in told] == []


@pytest.fixture
def refused(command: Command, at_home: Path, trained_run: Path, shared_folder: Path) -> Callable[[str, list[str]], str]:
    """Runs a command that must refuse, and gives what it says: refused(module, arguments)."""

    def run(module: str, arguments: list[str]) -> str:
        right = {"{artifact}": str(trained_run / "artifact"), "{data}": str(shared_folder)}
        for name, place in right.items():
            arguments = [argument.replace(name, place) for argument in arguments]
        ended = command(importlib.import_module(module).main, *arguments)
        assert ended.code in (1, 2), ended
        said = ended.err.splitlines()
        first = said[1] if said[0].endswith("SDK ...") else said[0]  # something that takes a while says so
        assert first.startswith(("error:", "usage:")), ended.err
        assert ended.err.count("error: ") == 1, ended.err
        return str(ended.err)

    return run


def _quoted(argument: str, place: str) -> str:
    """The argument with the place in it, as a user would quote it for Hydra."""
    if "={}" not in argument:
        return argument.replace("{}", place)
    inside = place.replace("\\", "\\\\").replace("'", "\\'")
    return argument.replace("{}", f"'{inside}'")


def _ids(table: list[tuple[str, list[str]]]) -> list[str]:
    return [f"{module}-{' '.join(line)[-50:]}" for module, line in table]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(("module", "arguments"), PATHS, ids=_ids(PATHS))
def test_path__that_cannot_be(
    module: str, arguments: list[str], place: str, refused: Callable[[str, list[str]], str], tmp_path: Path
) -> None:
    if (module, place) == ("dogbreed.report", "junk"):
        return  # it shows what it can of a damaged run, and says what it cannot
    there = str(PLACES[place](tmp_path))
    before = sorted(tmp_path.rglob("*")) if place != "a loop" else []
    refused(module, [_quoted(argument, there) for argument in arguments])
    if before:
        ours = {tmp_path / "features", tmp_path / "home"}
        after = [path for path in sorted(tmp_path.rglob("*")) if not ours & {path, *path.parents}]
        assert after == [path for path in before if not ours & {path, *path.parents}]


@pytest.mark.parametrize(("module", "arguments"), ARGUMENTS, ids=_ids(ARGUMENTS))
def test_argument__that_cannot_be(module: str, arguments: list[str], refused: Callable[[str, list[str]], str]) -> None:
    refused(module, arguments)


@pytest.mark.parametrize("place", PLACES)
def test_predict__tells_of_a_picture_that_cannot_be(
    place: str, command: Command, at_home: Path, trained_run: Path, tmp_path: Path
) -> None:
    ended = command(
        importlib.import_module("dogbreed.predict").main,
        *("--artifact", trained_run / "artifact", "--format", "jsonl", PLACES[place](tmp_path)),
    )
    assert ended.code == 1
    assert ended.err.count("cannot be read") + ended.err.count("error: ") + ended.err.count("no picture") >= 1, (
        ended.err
    )


@pytest.mark.parametrize("module", ["dogbreed.predict", "dogbreed.evaluate", "launch.package"])
@pytest.mark.parametrize("file", ["artifact.json", "weights.safetensors"])
@pytest.mark.parametrize("damage", ["empty", "cut", "a folder", "a list"])
def test_artifact__that_is_damaged(
    module: str, file: str, damage: str, refused: Callable[[str, list[str]], str], artifact: Path
) -> None:
    bad = artifact / file
    content = {"empty": b"", "cut": bad.read_bytes()[:100], "a list": b"[1, 2]", "a folder": b""}[damage]
    bad.unlink()
    bad.mkdir() if damage == "a folder" else bad.write_bytes(content)
    arguments = {
        "dogbreed.predict": ["--artifact", str(artifact), "{data}/test"],
        "dogbreed.evaluate": [f"artifact={artifact}", "data.root={data}", "hydra.run.dir=run"],
        "launch.package": ["--artifact", str(artifact)],
    }[module]
    assert str(artifact) in refused(module, arguments)


@pytest.mark.parametrize("damage", ["empty", "junk", "a list", "a folder", "no UTF-8"])
@pytest.mark.parametrize("file", ["config.yaml", "run.json", "metrics.json", "metrics.csv", "data.json", "health.json"])
@pytest.mark.parametrize("module", ["dogbreed.report", "dogbreed.health.__main__"])
def test_run__that_is_damaged(
    module: str, file: str, damage: str, command: Command, at_home: Path, trained_run: Path, tmp_path: Path
) -> None:
    run = Path(shutil.copytree(trained_run, tmp_path / "run"))
    content = {"empty": b"", "junk": FILE.encode(), "a list": b"[1, 2]", "no UTF-8": b"\xff\xfe\xff"}.get(damage)
    (run / file).unlink()
    (run / file).mkdir() if content is None else (run / file).write_bytes(content)
    ended = command(importlib.import_module(module).main, *(["replay"] if "health" in module else []), run)
    assert ended.code in (0, 1)  # a report passes over what it can do without
    assert ended.code == 0 or ended.err.startswith("error: "), ended.err
