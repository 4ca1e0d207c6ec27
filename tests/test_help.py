"""`--help` of every command that takes settings: what it says is what conf/ holds, and it loads nothing heavy."""

from __future__ import annotations

import importlib
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import hydra
import pytest
import yaml
from omegaconf import OmegaConf

from dogbreed.app import prepare
from dogbreed.choices import Entry, read_page, settings_of
from dogbreed.data.__main__ import _COMMANDS, _help, _overrides
from dogbreed.errors import ConfigError
from dogbreed.help import Help, all_groups, help_of
from launch.train import is_sweep

CONF = Path(__file__).parents[1] / "conf"
HYDRAS = ["dogbreed.train", "dogbreed.evaluate"]
HYDRAS += [f"launch.{name}" for name in ("train", "plan", "tune", "deploy", "update", "transform")]
ABOUT: dict[str, Help] = {name: importlib.import_module(name).HELP for name in HYDRAS}
ABOUT |= {f"dogbreed.data {name}": _help(name) for name in _COMMANDS}
each = pytest.mark.parametrize("about", ABOUT.values(), ids=list(ABOUT))


@each
def test_help__explains_every_group_option_and_setting(about: Help) -> None:
    for group in all_groups(about):
        assert group.text, group.name
        assert not [option for option, text in group.options.items() if not text], group.name
        assert group.chosen in (*group.options, "null"), group.name
    silent = [entry.key for entry in _shown(about) if not entry.text]
    assert silent in ([], ["url"])  # an address, which no comment fits beside


def _shown(about: Help) -> list[Entry]:
    """The settings that a command's help tells: of its own file, and of groups."""
    groups = [group for group in all_groups(about) if group.name in about.shown]
    of_groups = [entry for group in groups for entry in settings_of(f"{group.name}/{group.chosen}")]
    return [*read_page(about.config).settings, *of_groups]


@each
def test_help__tells_the_defaults_that_are_composed(about: Help) -> None:
    prepare()
    with hydra.initialize_config_module("dogbreed.conf", version_base="1.3"):
        config = hydra.compose(about.config, return_hydra_config=True)
    choices = config.hydra.runtime.choices
    for group in all_groups(about):
        assert group.chosen == str(choices[group.name] or "null"), group.name
    for key, value, _ in _shown(about):
        if value not in ("", "???"):
            section, _, name = key.rpartition(".")
            found: Any = OmegaConf.to_container(OmegaConf.select(config, section) if section else config, resolve=False)
            assert found[name] == yaml.safe_load(value), key


def test_help__knows_every_group_there_is() -> None:
    known = {group.name for about in ABOUT.values() for group in all_groups(about)}
    folders = {str(path.parent.relative_to(CONF)) for path in CONF.rglob("*.yaml") if path.parent != CONF}
    assert known == folders


@each
def test_help__has_examples_that_compose(about: Help) -> None:
    prepare()
    assert 3 <= len(about.examples) <= 5
    for line in about.examples:
        given = [argument for argument in shlex.split(line) if argument != "-m" and not is_sweep(argument)]
        keys = _COMMANDS[about.config].keys if about.plain else ()
        with hydra.initialize_config_module("dogbreed.conf", version_base="1.3"):
            hydra.compose(about.config, overrides=_overrides(keys, given), return_hydra_config=True)


@each
@pytest.mark.parametrize("columns", [80, 200])
def test_help__fits_the_terminal(about: Help, columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    told = help_of(about)
    wide = [line for line in told.splitlines() if len(line) > min(columns, 120)]
    assert all(line.startswith((f"  {about.command} ", "  url=", "usage: ")) for line in wide), wide
    assert all(f"  {about.command} {example}".rstrip() in told.splitlines() for example in about.examples)


def test_help__of_a_group() -> None:
    told = help_of(ABOUT["dogbreed.train"], ["--help", "head=mlp", "seed=3"])
    assert "  * linear " in told
    assert "head=mlp:" in told
    assert "  head.hidden=512 " in told
    assert "usage:" not in told


def test_help__of_a_group_that_is_read_in_from_another() -> None:
    told = help_of(ABOUT["dogbreed.train"], ["hydra/sweeper=sagemaker"])
    assert "  hydra.sweeper.tuner.n_trials=20\n" in told
    assert "  hydra.sweeper.instance_count=1\n" in told


def test_help__of_a_space_names_its_settings_as_they_are_typed() -> None:
    assert "  optimizer.lr=tag(log,interval(0.001,0.1))" in help_of(ABOUT["launch.tune"], ["search_space=lr_batch"])


def test_help__of_a_folder_of_ones_own_lists_its_files_too(tmp_path: Path) -> None:
    (tmp_path / "head").mkdir()
    (tmp_path / "head" / "mine.yaml").write_text("# A head of mine.\ndefaults:\n  - mlp\nwidth: 3  # of it\n")
    told = help_of(ABOUT["dogbreed.train"], ["--config-dir", str(tmp_path), "--help"])
    assert "usage:" in told
    assert "    mine                    A head of mine\n" in told
    told = help_of(ABOUT["dogbreed.train"], [f"--config-dir={tmp_path}", "--help", "head=mine"])
    assert "  head.width=3 " in told
    assert "  head.hidden=512 " in told
    with pytest.raises(ConfigError, match="did you mean mlp"):
        help_of(ABOUT["dogbreed.train"], ["--help", "head=mpl"])


def test_help__of_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="which is no folder"):
        help_of(ABOUT["dogbreed.train"], ["--help", "-cd", str(tmp_path / "mien")])


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"a: [", r"mine\.yaml is no YAML"),
        ("# caf\u00e9".encode("latin-1"), r"mine\.yaml is no text in UTF-8"),
        (b"defaults: {head: mlp}", r"defaults of .*mine\.yaml, which are no list"),
        (b"[a, b]: 3", r"line 1 of .*mine\.yaml: a key that is no word"),
        (b"defaults: [mine]", "head/mine, which begins with itself"),
    ],
)
def test_help__of_a_file_that_is_none_of_hydras_names_it(content: bytes, told: str, tmp_path: Path) -> None:
    (tmp_path / "head").mkdir()
    (tmp_path / "head" / "mine.yaml").write_bytes(content)
    with pytest.raises(ConfigError, match=told):
        help_of(ABOUT["dogbreed.train"], ["--help", "head=mine", "--config-dir", str(tmp_path)])


@pytest.mark.parametrize("flags", [["--cfg", "job"], ["-c", "job", "--package", "head"], ["-cn", "other"]])
def test_help__takes_the_value_of_a_flag_for_no_group(flags: list[str]) -> None:
    assert help_of(ABOUT["dogbreed.train"], [*flags, "--help"]) == help_of(ABOUT["dogbreed.train"])


@pytest.mark.parametrize(("asked", "near"), [("haed", "head"), ("head=mpl", "mlp")])
def test_help__of_what_is_not_there(asked: str, near: str) -> None:
    with pytest.raises(ConfigError, match=f"did you mean {near}"):
        help_of(ABOUT["dogbreed.train"], [asked])


#: Each command, and what it is asked for that needs no work: nothing of it loads what takes seconds.
LIGHT = [(name, ["--help"]) for name in [*HYDRAS, "dogbreed.data.__main__", "dogbreed.features.__main__"]]
LIGHT += [(f"dogbreed.{name}", ["--help"]) for name in ("predict", "serve", "export", "report", "health.__main__")]
LIGHT += [(f"launch.{name}", ["--help"]) for name in ("upload", "jobs", "prices", "ask", "delete", "endpoints")]
LIGHT += [("launch.package", ["--help"]), ("dogbreed.data.sample", ["--help"])]
LIGHT += [("dogbreed.data.__main__", ["audit", "--help"]), ("dogbreed.features.__main__", ["prune", "--help"])]
LIGHT += [
    ("dogbreed.health.__main__", ["replay", "--help"]),
    ("dogbreed.train", ["--shell-completion", "install=bash"]),
]
LIGHT += [(f"dogbreed.{name}", line) for name in ("train", "evaluate") for line in (["--cfg", "job"], ["--hydra-help"])]
LIGHT += [("dogbreed.train", [wrong]) for wrong in ("haed=mlp", "head=mpl", "seed=x", "monitor=val/akk", "a=[")]
LIGHT += [("dogbreed.train", ["-m", "hydra/sweeper=fleat"]), ("dogbreed.evaluate", ["artifact=a", "data.rot=b"])]

_RUN = """
import contextlib, importlib, io, json, sys
for module, arguments in json.load(sys.stdin):
    sys.argv = [module, *arguments]
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out), contextlib.suppress(SystemExit):
        importlib.import_module(module).main()
    heavy = ("torch", "torchvision", "pytorch_lightning", "timm", "matplotlib", "scipy", "sagemaker", "boto3", "optuna")
    found = [name for name in heavy if name in sys.modules]
    print(json.dumps([module, arguments, found, "Traceback" in out.getvalue(), bool(out.getvalue())]))
"""


@pytest.mark.slow
def test_commands__load_nothing_heavy_before_there_is_work(tmp_path: Path) -> None:
    environment = {**os.environ, "HOME": str(tmp_path)}
    ran = subprocess.run(
        [sys.executable, "-c", _RUN],
        input=json.dumps(LIGHT),
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    told = [json.loads(line) for line in ran.stdout.splitlines()]
    assert told == [[module, arguments, [], False, True] for module, arguments in LIGHT], ran.stderr
    assert not list(tmp_path.glob("runs/*/config.yaml"))
