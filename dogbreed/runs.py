"""The run directory: what was run, with what, on what."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shlex
import subprocess
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from dogbreed.choices import CONFIG_DIR
from dogbreed.data.folder import Skipped
from dogbreed.files import clear_leftovers, from_here, write_csv, write_json, write_text, writing

_PACKAGES = (
    "torch",
    "torchvision",
    "timm",
    "pytorch-lightning",
    "torchmetrics",
    "hydra-core",
    "numpy",
    "pillow",
    "simplejpeg",
)


def is_first_process() -> bool:
    """Whether this process writes the run's files: the first of those that share the training."""
    from pytorch_lightning.utilities import rank_zero_only  # here and not above: `command` is for programs without it

    rank: int = rank_zero_only.rank  # type: ignore[attr-defined]  # an attribute that Lightning sets on it
    return rank == 0


def start_run(config: DictConfig, module: str, overrides: list[str]) -> Path:
    """The run's directory, holding config.yaml (composed, resolved) and run.json.

    Args:
        config: with paths.output_dir.
        module: what was started, such as "dogbreed.train".
        overrides: the command line's.

    Raises:
        OutputError: the directory cannot be written.
    """
    directory = Path(config.paths.output_dir)
    with writing(directory):
        directory.mkdir(parents=True, exist_ok=True)
    clear_leftovers(directory)
    write_text(directory / "config.yaml", OmegaConf.to_yaml(config, resolve=True))
    write_json(directory / "run.json", _environment() | {"command": command(module, overrides)})
    return directory


def command(module: str, overrides: list[str], *more: str) -> str:
    """The shell command that runs `module` with these overrides, and with the --config-dir that is read now."""
    return shlex.join(["python", "-m", module, *_config_dir(), *overrides, *more])


def _config_dir() -> list[str]:
    if not HydraConfig.initialized():
        return []
    sources = HydraConfig.get().runtime.config_sources
    return [
        word
        for one in sources
        if one.provider == "command-line"
        for word in (CONFIG_DIR, str(from_here(Path(one.path))))
    ]


def write_skipped(directory: Path, skipped: list[Skipped]) -> None:
    """List every file that was left out, and why, in skipped.csv."""
    write_csv(directory / "skipped.csv", [vars(entry) for entry in skipped], ("split", "path", "reason"))


def _environment() -> dict[str, Any]:
    import torch  # here and not above: as in is_first_process

    devices = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    return {
        "started": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "directory": os.getcwd(),
        "git": git_revision(),
        "machine": {"system": platform.platform(), "cores": os.cpu_count(), "devices": devices},
        "versions": {"dogbreed": importlib.metadata.version("dogbreed"), "python": platform.python_version()}
        | {name: importlib.metadata.version(name) for name in _PACKAGES},
    }


def git_revision() -> str | None:
    """The revision of the code, with +changes where the work tree differs; None where it is no checkout.

    Code that was sent elsewhere is no checkout any more, and whoever sent it says the revision: DOGBREED_REVISION.
    """
    if told := os.environ.get("DOGBREED_REVISION"):
        return told
    here = Path(__file__).parent
    try:
        revision = subprocess.run(["git", "rev-parse", "HEAD"], cwd=here, capture_output=True, text=True, check=True)
        changes = subprocess.run(["git", "status", "--porcelain"], cwd=here, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return revision.stdout.strip() + ("+changes" if changes.stdout.strip() else "")
