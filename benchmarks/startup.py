"""How long a command takes to begin: its help, and the first training step on cached features.

Every time is of a fresh process, by the wall clock and by the processor's. The first step is timed inside the run, from
the start of its process, by a callback; beside it stands what importing torch and pytorch_lightning takes, measured in
turn with it: `python -m benchmarks.startup --json FILE`.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil
import pytorch_lightning as pl

from benchmarks.measuring import describe_machine, finish, print_machine, print_table

_IMPORT = "import os, torch, pytorch_lightning; os._exit(0)"  # what Python does at its end is no part of it
_COMMANDS = ["train", "evaluate", "predict", "serve", "export", "report", "health", "features", "data"]
_QUICKSTART = ["experiment=quickstart", "trainer.max_epochs=1", "report=false"]
_FILE = "DOGBREED_FIRST_STEP"  # the environment names the file that the run leaves


class FirstStep(pl.Callback):
    """Writes down what the process has taken when its first training step has ended."""

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Seconds of wall and of processor time, after the first step."""
        if trainer.global_step == 1 and batch_idx == 0:
            process = psutil.Process()
            used = process.cpu_times()
            taken = [time.time() - process.create_time(), used.user + used.system]
            Path(os.environ[_FILE]).write_text(json.dumps(taken), encoding="utf-8")


def measure(rounds: int, commands: Sequence[str]) -> dict[str, Any]:
    """Seconds of wall and processor time of each; the smallest of the rounds, for others can only make it longer."""
    with tempfile.TemporaryDirectory() as folder:
        here = {"DOGBREED_FEATURES": f"{folder}/features", "PYTHONPATH": os.getcwd(), _FILE: f"{folder}/taken.json"}
        here["PYTHONPYCACHEPREFIX"] = f"{folder}/bytecode"  # compiled once, as an installation is
        step = [*_QUICKSTART, "+callbacks.first._target_=benchmarks.startup.FirstStep"]
        step = ["-m", "dogbreed.train", *step, f"data.root={folder}/sample"]
        _run([*step, f"hydra.run.dir={folder}/warm"], here)  # draws the pictures and computes their features
        imported, first = [], []
        for number in range(rounds):
            imported.append(_run(["-c", _IMPORT], here))
            _run([*step, f"hydra.run.dir={folder}/{number}"], here)
            first.append(tuple(json.loads(Path(here[_FILE]).read_text(encoding="utf-8"))))
        helps = {}
        for name in commands:
            _run(["-m", f"dogbreed.{name}", "--help"], here)  # compiles what no run has
            helps[name] = _least([_run(["-m", f"dogbreed.{name}", "--help"], here) for _ in range(rounds)])
    return {
        "import torch and pytorch_lightning": _least(imported),
        "first training step": _least(first),
        "help": helps,
    }


def _least(times: Sequence[tuple[float, float]]) -> dict[str, float]:
    return {"wall_s": min(wall for wall, _ in times), "cpu_s": min(cpu for _, cpu in times)}


def _run(arguments: Sequence[str], environment: dict[str, str]) -> tuple[float, float]:
    """Seconds of wall and of processor time that a fresh Python takes, with its children.

    Raises:
        subprocess.CalledProcessError: it failed.
    """
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    before, started = os.times(), time.perf_counter()
    subprocess.run([sys.executable, *arguments], env={**kept, **environment}, check=True, stdout=subprocess.DEVNULL)
    wall, after = time.perf_counter() - started, os.times()
    used = after.children_user + after.children_system - before.children_user - before.children_system
    return wall, used


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.startup", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="of each (default: 5)")
    parser.add_argument(
        "--commands",
        nargs="*",
        default=_COMMANDS,
        help=f"of dogbreed, whose help is timed (default: {' '.join(_COMMANDS)})",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here too")
    options = parser.parse_args(arguments)
    machine = describe_machine()
    print_machine(machine)
    found = measure(options.rounds, options.commands)
    rows = [(name, times) for name, times in found.items() if name != "help"]
    rows += [(f"dogbreed.{name} --help", times) for name, times in found["help"].items()]
    print_table(
        ("", "wall s", "processor s"), [(name, f"{of['wall_s']:.2f}", f"{of['cpu_s']:.2f}") for name, of in rows]
    )
    imported, first = found["import torch and pytorch_lightning"], found["first training step"]
    beyond = {key: first[key] - imported[key] for key in imported}
    print(f"the first step comes {beyond['wall_s']:.2f} s ({beyond['cpu_s']:.2f} s of the processor) after the import")
    finish({"machine": machine, "rounds": options.rounds, **found, "beyond_import": beyond}, options.json)


if __name__ == "__main__":
    main()
