"""model.tar.gz as SageMaker hosts it: an artifact and the code that answers with it, the same bytes for the same files.

Container images unpack it to /opt/ml/model: the artifact at the top, code/inference.py and what it imports below.
"""

from __future__ import annotations

import ast
import hashlib
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import packages_distributions
from pathlib import Path

import dogbreed
from dogbreed.errors import ArtifactError
from dogbreed.exports.formats import load_format
from dogbreed.files import is_inside, write_bytes
from launch.files import requirements as needs
from launch.files.packaging import make_archive

_LIBRARY = "dogbreed"
#: The checkout, or the folder that the library is installed in.
_ROOT = Path(dogbreed.__file__).parents[1]
#: What SageMaker's toolkit imports, in the archive and here.
_HANDLERS = Path(__file__).parents[1] / "inference.py"
#: Of an artifact, what answering takes; the rest is brought along where it is asked for.
_ALWAYS = ("artifact.json", "weights.safetensors")
#: Weights hardly get smaller, whatever time is spent on them.
_LEVEL = 1
#: Makes exports, and no answers.
_QUANTISER = "nncf"


@dataclass(frozen=True)
class Package:
    """A model.tar.gz.

    Attributes:
        path: where it is.
        size: in bytes.
        sha256: in hexadecimal.
        files: path in the archive and size in bytes of each file, by path.
        model: which classifier it holds, as answers name it.
    """

    path: Path
    size: int
    sha256: str
    files: tuple[tuple[str, int], ...]
    model: str


def build_package(artifact: Path, target: Path, *, exports: bool = False, thumbnails: bool = False) -> Package:
    """Write model.tar.gz, whole or not at all.

    Args:
        artifact: its directory.
        target: the file to write.
        exports: take the artifact's exports along, for an engine other than torch.
        thumbnails: take its thumbnails along, for the page of dogbreed.serve.

    Raises:
        ArtifactError: the artifact cannot be served, or has no exports or thumbnails to take along.
        ConfigError: a package that an export needs is not installed here.
        OutputError: the file cannot be written.
    """
    from dogbreed.serving.artifact import load_artifact

    model = load_artifact(artifact).identity
    folders = [name for name, wanted in (("exports", exports), ("thumbnails", thumbnails)) if wanted]
    of_artifact = [*(artifact / name for name in _ALWAYS), *(f for name in folders for f in _files_of(artifact, name))]
    _check_links(artifact, of_artifact)
    files = {path.relative_to(artifact).as_posix(): path.read_bytes() for path in of_artifact}
    formats = sorted(path.name for path in (artifact / "exports").iterdir() if path.is_dir()) if exports else []
    code = _modules(_HANDLERS, *(_ROOT / f"dogbreed/exports/{name}.py" for name in formats))
    files |= {f"code/{path.relative_to(_ROOT).as_posix()}": path.read_bytes() for path in code}
    files["code/inference.py"] = _HANDLERS.read_bytes()
    files["code/requirements.txt"] = _requirements([_HANDLERS, *code], formats).encode()
    ordered = dict(sorted(files.items()))
    content = make_archive(ordered, _LEVEL)
    write_bytes(target, content)
    sizes = tuple((name, len(inside)) for name, inside in ordered.items())
    return Package(target, len(content), hashlib.sha256(content).hexdigest(), sizes, model)


def _files_of(artifact: Path, folder: str) -> list[Path]:
    found = sorted(path for path in (artifact / folder).rglob("*") if path.is_file())
    if not found:
        raise ArtifactError(
            f"no {folder} in {artifact}", "an artifact that has them", f"leave --{folder} out, or make them first"
        )
    return found


def _check_links(artifact: Path, files: Sequence[Path]) -> None:
    """Refuse what an artifact from elsewhere could have sent along: whatever a link of it points to on this machine."""
    for path in files:
        if path.exists() and not is_inside(path, artifact):
            raise ArtifactError(
                f"{path} is a link to {path.resolve()}, outside of the artifact",
                "files of the artifact itself",
                "put the file itself in the place of the link, if it belongs to the artifact",
            )


def _modules(*starts: Path) -> list[Path]:
    """The library's own files that these import, directly or not; those among them that are its own included."""
    found: dict[str, Path] = {}
    waiting = [name for start in starts for name in _imports(start)]
    waiting += [_name_of(start) for start in starts if start != _HANDLERS]
    while waiting:
        name = waiting.pop()
        file = _file_of(name)
        if name in found or file is None:
            continue
        found[name] = file
        parent = name.rpartition(".")[0]
        waiting += [*([parent] if parent else []), *_imports(file)]
    return sorted(found.values())


def _name_of(file: Path) -> str:
    return ".".join(file.relative_to(_ROOT).with_suffix("").parts)


def _file_of(name: str) -> Path | None:
    """Where a module of the library is; None for other modules, and for names that are none."""
    if name.split(".")[0] != _LIBRARY:
        return None
    place = _ROOT.joinpath(*name.split("."))
    candidates = (place / "__init__.py", place.with_suffix(".py"))
    return next((file for file in candidates if file.is_file()), None)


def _imports(file: Path) -> Iterator[str]:
    """What a file may import when it runs: of `from a import b`, both a and a.b."""
    waiting: list[ast.AST] = [ast.parse(file.read_bytes())]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            waiting += node.orelse
        else:
            waiting += ast.iter_child_nodes(node)


def _requirements(files: Sequence[Path], formats: Sequence[str]) -> str:
    """A requirements.txt of what these files import, of what the library always needs, and of what exports need."""
    imported = {name.split(".")[0] for file in files for name in _imports(file)} - {_LIBRARY, *sys.stdlib_module_names}
    known, extras = packages_distributions(), []
    wanted = {distribution for name in imported for distribution in known.get(name, [])} - {_QUANTISER}
    for name in formats:
        packages = load_format(name).PACKAGES
        wanted |= set(packages)
        extras += [name] if set(packages) - set(needs.OF_THE_CONTAINER) else []
    if (_ROOT / "setup.cfg").is_file():
        return needs.of_checkout(_ROOT, extras, only=wanted)
    return needs.of_installed(extras, only=wanted)
