"""Overrides of any kind: each command does what they say, or ends with one clear error."""

from __future__ import annotations

import importlib
import random
import shutil
import sys
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

from hypothesis import strategies as some
from omegaconf import OmegaConf

from dogbreed.app import compose
from tests.fuzzing.bases import SMALL_RUN, make_photos
from tests.fuzzing.case import Case
from tests.fuzzing.commands import ends
from tests.fuzzing.splices import draw_splices, splice
from tests.fuzzing.values import example

#: A command, its config, and what makes it stop before it does any work: the data or the artifact is not there.
_COMMANDS = {
    "dogbreed.train": ("train", ["data=folder", "data.root=nowhere", "hydra.run.dir=out"]),
    "dogbreed.evaluate": ("evaluate", ["artifact=nowhere", "data.root=nowhere", "hydra.run.dir=out"]),
    "launch.train": ("launch", ["dry_run=true", "data=folder", "data.root=nowhere", "hydra.run.dir=out"]),
    "launch.deploy": ("deploy", ["dry_run=true", "artifact=nowhere", "name=dogs", "hydra.run.dir=out"]),
}
_TRAINING = ["logger=none", "report=false", "trainer.max_epochs=1", "data.batch_size=4", "hydra.run.dir=out"]
_SHARES = [
    ("dogbreed.train", 36),
    ("dogbreed.evaluate", 22),
    ("launch.train", 12),
    ("launch.deploy", 20),
    ("training", 10),
]

#: Where a run writes, what it fetches, and how many processes it starts: no mistake, but nothing to try blindly.
_NOT = (
    "hydra",
    "paths",
    "backbone",
    "data.root",
    "data.num_workers",
    "artifact",
    "dry_run",
    "sagemaker.image",
    "resume",
)
_NOT_TRAINING = (
    "trainer.devices",
    "trainer.num_nodes",
    "trainer.strategy",
    "trainer.max",
    "trainer.accelerator",
    "trainer=",
)

_REAL = (
    "optimizer.lr=0.001",
    "optimizer=sgd",
    "augmentation=crop_flip",
    "features.views=10",
    "scheduler=cosine_warmup",
    "trainer.max_epochs=5",
    "trainer.precision=bf16-mixed",
    "~callbacks.early_stopping",
    "+trainer.gradient_clip_val=0.5",
    "health=aws",
    "health.rules.Overfit.patience=3",
    "health.fail_on=[Overfit,LossNotDecreasing]",
    "hook=smdebug",
    "data.on_error=skip",
    "data.val_fraction=0.2",
    "data.exclude='a b.csv'",
    "head.hidden=[256,128]",
    "label_smoothing=0.1",
    "class_weights=balanced",
    "monitor=val/loss",
    "notes=['one','two']",
    "search_space=lr_batch",
    "split=val",
    "sagemaker.instance_type=ml.m5.xlarge",
    "sagemaker.tags={team: dogs}",
    "sagemaker.max_run_s=3600",
    "logger=all",
    "experiment=quickstart",
)
#: Parted by blanks, for there are so many; what holds one stands behind them.
_WORDS = some.sampled_from(
    [
        *[
            "null",
            "true",
            "inf",
            "nan",
            "-1",
            "0",
            "1e400",
            "0x1f",
            "1_000",
            "${seed}",
            "${nothing}",
            "${oc.env:HOME}",
            "${",
            "???",
            "a,b",
            "[",
            "{a:",
            "=",
            "a=b",
            ":",
            "@",
        ],
        *[
            "range(3)",
            "choice(1,2)",
            "interval(0,1)",
            "glob(*)",
            "shuffle(1)",
            "str(1)",
            "int(x)",
            "sort(2,1)",
            "tag(a,1)",
            "extend_list(1)",
        ],
        *("", " ", "9" * 25, "'", '"x"', "\\", "é", "../..", "nowhere", "builtins.dict"),
    ]
)
_VALUES = some.recursive(
    _WORDS | some.integers().map(str) | some.floats().map(str) | some.text(max_size=8),
    lambda inner: (
        some.lists(inner, max_size=3).map(lambda parts: f"[{','.join(parts)}]")
        | some.dictionaries(some.sampled_from("abc") | _WORDS, inner, max_size=2).map(
            lambda parts: "{" + ",".join(f"{key}:{value}" for key, value in parts.items()) + "}"
        )
    ),
    max_leaves=5,
)
#: One of each kind that YAML has.
_PLAIN = ("5", "1.5", "-1", "true", "null", "xyz", "''", "[5]", "{a:1}")
_MARKS = some.sampled_from(["", "", "", "", "+", "++", "~"])
_LINES = some.lists(some.tuples(_MARKS, _VALUES), min_size=1, max_size=3)


class Cases:
    """A case is a command's overrides."""

    def __init__(self, bases: Path, work: Path) -> None:
        self._photos, self._artifact, self._work = make_photos(bases), bases, work
        for name in _COMMANDS:
            importlib.import_module(name)

    def make(self, rng: random.Random, number: int) -> Case:
        """One to three overrides: made by the grammar from real keys, or real ones with changes; or a plain one."""
        [command] = rng.choices([name for name, _ in _SHARES], [share for _, share in _SHARES])
        keys = _keys(_COMMANDS.get(command, ("train", []))[0])
        forbidden = _NOT + (_NOT_TRAINING if command == "training" else ())
        drawn = example(_LINES, number)
        if command == "training" and rng.random() < 0.7:  # more get past the first wrong thing
            drawn = [("", rng.choice(_PLAIN))]
        lines = [_mutated(rng) if rng.random() < 0.4 else f"{mark}{rng.choice(keys)}={value}" for mark, value in drawn]
        good = [line for line in lines if not line.lstrip("+~ ").startswith(forbidden) and "\0" not in line]
        return {"command": command, "overrides": good}

    def check(self, case: Case) -> str:
        """The command stops at what is not there, or at the overrides; or it trains."""
        shutil.rmtree(self._work / "out", ignore_errors=True)
        name, overrides = case["command"], case["overrides"]
        if name == "training":
            settings = [*SMALL_RUN, f"data.root={self._photos}", *_TRAINING]
            name = "dogbreed.train"
        else:
            settings = _COMMANDS[name][1]
        # No override is taken for an option: those are argparse's.
        given = [line for line in overrides if not line.startswith("-")]
        with patch.object(sys, "argv", [name, *settings, *given]):
            return ends(sys.modules[name].main)


@lru_cache
def _keys(config_name: str) -> list[str]:
    """Every key of a config, and its groups."""
    found = list(_walk(OmegaConf.to_container(compose(config_name, []), resolve=False), ""))
    return [*found, "nothing", "optimizer.nothing", "data@x", "experiment", "search_space"]


def _walk(node: Any, prefix: str) -> Iterator[str]:
    if isinstance(node, dict):
        for key, value in node.items():
            yield f"{prefix}{key}"
            yield from _walk(value, f"{prefix}{key}.")


def _mutated(rng: random.Random) -> str:
    line = rng.choice(_REAL).encode()
    return splice(line, draw_splices(line, rng, rng.choice(_REAL).encode())).decode("utf-8", "surrogateescape")
