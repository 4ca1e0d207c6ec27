"""The forms that a classifier is exported in, and where an artifact keeps them. No torch: for help and checks."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

from dogbreed.errors import ConfigError, did_you_mean

if TYPE_CHECKING:
    from torch import Tensor, nn

FORMATS = ("torch_export", "onnx", "openvino")
ENGINES = ("torch", *FORMATS)
PRECISIONS = ("fp32", "int8")

Forward = Callable[["Tensor"], "Tensor"]  # uint8 (B, 3, S, S) -> logits float32 (B, C), from several threads


class Format(Protocol):
    """What each module of this room that is named after a format holds.

    Attributes:
        PACKAGES: what it needs installed to write and to load.
        INSTALL: the command that brings them.
    """

    PACKAGES: tuple[str, ...]
    INSTALL: str

    def write(self, network: nn.Module, size: int, folder: Path, examples: Tensor | None) -> None:
        """Write a network that reads uint8 (B, 3, size, size) into `folder`, quantised where there are examples."""
        ...

    def load(self, folder: Path) -> Forward:
        """What `write` wrote, on as many threads as torch uses; raises whatever a damaged file leads to."""
        ...


def load_format(name: str) -> Format:
    """The format of this name.

    Raises:
        ConfigError: there is none, or a package that it needs is missing.
    """
    if name not in FORMATS:
        near = did_you_mean(name, ENGINES)
        raise ConfigError(f"the engine {name!r}{near}", ", ".join(ENGINES), "set --engine, or --format of an export")
    found = cast(Format, import_module(f"dogbreed.exports.{name}"))
    versions(found.PACKAGES, name, found.INSTALL)
    return found


def versions(packages: tuple[str, ...], what: str, install: str) -> dict[str, str]:
    """The installed version of each package.

    Raises:
        ConfigError: one is missing; says how to install it.
    """
    found = {}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError as error:
            raise ConfigError(f"{what} without the package {package}", ", ".join(packages), install) from error
    return found


def export_folder(artifact: Path, name: str) -> Path:
    """Where an artifact keeps its export in a format."""
    return artifact / "exports" / name
