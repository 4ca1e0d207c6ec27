"""`python -m benchmarks.exports`: every export of an artifact beside torch, and how soon a cold process answers.

The exports are made anew in a copy of the artifact; the figures of each are those that `python -m dogbreed.export`
prints. A cold start is a process that imports torch and the backbone's library, and then loads the artifact and
answers for one picture: the second part is what counts. Python's bytecode is there, as in an installed environment.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from benchmarks.measuring import describe_machine, finish, median, print_machine, print_table
from dogbreed.data.folder import find_pictures
from dogbreed.errors import ConfigError
from dogbreed.exports.judging import read_views, spread
from dogbreed.exports.loading import load_forward
from dogbreed.exports.writing import export
from dogbreed.serving.artifact import load_artifact

#: Each with its format and precision.
EXPORTS = {
    "torch_export": ("torch_export", "fp32"),
    "onnx": ("onnx", "fp32"),
    "openvino": ("openvino", "fp32"),
    "openvino int8": ("openvino", "int8"),
}

COLD = """
import sys, time
start = time.perf_counter(), time.process_time()
import torch, {library}
imported = time.perf_counter(), time.process_time()
from dogbreed.serving.predictor import Predictor
Predictor.load(sys.argv[1], engine=sys.argv[2])(sys.argv[3])
answered = time.perf_counter(), time.process_time()
print(*(b - a for a, b in zip(start, imported)), *(b - a for a, b in zip(imported, answered)))
"""


def measure(directory: Path, pictures: Sequence[str], calibrate: Sequence[str], rounds: int) -> dict[str, Any]:
    """By export: how it compares with torch, milliseconds a picture, and its cold start; or why there is none."""
    found: dict[str, Any] = {"torch": _timed(directory, "torch", pictures, rounds)}
    for name, (form, precision) in EXPORTS.items():
        try:
            judged = export(
                directory, form, pictures, precision=precision, calibrate=calibrate if precision == "int8" else ()
            ).judged
        except ConfigError as error:
            found[name] = {"refused": error.got}
            continue
        found[name] = asdict(judged) | _timed(directory, form, pictures, rounds)
    return found


def _timed(directory: Path, engine: str, pictures: Sequence[str], rounds: int) -> dict[str, Any]:
    cold = [_cold_start(directory, engine, pictures[0]) for _ in range(1 + rounds)][1:]  # the first writes bytecode
    columns = zip(*cold, strict=True)
    names = ("import_wall_s", "import_cpu_s", "answer_wall_s", "answer_cpu_s")
    figures: dict[str, Any] = {name: median(column) for name, column in zip(names, columns, strict=True)}
    return figures | {"ms": _milliseconds(directory, engine, pictures)}


def _cold_start(directory: Path, engine: str, picture: str) -> list[float]:
    code = COLD.format(library=load_artifact(directory).about["backbone"]["library"])
    command = [sys.executable, "-c", code, str(directory), engine, picture]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment["PYTHONPYCACHEPREFIX"] = str(directory.parent / "bytecode")
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return [float(text) for text in ran.stdout.split()]


def _milliseconds(directory: Path, engine: str, pictures: Sequence[str]) -> dict[int, float]:
    """Processor time a picture from views to logits, one at a time and in batches of 16; the fastest of five."""
    artifact = load_artifact(directory)
    views = read_views(artifact, spread(pictures, 16))
    if engine == "torch":
        forward = torch.inference_mode()(lambda some: artifact.head(artifact.backbone(some)))
    else:
        forward = load_forward(directory, engine, artifact)
    best = {}
    for size in (1, len(views)):
        forward(views[:size])
        times = []
        for _ in range(5):
            start = time.process_time()
            for part in views.split(size):
                forward(part)
            times.append(time.process_time() - start)
        best[size] = 1000 * min(times) / len(views)
    return best


def _rows(found: dict[str, Any]) -> list[list[str]]:
    rows = []
    for name, figures in found.items():
        if "refused" in figures:
            continue
        compared = ["", "", ""]
        if "agreement" in figures:
            right = "" if figures["accuracy"] is None else f"{figures['accuracy']:.2%}"
            compared = [f"{figures['largest_difference']:.1e}", f"{figures['agreement']:.2%}", right]
        times = [f"{figures[key]:.2f}" for key in ("import_wall_s", "answer_wall_s", "answer_cpu_s")]
        rows.append([name, *compared, *[f"{ms:.1f}" for ms in figures["ms"].values()], *times])
    return rows


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """Measure, print and, if asked, write JSON; returns the figures."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.exports", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--artifact", required=True, type=Path, metavar="DIR", help="what a training run wrote")
    parser.add_argument("--pictures", required=True, metavar="FOLDER", help="of test")
    parser.add_argument("--calibrate", metavar="FOLDER", help="of train, for int8")
    parser.add_argument("--limit", type=int, metavar="N", help="of the pictures")
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="cold starts, of which the median counts")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    options = parser.parse_args(arguments)
    machine = describe_machine()
    pictures = spread(list(find_pictures([options.pictures])), options.limit)
    calibrate = list(find_pictures([options.calibrate])) if options.calibrate else []
    with tempfile.TemporaryDirectory() as scratch:
        copy = shutil.copytree(options.artifact, Path(scratch) / "artifact", ignore=shutil.ignore_patterns("exports"))
        model = load_artifact(copy).identity
        found = measure(copy, pictures, calibrate, options.rounds)
    print_machine(machine)
    print("ms: processor time a picture; import, answer: seconds of a cold process, its first answer after the import")
    print(f"{model}: {len(pictures):,} pictures, {torch.get_num_threads()} thread(s)")
    header = [
        "engine",
        "difference",
        "same label",
        "right",
        "ms alone",
        "ms in 16",
        "import s",
        "answer s",
        "its CPU s",
    ]
    print_table(header, _rows(found))
    for name in [name for name, figures in found.items() if "refused" in figures]:
        print(f"{name}: {found[name]['refused']}")
    result = {"machine": machine, "model": model, "pictures": len(pictures), "engines": found}
    finish(result, options.json)
    return result


if __name__ == "__main__":
    main()
