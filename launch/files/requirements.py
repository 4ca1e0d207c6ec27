"""What a job's container installs first: what the library needs, in the versions that are proven to run together.

Pure: no torch, no SDK.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from configparser import ConfigParser
from pathlib import Path

from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from dogbreed.errors import ConfigError, did_you_mean

#: A container of PyTorch brings these, built for its CUDA; another torch would be gigabytes, and may not see the GPU.
OF_THE_CONTAINER = ("torch", "torchvision")
_LIBRARY = "dogbreed"
#: The name of what is needed always, beside the names of the extras.
_ALWAYS = ""


def of_checkout(root: Path, extras: Sequence[str], only: Collection[str] | None = None) -> str:
    """A requirements.txt by setup.cfg, pinned by constraints.txt.

    Args:
        root: of the checkout.
        extras: of setup.cfg, that the config needs.
        only: names of packages, the others are left out; None for all.

    Raises:
        ConfigError: there is no such extra.
    """
    setup = read_setup(root)
    declared = {_ALWAYS: setup["options"]["install_requires"], **setup["options.extras_require"]}
    pins = _parse((root / "constraints.txt").read_text(encoding="utf-8").splitlines())
    needed = {name: _parse(lines.splitlines()) for name, lines in declared.items()}
    return _render(needed, extras, pins, "constraints.txt", only)


def of_installed(extras: Sequence[str], only: Collection[str] | None = None) -> str:
    """A requirements.txt by the installed package's own metadata, pinned to the versions that are installed here.

    Args:
        extras: of the package, that the config needs.
        only: as in `of_checkout`.

    Raises:
        ConfigError: there is no such extra.
    """
    distribution = importlib.metadata.distribution(_LIBRARY)
    lines = _parse(distribution.requires or [])
    names = [_ALWAYS, *distribution.metadata.get_all("Provides-Extra", [])]
    needed = {name: [line for line in lines if _is_for(line, name)] for name in names}
    versions = {d.metadata["Name"]: d.version for d in importlib.metadata.distributions()}
    pins = _parse(f"{name}=={version}" for name, version in versions.items())
    for line in lines:
        line.marker = None  # it holds here, and names the extra, which means nothing in a requirements.txt
    return _render(needed, extras, pins, "the installation that sent them", only)


def read_setup(root: Path) -> ConfigParser:
    """A checkout's setup.cfg."""
    setup = ConfigParser()
    setup.read(root / "setup.cfg", encoding="utf-8")
    return setup


def pin(requirement: Requirement, pins: Iterable[Requirement]) -> Iterator[str]:
    """The requirement in the versions that `pins` fix, a line for each marker of theirs; itself where they know none.

    >>> pins = [Requirement(f"Pillow=={pin}") for pin in ("12; python_version < '3.11'", "13; python_version > '3.10'")]
    >>> list(pin(Requirement("pillow>=11"), pins))
    ['pillow==12; python_version < "3.11"', 'pillow==13; python_version > "3.10"']
    >>> list(pin(Requirement("tqdm>=4.66"), pins))
    ['tqdm>=4.66']
    """
    name = canonicalize_name(requirement.name)
    found = [known for known in pins if canonicalize_name(known.name) == name]
    for known in found:
        pinned = Requirement(str(requirement))
        pinned.specifier = known.specifier
        markers = [marker for marker in (requirement.marker, known.marker) if marker is not None]
        pinned.marker = Marker(" and ".join(f"({marker})" for marker in markers)) if markers else None
        yield str(pinned)
    if not found:
        yield str(requirement)


def _render(
    needed: Mapping[str, Sequence[Requirement]],
    extras: Sequence[str],
    pins: Sequence[Requirement],
    source: str,
    only: Collection[str] | None,
) -> str:
    chosen = None if only is None else {canonicalize_name(name) for name in only}
    wanted = [
        line for line in _expand(needed, [_ALWAYS, *extras]) if chosen is None or canonicalize_name(line.name) in chosen
    ]
    theirs = sorted({str(line) for line in wanted if canonicalize_name(line.name) in OF_THE_CONTAINER})
    ours = {text for line in wanted if canonicalize_name(line.name) not in OF_THE_CONTAINER for text in pin(line, pins)}
    head = [
        f"# Without {', '.join(theirs)}: the container has its own, built for its CUDA.",
        f"# Versions are those of {source}, which run together.",
    ]
    return "\n".join([*head, *sorted(ours, key=str.lower)]) + "\n"


def _expand(needed: Mapping[str, Sequence[Requirement]], names: Iterable[str]) -> Iterator[Requirement]:
    """What these extras need, those that they name in turn included."""
    known = [name for name in needed if name != _ALWAYS]
    for name in names:
        if name not in needed:
            raise ConfigError(f"the extra {name}{did_you_mean(name, known)}", ", ".join(known), "name one of these")
        for line in needed[name]:
            if canonicalize_name(line.name) == _LIBRARY:
                yield from _expand(needed, sorted(line.extras))
            else:
                yield line


def _is_for(line: Requirement, extra: str) -> bool:
    """Whether an installed package's requirement is one of `extra`, on this Python."""
    if line.marker is None:
        return extra == _ALWAYS
    return line.marker.evaluate({"extra": extra}) and (extra == _ALWAYS or not line.marker.evaluate({"extra": _ALWAYS}))


def _parse(lines: Iterable[str]) -> list[Requirement]:
    return [Requirement(line) for line in map(str.strip, lines) if line and not line.startswith("#")]
