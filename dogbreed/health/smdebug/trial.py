"""What smdebug saved, a "trial", read from its folder or from S3 by the format of its files.

smdebug's own create_trial waits for files that a killed job never wrote, fails on a half-written one, and takes
smdebug's old numpy and protobuf to run; this reads what is whole, anywhere, and waits for nothing.
"""

from __future__ import annotations

import json
import math
import os
import re
import struct
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy.typing as npt

from dogbreed.errors import ConfigError

Array = npt.NDArray[Any]

_REDUCTION = "smdebug/reductions/"
_FRAME = 12  # bytes before a record's content, its length and a checksum; another checksum of 4 follows it


@dataclass(frozen=True)
class Group:
    """A collection of the trial: the tensors whose names it lists, or one of its regular expressions finds."""

    names: frozenset[str] = frozenset()
    regexes: tuple[str, ...] = ()

    def takes(self, name: str) -> bool:
        """Whether a tensor belongs to it."""
        return name in self.names or any(re.search(regex, name) for regex in self.regexes)


@dataclass(frozen=True)
class Place:
    """Where a tensor lies: a file, its first byte there, and how many it takes."""

    file: str
    start: int
    length: int


@dataclass
class Step:
    """A batch of which something was saved.

    Attributes:
        number: of the batch among those of all modes.
        mode: TRAIN, EVAL, PREDICT, or GLOBAL for a script that set no mode.
        step: of the batch among those of its mode.
        tensors: name -> where it lies.
        reductions: name -> reduction (mean, abs_mean, l2, ...) -> where it lies.
        shapes: name -> shape, where that was saved on its own.
    """

    number: int
    mode: str
    step: int
    tensors: dict[str, Place] = field(default_factory=dict)
    reductions: dict[str, dict[str, Place]] = field(default_factory=dict)
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        """All of which anything was saved."""
        return sorted({*self.tensors, *self.reductions})


@dataclass
class Trial:
    """A trial whose index was read; its tensors are read when they are asked for.

    Attributes:
        path: of it.
        steps: by their number.
        groups: its collections by name.
        damaged: files, and tensors of them, that could not be read.
    """

    path: str
    steps: list[Step]
    groups: Mapping[str, Group]
    damaged: list[str]

    def groups_of(self, name: str) -> list[str]:
        """The names of the collections that a tensor belongs to, in their order."""
        return [group for group, entry in self.groups.items() if entry.takes(name)]

    def read(self, places: Sequence[Place]) -> list[tuple[float, Array] | None]:
        """Time (seconds since 1970) and value of each; None where it is damaged. A request for each file."""
        spans: dict[str, tuple[int, int]] = {}
        for place in places:
            start, end = spans.get(place.file, (place.start, 0))
            spans[place.file] = min(start, place.start), max(end, place.start + place.length)
        system, _ = _reach(self.path)
        with _reaching(self.path):
            starts, ends = ([span[end] for span in spans.values()] for end in (0, 1))
            parts = dict(zip(spans, system.cat_ranges(list(spans), starts, ends, on_error="return"), strict=True))
        found = []
        for place in places:
            content, start = parts[place.file], place.start - spans[place.file][0]
            whole = isinstance(content, bytes)
            found.append(_decoded(content[start : start + place.length]) if whole else None)
            if found[-1] is None:
                self.damaged.append(f"{place.file}, bytes {place.start} to {place.start + place.length}")
        return found


def open_trial(path: str | Path) -> Trial:
    """The trial at a path: a folder, or s3://bucket/prefix; of several workers the first.

    Raises:
        ConfigError: there is none, or it cannot be reached or read.
    """
    path = str(path)
    system, root = _reach(path)
    with _reaching(path):
        _list_local(system, root)
        if not system.exists(root):
            raise ConfigError(f"there is no {path}", _ALLOWED, "correct the path")
        index = sorted(name for name in system.find(f"{root}/index") if name.endswith(".json"))
        collections = sorted(name for name in system.find(f"{root}/collections") if name.endswith(".json"))
        inside = [] if index else system.glob(f"{root}/*/index")
        contents = system.cat([*index, *collections], on_error="return") if index else {}
        if index and all(isinstance(contents[name], PermissionError) for name in index):
            raise contents[index[0]]
    if not index:
        hint = f"did you mean {path.rstrip('/')}/{inside[0].split('/')[-2]}?" if inside else "correct the path"
        raise ConfigError(f"{path} holds no trial of smdebug", _ALLOWED, hint)
    damaged: list[str] = []
    steps: dict[int, Step] = {}
    for name in index:  # sorted by step, then worker: the first worker's stays
        step = _step(name, contents[name], root)
        if step is None:
            damaged.append(name)
        else:
            steps.setdefault(step.number, step)
    if not steps:
        raise ConfigError(
            f"{path}: none of its {len(index)} index files can be understood ({index[0]})",
            "a trial as smdebug 1.0 writes it",
            "check that the download is whole; another version's trial can be read with that version alone",
        )
    groups = next((found for name in collections if (found := _groups(contents[name])) is not None), _DEFAULT_GROUPS)
    return Trial(path, [steps[number] for number in sorted(steps)], groups, damaged)


def holds_trial(path: str) -> bool:
    """Whether smdebug wrote anything at a path before.

    Raises:
        ConfigError: it cannot be reached or read.
    """
    system, root = _reach(path)
    with _reaching(path):
        _list_local(system, root)
        return any(system.exists(f"{root}/{part}") for part in ("index", "events", "collections", "claim.smd"))


_ALLOWED = "a folder (or s3://bucket/prefix) with index/, events/ and collections/, as smdebug writes it"
_DEFAULT_GROUPS = {
    "losses": Group(regexes=("[Ll]oss_(?!input).*output",)),
    "weights": Group(regexes=("^(?!gradient).*weight",)),
    "biases": Group(regexes=("^(?!gradient).*bias",)),
    "gradients": Group(regexes=("^gradient",)),
}


def _reach(path: str) -> tuple[Any, str]:
    """The file system of a path, and the path in it."""
    import fsspec

    # Without its caches: a trial grows while it is read, and the endpoint may have changed.
    options = {"skip_instance_cache": True, "use_listings_cache": False} if "://" in path else {}
    try:
        system, root = fsspec.core.url_to_fs(path, **options)
    except (ImportError, ValueError) as error:  # a protocol that there is not, or without its package
        raise ConfigError(
            f"{path} cannot be reached: {error}",
            "a folder, or s3:// with its extra",
            "pip install 'dogbreed[sagemaker]'",
        ) from error
    return system, root.rstrip("/")


def _list_local(system: Any, root: str) -> None:
    """Raise what keeps a local folder from being listed, which fsspec takes for an empty one."""
    if "file" not in system.protocol:
        return
    with suppress(FileNotFoundError, NotADirectoryError):
        os.listdir(root)
    for part in ("index", "collections"):
        for _ in os.walk(f"{root}/{part}", onerror=_raise_unless_absent):
            pass  # also the folders within


def _raise_unless_absent(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError | NotADirectoryError):
        raise error


@contextmanager
def _reaching(path: str) -> Iterator[None]:
    try:
        yield
    except ConfigError:
        raise
    except Exception as error:  # botocore's errors have no base that could be named without it
        reason = (str(error) or type(error).__name__).splitlines()[0]
        remote = "check the credentials (aws sts get-caller-identity), the bucket, and AWS_ENDPOINT_URL if it is set"
        raise ConfigError(
            f"{path} cannot be read: {reason}",
            "a place that may be listed and read",
            remote if "://" in path else "check its permissions",
        ) from error


def _step(name: str, content: object, root: str) -> Step | None:
    """What an index file says; None where it is damaged."""
    try:
        number = int(name.rsplit("/", 1)[-1].split("_")[0])
        index = json.loads(content)  # type: ignore[arg-type]
        step = Step(number, str(index["meta"]["mode"]).strip(), int(index["meta"]["mode_step"]))
        file = str(index["meta"]["event_file_name"])
        if ".." in file.split("/"):
            return None  # it leads out of the trial
        for entry in index.get("tensor_payload") or ():
            place = Place(f"{root}/{file}", int(entry["start_idx"]), int(entry["length"]))
            _put(step, entry["tensorname"], place)
        for entry in index.get("shape_payload") or ():
            step.shapes[entry["tensorname"]] = tuple(entry["shape"])
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    return step


def _put(step: Step, name: str, place: Place) -> None:
    if name.startswith(_REDUCTION):
        reduction, name = name.removeprefix(_REDUCTION).split("/", 1)
        step.reductions.setdefault(name, {})[reduction] = place
    else:
        step.tensors[name] = place


def _groups(content: object) -> dict[str, Group] | None:
    try:
        return {
            name: Group(frozenset(entry["tensor_names"] or ()), tuple(entry["include_regex"] or ()))
            for name, entry in json.loads(content)["collections"].items()  # type: ignore[arg-type]
        }
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _decoded(record: bytes) -> tuple[float, Array] | None:
    """Time and value of a record; None where it is cut short or holds something else."""
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
    from tensorboard.compat.proto.event_pb2 import Event  # type: ignore[import-untyped]
    from tensorboard.util.tensor_util import make_ndarray  # type: ignore[import-untyped]

    try:
        (length,) = struct.unpack_from("<Q", record)
        if len(record) != _FRAME + length + 4:
            return None
        event = Event.FromString(record[_FRAME : _FRAME + length])
        (value,) = event.summary.value
        shape = [dimension.size for dimension in value.tensor.tensor_shape.dim]
        if min(shape, default=0) < 0 or math.prod(shape) > length:
            return None  # a single number in the place of a tensor of any size, which smdebug does not write
        return event.wall_time, make_ndarray(value.tensor)
    except (struct.error, DecodeError, ValueError, TypeError):
        return None
