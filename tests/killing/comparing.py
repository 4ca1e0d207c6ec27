"""What killed commands left behind: whether each file is whole, and what two folders hold."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from PIL import Image

from dogbreed.errors import CheckpointError
from dogbreed.features.store import FeatureStore
from dogbreed.training.interruption import check_checkpoint

#: Names that `dogbreed.files` and its like give to what is not whole yet.
TEMPORARY = re.compile(r"\..+")

#: What says when, how fast or with which revision a run was, or how often it was begun: it differs between runs.
_TIMED = ("health.json", "profile.json", "samples.jsonl", "speed.json", "lock", "train.log", "index.jsonl")
_PASSING = re.compile(r"/steps/|/pixels-[^/]*\.json$")
_TIMES = ("git", "started", "seconds", "made", "took", "elapsed", "seconds_per_picture", "time")


def files(folder: Path) -> Iterator[Path]:
    """Every file below a folder that has its final name, sorted; Hydra's own folder is not ours."""
    for path in sorted(folder.rglob("*")):
        parts = path.relative_to(folder).parts
        # Lightning appends to its log of steps, which nothing of ours reads.
        if path.is_file() and "steps" not in parts and not any(TEMPORARY.fullmatch(part) for part in parts):
            yield path


def leftovers(folder: Path) -> list[Path]:
    """The temporary files and folders that nobody has cleared, the outermost ones."""
    found = (path for path in folder.rglob(".*") if path.name not in (".hydra", ".log"))
    return [path for path in found if not any(part.startswith(".") for part in path.relative_to(folder).parts[:-1])]


def size(path: Path) -> int:
    """Bytes of a file or of all files of a folder."""
    return sum(one.stat().st_size for one in ([path] if path.is_file() else path.rglob("*")) if one.is_file())


def defects(folder: Path) -> list[str]:
    """What is wrong with the files that have their final name: a kill may leave none of them half written."""
    found = []
    for path in files(folder):
        try:
            _WHOLE.get(path.suffix, lambda _: None)(path)
        except (ValueError, OSError, CheckpointError, yaml.YAMLError) as error:
            found.append(f"{path.relative_to(folder)}: {type(error).__name__}: {str(error).splitlines()[0]}")
    for about in folder.rglob("artifact.json"):
        if not any(TEMPORARY.fullmatch(part) for part in about.relative_to(folder).parts):
            weights = hashlib.sha256(about.with_name("weights.safetensors").read_bytes()).hexdigest()
            if json.loads(about.read_text())["weights_sha256"] != weights:
                found.append(f"{about.parent.relative_to(folder)}: weights of another artifact")
    return found


def _require(condition: bool, what: str) -> None:
    if not condition:
        raise ValueError(what)


def _whole_lines(path: Path) -> None:
    """All but the last, which is dropped by whoever reads it."""
    for line in path.read_bytes().split(b"\n")[:-1]:
        json.loads(line.rpartition(b"\t")[0] or line)


def _load_image(path: Path) -> None:
    with Image.open(path) as image:
        image.load()


_WHOLE: dict[str, Callable[[Path], Any]] = {
    ".json": lambda path: json.loads(path.read_bytes()),
    ".jsonl": _whole_lines,
    ".yaml": lambda path: yaml.safe_load(path.read_bytes()),
    ".csv": lambda path: _require(path.read_bytes().endswith(b"\n"), "no end of the last line"),
    ".html": lambda path: _require(path.read_bytes().rstrip().endswith(b"</html>"), "no end"),
    ".ckpt": check_checkpoint,
    ".png": _load_image,
    ".jpg": _load_image,
}


def contents(folder: Path) -> dict[str, Any]:
    """What every file below a folder says but for times: equal for two runs of the same command.

    Weights, optimiser states, features, pictures, tables and lists are there to the last bit; of a report's text and
    of what tells times, only that it is there. Lightning's log of the steps, steps/, has a folder for each process that
    took part in a run, and so another number of them; pixels-*.json measures the pictures that a pass read, and the
    pass after a kill reads the others.
    """
    found = {str(path.relative_to(folder)): path for path in files(folder)}
    return {name: _content(path) for name, path in found.items() if not _PASSING.search(name)}


def differences(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    """The names of files that are not in both, or say something else."""
    return [
        f"{name}: {'more' if name not in one else 'missing' if name not in other else 'differs'}"
        for name in sorted(one.keys() | other.keys())
        if name not in one or name not in other or one[name] != other[name]
    ]


def _content(path: Path) -> Any:
    if path.name in ("features.bin",):
        return _features(path.parent)
    if path.suffix == ".html":
        return _words(path.read_text())
    if path.name in _TIMED or path.suffix == ".sqlite":
        return "there"
    if path.suffix == ".ckpt":
        return _plain(torch.load(path, weights_only=True))
    if path.name == "config.yaml":  # of a winner that was killed and resumed says so
        return path.read_text().replace("\nresume: true", "\nresume: false")
    if path.name == "run.json":
        return _without_times(json.loads(re.sub(" resume=(true|false)", "", path.read_text())))
    if path.suffix == ".json":
        return _without_times(json.loads(path.read_bytes()))
    if path.suffix == ".jsonl":
        return sorted(json.dumps(_without_times(json.loads(line))) for line in path.read_bytes().splitlines())
    if path.name == "trials.csv":
        return [re.sub(r",\d+\.\d{3},", ",S,", line) for line in path.read_text().splitlines()]
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _features(folder: Path) -> dict[bytes, bytes]:
    """The row of each key: rows stand in the order in which they were computed."""
    about = json.loads((folder / "about.json").read_text())
    store = FeatureStore(folder, about["num_features"], about["dtype"])
    keys = np.unique(np.concatenate([chunk.keys for chunk in store._chunks]), axis=0)
    rows = store.find(keys)
    return {key.tobytes(): store.array()[row].tobytes() for key, row in zip(keys, rows, strict=True)}


def _words(html: str) -> list[str]:
    """The headings of a page, which a report of a run that was interrupted shares with others."""
    return re.findall(r"<h[12][^>]*>(.*?)</h[12]>", html, re.S)


def _without_times(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_times(entry) for key, entry in value.items() if key not in _TIMES}
    if isinstance(value, list):
        return [_without_times(entry) for entry in value]
    return repr(value)  # NaN is itself


def _plain(value: Any) -> Any:
    """Tensors as bytes: what can be compared."""
    if isinstance(value, torch.Tensor):
        return str(value.dtype), tuple(value.shape), value.detach().contiguous().numpy().tobytes()
    if isinstance(value, dict):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    return repr(value)
