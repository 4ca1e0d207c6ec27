"""What the Tab key adds to a command, in real shells."""

from __future__ import annotations

import importlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from dogbreed.completion import candidates, commands, packages
from tests.terminals import Terminal, terminal

ROOT = Path(__file__).parents[1]


def test_commands__are_all_that_can_be_run() -> None:
    ran = [path for path in [*ROOT.glob("dogbreed/**/*.py"), *ROOT.glob("launch/**/*.py")] if _is_run(path)]
    named = {".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__main__") for path in ran}
    assert set(commands()) == named


def _is_run(path: Path) -> bool:
    text = path.read_text()
    return "\nif __name__ ==" in text and ("@ends_well(" in text or path.name == "plan.py")


@pytest.mark.parametrize("name", sorted(commands()))
def test_candidates__of_every_command(name: str) -> None:
    found = candidates(f"python -m {name} --")
    assert "--help" in found


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        ("dogbreed.e", ["dogbreed.evaluate", "dogbreed.export"]),
        ("dogbreed.train backb", ["backbone.", "backbone="]),
        ("dogbreed.train backbone=tv_m", ["backbone=tv_mobilenetv2"]),
        ("dogbreed.train -m head=linear,m", ["head=linear,mlp"]),
        ("dogbreed.train optimizer=adamw optimizer.", ["optimizer.lr=", "optimizer.weight_decay="]),
        ("dogbreed.train ~health.rules.Overf", ["~health.rules.Overfit", "~health.rules.Overfit."]),
        ("dogbreed.train --mu", ["--multirun"]),
        ("dogbreed.train hydra.", ["hydra.run.", "hydra.sweep."]),
        ("dogbreed.train -m hydra/sweeper=fleet hydra.sweeper.n", ["hydra.sweeper.n_trials="]),
        ("dogbreed.train data.root=", []),
        ("dogbreed.predict --form", ["--format"]),
        ("dogbreed.predict --format ", ["csv", "jsonl", "table"]),
        ("dogbreed.predict --artifact ", []),
        ("dogbreed.features ", ["list", "prune", "verify"]),
        ("dogbreed.features prune --un", ["--unused-days"]),
        ("dogbreed.data au", ["audit"]),
        ("dogbreed.data audit ", []),
        ("dogbreed.data audit limits.min_s", ["limits.min_side="]),
        ("launch.jobs de", ["describe"]),
        ("launch.train sagemaker.instance_t", ["sagemaker.instance_type="]),
        ("dogbreed.train ++optim", ["++optimizer.", "++optimizer="]),
        ("dogbreed.train -m hydra/sweeper=basic hydra/launcher=basic hydra.sw", ["hydra.sweep."]),
        ("dogbreed.train --config-dir ", []),
        ("dogbreed.train --cfg ", ["all", "hydra", "job"]),
        ("dogbreed.train --cfg job --package ", []),
        ("dogbreed.nothing ", []),
    ],
)
def test_candidates(typed: str, found: list[str]) -> None:
    assert candidates(f"python -m {typed}") == found


def test_candidates__of_a_folder_of_ones_own(tmp_path: Path) -> None:
    (tmp_path / "head").mkdir()
    (tmp_path / "head" / "mine.yaml").write_text("_target_: my_heads.Mine\nwidth: 3\n")
    typed = f"python -m dogbreed.train --config-dir {tmp_path}"
    assert candidates(f"{typed} head=m") == ["head=mine", "head=mlp"]
    assert candidates(f"{typed} head=mine head.w") == ["head.width="]
    assert candidates("python -m dogbreed.train head=m") == ["head=mlp"]


def test_packages__are_those_of_the_distribution() -> None:
    assert packages() == ["dogbreed", "launch"]


def test_candidates__of_settings_are_taken_by_the_command() -> None:
    for setting in [found for found in candidates("python -m dogbreed.train features.") if found.endswith("=")]:
        section, _, name = setting.rstrip("=").partition(".")
        assert name in importlib.import_module("dogbreed.app").compose("train", [])[section]


@pytest.fixture
def bash(tmp_path: Path) -> Iterator[Terminal]:
    """A bash in which python had a completion of its own, loaded when first wanted, and then got ours, twice."""
    environment = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "PS1": "ready> ", "TERM": "dumb"}
    environment |= {"HOME": str(tmp_path), "INPUTRC": "/dev/null"}
    (tmp_path / "PHOTOS").mkdir()
    (tmp_path / "script.py").touch()
    with terminal(["bash", "--norc", "--noprofile"], environment, tmp_path) as opened:
        opened.type("_own() { [[ $2 != --o* ]] || COMPREPLY=(--own); }; _load() { complete -F _own $1; return 124; }\n")
        opened.type(
            'complete -D -F _load; for _ in 1 2; do eval "$(python -m dogbreed.completion)"; done; echo "so"me\n'
        )
        opened.read_until("\nsome")
        yield opened


def test_bash__without_a_completion_for_python() -> None:
    script = f'eval "$({sys.executable} -m dogbreed.completion)"; complete -p python'
    ran = subprocess.run(["bash", "--norc", "-c", script], stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert (ran.stdout, ran.stderr) == ("complete -o bashdefault -o default -F _dogbreed_complete python\n", "")


@pytest.fixture
def zsh(tmp_path: Path) -> Iterator[Terminal]:
    """A zsh in which python had a completion of its own, and then got ours, twice."""
    if shutil.which("zsh") is None:
        pytest.skip("needs zsh")
    environment = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "PS1": "ready> ", "TERM": "dumb"}
    (tmp_path / "PHOTOS").mkdir()
    (tmp_path / "script.py").touch()
    with terminal(["zsh", "--no-rcs"], environment | {"HOME": str(tmp_path)}, tmp_path) as opened:
        opened.type("autoload -Uz compinit; compinit -u; _own() { _files; compadd -- --own; }; compdef _own python\n")
        opened.type('for _ in 1 2; do eval "$(python -m dogbreed.completion zsh)"; done; echo "so"me\n')
        opened.read_until("\nsome")
        yield opened


def test_zsh__without_compinit(tmp_path: Path) -> None:
    if shutil.which("zsh") is None:
        pytest.skip("needs zsh")
    script = f'eval "$({sys.executable} -m dogbreed.completion zsh)"; print $_comps[python] $_comps[python3]'
    ran = subprocess.run(
        ["zsh", "--no-rcs", "-c", script],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        env={**os.environ, "HOME": str(tmp_path)},
    )
    assert (ran.stdout, ran.stderr) == ("_dogbreed_complete _dogbreed_complete\n", "")


@pytest.mark.slow
@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_shell__completes(shell: str, request: pytest.FixtureRequest) -> None:
    opened: Terminal = request.getfixturevalue(shell)
    for typed, completed in [
        ("python -m dogb", "reed."),
        ("python -m dogbreed.tr", "ain "),
        ("python3 -m dogbreed.train optim", "izer"),
        ("python -m dogbreed.train backbone=tv_m", "obilenetv2 "),
        ("python -m dogbreed.train optimizer.w", "eight_decay="),
        ("python -m dogbreed.train data.root=PH", "OTOS/"),
        ("python -m dogbreed.predict --artifact PH", "OTOS/"),
        ("python -m dogbreed.predict --arti", "fact "),
        ("python -m launch.jobs desc", "ribe "),
        ("python scr", "ipt.py "),
        ("python --o", "wn "),
    ]:
        opened.type(f"{typed}\t")
        opened.read_until(typed)
        opened.read_until(completed) if completed not in opened.shown.rpartition(typed)[2] else None
        opened.type("\x15")  # clears the line
