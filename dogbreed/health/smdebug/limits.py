"""What smdebug cannot do: refused before anything is trained."""

from __future__ import annotations

import importlib.metadata
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytorch_lightning as pl
from packaging.version import Version
from torch import nn

from dogbreed.errors import ConfigError

INSTALL = "pip install 'dogbreed[smdebug]'"


def refuse(trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
    """Return where smdebug can follow a run.

    Raises:
        ConfigError: it cannot, and why.
    """
    for error in (*_unfit_packages(), *_unfit_run(trainer, pl_module)):
        raise error


def _unfit_packages() -> Iterator[ConfigError]:
    """Why the installed packages cannot do it."""
    installed = {}
    for name in ("smdebug", "numpy", "protobuf"):
        try:
            installed[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            yield ConfigError(f"hook=smdebug, and {name} is not installed", "the extra smdebug", INSTALL)
            return
    yield from unfit_versions(installed)


def unfit_versions(installed: Mapping[str, str]) -> Iterator[ConfigError]:
    """Why these versions cannot do it.

    >>> [error.got for error in unfit_versions({"numpy": "2.3.1", "protobuf": "3.20.3"})]
    ['hook=smdebug with numpy 2.3.1, in which what smdebug writes arrays with (tostring) is gone']
    """
    if Version(installed["numpy"]) >= Version("2.3"):
        reason = f"numpy {installed['numpy']}, in which what smdebug writes arrays with (tostring) is gone"
        yield ConfigError(f"hook=smdebug with {reason}", "numpy < 2.3", INSTALL)
    if Version(installed["protobuf"]) > Version("3.20.3"):
        reason = f"protobuf {installed['protobuf']}, which refuses smdebug's message types"
        yield ConfigError(f"hook=smdebug with {reason}", "protobuf <= 3.20.3", INSTALL)


def _unfit_run(trainer: pl.Trainer, pl_module: pl.LightningModule) -> Iterator[ConfigError]:
    """Why smdebug cannot follow this run."""
    if "bf16" in str(trainer.precision):
        yield ConfigError(
            f"hook=smdebug with trainer.precision={trainer.precision}: numpy, in which smdebug saves, has no bfloat16",
            "32-true, or 16-mixed on a GPU",
            "set trainer.precision=32-true, or hook=none",
        )
    if any(_is_compiled(module) for module in pl_module.modules()):
        yield ConfigError(
            "hook=smdebug on a module that torch.compile made: it compiles anew at every step, up to its limit",
            "a model as it was written",
            "leave torch.compile out, or hook=none",
        )
    base = os.environ.get("SAGEMAKER_BASE_DIR", "/opt/ml")
    checkpoints = Path(os.environ.get("CHECKPOINT_CONFIG_FILE_PATH", f"{base}/input/config/checkpointconfig.json"))
    if trainer.world_size > 1 and checkpoints.is_file():
        yield ConfigError(
            f"hook=smdebug with {trainer.world_size} processes and SageMaker's checkpoints ({checkpoints})",
            "one of the two: SageMaker Debugger does not support both",
            "train in one process, leave the job's CheckpointConfig out, or hook=none",
        )


def _is_compiled(module: nn.Module) -> bool:
    return type(module).__name__ == "OptimizedModule" or module._compiled_call_impl is not None
