"""A .pt2 archive that can do nothing but compute.

`torch.export.load` trusts its file: it unpickles sample inputs, constants and weights that say they are pickled, loads
compiled libraries, looks operators up by any path that begins with torch, evaluates symbolic sizes and guards as
Python. An artifact may come from anywhere, so what it gets to read is written anew here, from parts that are known to
be harmless; everything else is refused. What stays possible is a graph of tensor operations that computes nonsense,
or for long.
"""

from __future__ import annotations

import io
import json
import re
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch._ops import OpOverload

from dogbreed.errors import ArtifactError

_GRAPH, _INPUTS = "models/model.json", "data/sample_inputs/model.pt"
_CONFIGS = {
    "data/weights/model_weights_config.json": re.compile(r"weight_\d+"),
    "data/constants/model_constants_config.json": re.compile(r"tensor_\d+"),
}
_SMALL = ("archive_format", "archive_version", "byteorder", ".data/version", ".data/serialization_id")
_TENSORS = re.compile(r"data/(weights/weight|constants/tensor)_\d+")

# Tensor operations, without the two that write files; and the arithmetic of sizes.
_OPERATOR = re.compile(
    r"torch\.ops\.aten\.(?!(save|from_file)\b)\w+\.\w+"
    r"|_operator\.(add|sub|mul|floordiv|mod|pow|neg|eq|ne|lt|le|gt|ge|and_|or_)"
)
_FUNCTIONS = "Symbol|Integer|Add|Mul|Pow|Mod|FloorDiv|CleanDiv|PythonMod|Max|Min"
_SIZE = re.compile(rf"(({_FUNCTIONS})\(|'[su]\d{{1,9}}'|(positive|integer)=True|[-),\d\s])+")
_TREE = re.compile(r"""([][{},:\d\s]|null|"(type|context|children_spec|null|\[\]|builtins\.(tuple|list|dict))")+""")
_PLAIN = re.compile(r"[\w.:+,> -]*")  # names, versions, equations: no path and no call
_PATTERNS = {"target": _OPERATOR, "as_operator": _OPERATOR, "expr_str": _SIZE, "in_spec": _TREE, "out_spec": _TREE}
_EMPTY = ("metadata", "guards_code", "treespec_namedtuple_fields")  # read as Python, or as names of Python's


def read_archive(path: Path) -> io.BytesIO:
    """The archive, for `torch.export.load`, made anew of its harmless parts.

    Raises:
        ArtifactError: it holds a part that is not, or is no such archive.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            parts = _read_parts(archive)
        checked = {name: content for name, content in parts.items() if _TENSORS.fullmatch(name) or name in _SMALL}
        checked |= {name: _config(parts[name], files) for name, files in _CONFIGS.items()}
        graph = json.loads(parts[_GRAPH])
        _check(graph, "")
        checked |= {_GRAPH: json.dumps(graph).encode(), _INPUTS: b""}
    except (zipfile.BadZipFile, KeyError, TypeError, AttributeError, ValueError, RuntimeError) as error:
        raise ArtifactError(
            f"{path} is refused: {error}",
            "an archive as dogbreed.export writes it: tensors and a graph of tensor operations, nothing that runs",
            "nothing of it was run; export the artifact again on a machine that you trust",
        ) from error
    found = io.BytesIO()
    with zipfile.ZipFile(found, "w") as archive:
        for name, content in checked.items():
            archive.writestr(f"model/{name}", content)
    found.seek(0)
    return found


def _read_parts(archive: zipfile.ZipFile) -> dict[str, bytes]:
    parts = {}
    for entry in archive.infolist():
        name = entry.filename.partition("/")[2]
        known = name in (_GRAPH, _INPUTS, *_CONFIGS, *_SMALL) or _TENSORS.fullmatch(name)
        if not known or name in parts or entry.compress_type != zipfile.ZIP_STORED:
            raise ValueError(f"an unexpected part {entry.filename[:80]!r}")
        parts[name] = archive.read(entry)
    if parts[_INPUTS]:
        raise ValueError("pickled sample inputs")
    return parts


def _config(content: bytes, files: re.Pattern[str]) -> bytes:
    """The list of tensors, none of them pickled."""
    config = json.loads(content)
    for name, entry in config["config"].items():
        if entry["use_pickle"] is not False or not files.fullmatch(entry["path_name"]):
            raise ValueError(f"{name[:80]!r} is no plain tensor")
    return json.dumps({"config": config["config"]}).encode()


def _check(value: Any, key: str) -> None:
    """Every text of the graph is one that cannot name anything but a tensor operation."""
    if key in _EMPTY and value:
        raise ValueError(f"{key} that is not empty")
    if isinstance(value, dict):
        for name, inner in value.items():
            _check(name, "")
            _check(inner, name)
    elif isinstance(value, list):
        for inner in value:
            _check(inner, key)
    elif isinstance(value, str) and not _PATTERNS.get(key, _PLAIN).fullmatch(value):
        raise ValueError(f"{key or 'a name'} {value[:80]!r}")
    elif isinstance(value, str) and value.startswith("torch.ops.aten.") and not _is_operation(value):
        raise ValueError(f"{value[:80]!r}, which is no tensor operation")


def _is_operation(target: str) -> bool:
    """Whether the name is an operation's, and not that of a method which the operations' namespace has in Python."""
    name, overload = target.split(".")[3:5]
    return isinstance(getattr(getattr(torch.ops.aten, name, None), overload, None), OpOverload)
