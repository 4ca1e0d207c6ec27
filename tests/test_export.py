"""`dogbreed.export`: what a user sees."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dogbreed.export
import dogbreed.predict

Command = Callable[..., Any]


def test_export__prints_how_it_compares_and_what_to_do_next(
    command: Command, artifact: Path, shared_folder: Path
) -> None:
    settings = ["--artifact", artifact, "--format", "torch_export"]
    ended = command(dogbreed.export.main, *settings, "--pictures", shared_folder / "test", "--limit", 8)

    assert ended.code == 0
    assert "compared with torch on 8 pictures:" in ended.out
    assert "same label                     100.00%" in ended.out
    assert f"dogbreed.predict --artifact {artifact} --engine torch_export {shared_folder}/test/" in ended.out


def test_export__is_what_predict_then_uses(command: Command, artifact: Path, shared_folder: Path) -> None:
    settings = ["--artifact", artifact, "--format", "torch_export", "--pictures", shared_folder / "test"]
    command(dogbreed.export.main, *settings)
    asked = ["--artifact", artifact, "--format", "csv", shared_folder / "test"]

    assert (
        command(dogbreed.predict.main, *asked, "--engine", "torch_export").out.count("\n")
        == command(dogbreed.predict.main, *asked).out.count("\n")
        == 17
    )


def test_export__ends_with_one_error(command: Command, tmp_path: Path, shared_folder: Path) -> None:
    settings = ["--artifact", tmp_path, "--format", "torch_export", "--pictures", shared_folder / "test"]
    ended = command(dogbreed.export.main, *settings)

    assert (ended.code, ended.out) == (1, "")
    assert ended.err.startswith("error: no artifact.json in")


def test_export__refuses_int8_elsewhere_than_in_openvino(command: Command, artifact: Path, shared_folder: Path) -> None:
    settings = ["--artifact", artifact, "--format", "torch_export", "--precision", "int8"]
    ended = command(dogbreed.export.main, *settings, "--pictures", shared_folder / "test")

    assert ended.code == 1
    assert "error: int8 in torch_export" in ended.err


def test_export__helps_without_torch() -> None:
    code = "import sys, dogbreed.export\ntry:\n    dogbreed.export.main(['--help'])\nexcept SystemExit:\n    pass\n"
    code += "print('torch' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert ran.stdout.endswith("False\n")
