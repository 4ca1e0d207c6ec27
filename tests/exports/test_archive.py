"""An archive from a stranger runs nothing."""

from __future__ import annotations

import io
import json
import pickle
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch

from dogbreed.errors import ArtifactError
from dogbreed.exports.archive import read_archive

Parts = dict[str, bytes]

GRAPH, INPUTS = "models/model.json", "data/sample_inputs/model.pt"
WEIGHTS, CONSTANTS = "data/weights/model_weights_config.json", "data/constants/model_constants_config.json"


class Touch:
    """Unpickled, makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


@pytest.fixture
def parts(exported: Path) -> Parts:
    """Those of a good archive."""
    with zipfile.ZipFile(exported / "exports/torch_export/model.pt2") as archive:
        return {name.partition("/")[2]: archive.read(name) for name in archive.namelist()}


def write(path: Path, parts: Parts, compression: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in parts.items():
            archive.writestr(f"model/{name}", content)
    return path


def graph(change: Callable[[Any], None]) -> Callable[[Parts, Path], None]:
    def changed(parts: Parts, mark: Path) -> None:
        content = json.loads(parts[GRAPH])
        change(content)
        parts[GRAPH] = json.dumps(content).encode()

    return changed


def first(content: Any) -> Any:
    return content["graph_module"]["graph"]["nodes"][0]


def pickled_inputs(parts: Parts, mark: Path) -> None:
    stream = io.BytesIO()
    torch.save(Touch(mark), stream)
    parts[INPUTS] = stream.getvalue()


def pickled_weight(parts: Parts, mark: Path) -> None:
    config = json.loads(parts[WEIGHTS])
    entry = next(iter(config["config"].values()))
    entry["use_pickle"] = True
    stream = io.BytesIO()
    torch.save(Touch(mark), stream)
    parts[f"data/weights/{entry['path_name']}"] = stream.getvalue()
    parts[WEIGHTS] = json.dumps(config).encode()


def pickled_constant(parts: Parts, mark: Path) -> None:
    config = json.loads(parts[CONSTANTS])
    next(iter(config["config"].values()))["path_name"] = "opaque_obj_0"
    parts[CONSTANTS] = json.dumps(config).encode()
    parts["data/constants/opaque_obj_0"] = pickle.dumps(Touch(mark))


def compiled_library(parts: Parts, mark: Path) -> None:
    parts["data/aotinductor/model/library.so"] = b"\x7fELF"


def missing_graph(parts: Parts, mark: Path) -> None:
    del parts[GRAPH]


ATTACKS = {
    "pickled inputs": pickled_inputs,
    "pickled weight": pickled_weight,
    "pickled constant": pickled_constant,
    "compiled library": compiled_library,
    "missing graph": missing_graph,
    "a function of Python's": graph(lambda g: first(g).update(target="torch.os.system")),
    "a method of the operations' namespace": graph(lambda g: first(g).update(target="torch.ops.aten.__dict__.clear")),
    "a method of an operation": graph(lambda g: first(g).update(target="torch.ops.aten.add.overloads")),
    "an extension": graph(lambda g: first(g).update(target="#mine:run")),
    "an operation that writes a file": graph(lambda g: first(g).update(target="torch.ops.aten.save.default")),
    "an operation that opens a file": graph(lambda g: first(g).update(target="torch.ops.aten.from_file.default")),
    "a guard": graph(lambda g: g.update(guards_code=["print(1)"])),
    "metadata": graph(lambda g: first(g).update(metadata={"source_fn_stack": "x,torch.os.system"})),
    "a size that is code": graph(
        lambda g: first(g)["inputs"].append({"arg": {"as_sym_int": {"as_expr": {"expr_str": "__import__('os')"}}}})
    ),
    "a size that is a list": graph(lambda g: first(g).update(expr_str=["eval('1')"])),
    "a path": graph(lambda g: first(g).update(name="/etc/passwd")),
    "a graph that is a list": lambda parts, mark: parts.update({GRAPH: b"[" * 100_000}),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_read_archive__refuses(attack: str, parts: Parts, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    ATTACKS[attack](parts, mark)
    with pytest.raises(ArtifactError, match="refused"):
        read_archive(write(tmp_path / "model.pt2", parts))
    assert not mark.exists()


def test_torch__would_have_run_it(parts: Parts, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    pickled_weight(parts, mark)
    with suppress(Exception):  # whatever it makes of what the pickle returned
        torch.export.load(write(tmp_path / "model.pt2", parts))
    assert mark.exists()


def test_read_archive__refuses_what_is_compressed(parts: Parts, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="unexpected part"):
        read_archive(write(tmp_path / "model.pt2", parts, zipfile.ZIP_DEFLATED))


@pytest.mark.parametrize("content", [b"", b"PK", b"no archive at all"])
def test_read_archive__refuses_what_is_none(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "model.pt2").write_bytes(content)
    with pytest.raises(ArtifactError, match="refused"):
        read_archive(tmp_path / "model.pt2")


def test_read_archive__keeps_every_tensor(parts: Parts, exported: Path) -> None:
    with zipfile.ZipFile(read_archive(exported / "exports/torch_export/model.pt2")) as archive:
        kept = {name.partition("/")[2]: archive.read(name) for name in archive.namelist()}

    assert kept.keys() == parts.keys()
    assert all(kept[name] == parts[name] for name in parts if "_config" not in name and name != GRAPH)
