"""The code of a job: one archive that runs where it is unpacked, the same bytes for the same files."""

from __future__ import annotations

import gzip
import hashlib
import importlib.metadata
import io
import subprocess
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from dogbreed.errors import ConfigError
from launch.files import requirements as needs

_LIBRARY = "dogbreed"
_REQUIREMENTS = "requirements.txt"
#: Untracked files that a note names; the rest is counted.
_NAMED = 5


@dataclass(frozen=True)
class CodeArchive:
    """What a job runs.

    Attributes:
        content: a .tar.gz, which works where it is unpacked, without an installation of the library.
        files: path in the archive and size in bytes of each file, by path.
        notes: what a user should know before it is sent.
    """

    content: bytes
    files: tuple[tuple[str, int], ...]
    notes: tuple[str, ...]

    @cached_property
    def sha256(self) -> str:
        """Of the content, in hexadecimal."""
        return hashlib.sha256(self.content).hexdigest()


def pack_code(root: Path | None = None, *, extras: Sequence[str] = (), requirements: Path | None = None) -> CodeArchive:
    """The library's own code, packed for a job.

    Of a checkout, the files that git tracks and a job needs, as they are now: changes that are not committed travel,
    files that git does not know stay. Of an installed package, its files. The configs come as dogbreed/conf/ and the
    plugins as hydra_plugins/, where Python and Hydra find them without an installation.

    Args:
        root: a checkout; None for the one that this code belongs to, or the installed package.
        extras: of the library, that the config needs: "sweeps", "smdebug", ...
        requirements: what the container installs, in place of what the library's own set-up says.

    Raises:
        ConfigError: a file or an extra that is not there; a checkout that git cannot read.
    """
    root = Path(__file__).resolve().parents[2] if root is None else root
    if (root / "setup.cfg").is_file():
        packed, notes = _of_checkout(root)
        needed = "" if requirements else needs.of_checkout(root, extras)
    else:
        packed, notes = _of_installed()
        needed = "" if requirements else needs.of_installed(extras)
    packed[_REQUIREMENTS] = _read(requirements) if requirements else needed.encode()
    ordered = dict(sorted(packed.items()))
    return CodeArchive(make_archive(ordered), tuple((path, len(content)) for path, content in ordered.items()), notes)


def make_archive(files: Mapping[str, bytes], level: int = 9) -> bytes:
    """A .tar.gz of these files in their order, that says nothing of when, where and by whom it was made.

    Args:
        files: path in the archive -> content.
        level: of the compression, 0 to 9.
    """
    packed = io.BytesIO()
    with (
        gzip.GzipFile("", "wb", level, fileobj=packed, mtime=0) as squeezed,
        tarfile.open(fileobj=squeezed, mode="w", format=tarfile.PAX_FORMAT) as archive,
    ):
        for path, content in files.items():
            entry = tarfile.TarInfo(path)  # by default of nobody, at time 0, with mode 0644
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


def _of_checkout(root: Path) -> tuple[dict[str, bytes], tuple[str, ...]]:
    """Path in the archive -> content, and notes."""
    setup = needs.read_setup(root)
    options = setup["options"]
    moved = dict(line.replace(" ", "").split("=") for line in options["package_dir"].split("\n") if line)
    tops = {package.split(".")[0] for package in options["packages"].split()}
    places = {moved.get(package, package): package.replace(".", "/") for package in {*tops, *moved}}
    tracked = _git(root, "ls-files", "-z", "--", *places)
    # What is deleted and not yet committed is tracked, and not there.
    packed = {_placed(path, places): (root / path).read_bytes() for path in tracked if (root / path).is_file()}
    version = setup["metadata"]["version"]
    about = f"Metadata-Version: 2.1\nName: {_LIBRARY}\nVersion: {version}\n"
    packed[f"{_LIBRARY}-{version}.dist-info/METADATA"] = about.encode()  # runs note the library's version
    if f"{_LIBRARY}/train.py" not in packed:
        raise ConfigError(
            f"git tracks no {_LIBRARY}/train.py in {root}", "a whole checkout", "git add what a job needs"
        )
    unknown = _git(root, "ls-files", "-z", "--others", "--exclude-standard", "--", *places)
    more = f" and {len(unknown) - _NAMED} more" if len(unknown) > _NAMED else ""
    note = f"not tracked by git, so not sent: {', '.join(unknown[:_NAMED])}{more}; git add what the job needs"
    return packed, (note,) if unknown else ()


def _placed(path: str, places: Mapping[str, str]) -> str:
    """Where a file of the checkout belongs in the archive.

    >>> _placed("launch/hydra_plugins/a/b.py", {"launch": "launch", "launch/hydra_plugins": "hydra_plugins"})
    'hydra_plugins/a/b.py'
    """
    folder = max((folder for folder in places if path.startswith(f"{folder}/")), key=len)
    return f"{places[folder]}{path.removeprefix(folder)}"


def _git(root: Path, *arguments: str) -> list[str]:
    """The paths that a git command lists, in order, each once."""
    try:
        listed = subprocess.run(["git", *arguments], cwd=root, capture_output=True, check=True).stdout
    except FileNotFoundError as error:
        raise ConfigError("git is not installed", "git, which says what belongs to the code", "install git") from error
    except subprocess.CalledProcessError as error:
        said = error.stderr.decode(errors="replace").strip().splitlines() or ["it failed"]
        raise ConfigError(
            f"git cannot list the files of {root}: {said[0]}",
            "a git checkout, which says what belongs to the code",
            "git init && git add . there, or install the library from a wheel",
        ) from error
    return sorted({path.decode("utf-8", "surrogateescape") for path in listed.split(b"\0") if path})


def _of_installed() -> tuple[dict[str, bytes], tuple[str, ...]]:
    """The same of an installed package: what its installer wrote down."""
    packed = {}
    for file in importlib.metadata.files(_LIBRARY) or []:
        of_installer = file.parts[0].endswith(".dist-info") and file.name != "METADATA"
        if file.parts[0] != ".." and "__pycache__" not in file.parts and not of_installer:
            packed[file.as_posix()] = Path(str(file.locate())).read_bytes()
    if f"{_LIBRARY}/train.py" not in packed:
        raise ConfigError(
            f"{_LIBRARY} is neither a checkout nor installed with its files", "one of them", "reinstall it from a wheel"
        )
    version = importlib.metadata.version(_LIBRARY)
    return packed, (f"no checkout: the files of the installed {_LIBRARY} {version} are sent",)


def _read(requirements: Path) -> bytes:
    try:
        return requirements.expanduser().read_bytes()
    except OSError as error:
        raise ConfigError(
            f"{requirements} cannot be read: {error.strerror}", "a requirements.txt", "correct sagemaker.requirements"
        ) from error
