"""200 real photographs asked about in every way there is: the same answers."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import dogbreed.train
from dogbreed.serving.answer import Prediction, to_json
from dogbreed.serving.predictor import Predictor
from launch.files.model_package import build_package
from tests.launch.stack import hosting, make_stack, post
from tests.server.asking import Running, serving

pytestmark = pytest.mark.slow

PHOTOGRAPHS = 200
CLIENTS = 16
TYPE = "application/x-image"


@pytest.fixture(scope="module")
def artifact(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a run on five photographs of each of the 120 breeds, with real weights."""
    root = tmp_path_factory.mktemp("few") / "dogs"
    for split, count in (("train", 5), ("valid", 2), ("test", 1)):
        for breed in sorted((real_data / "dogs120" / split).iterdir()):
            (root / split / breed.name).mkdir(parents=True)
            for photo in sorted(breed.iterdir())[:count]:
                (root / split / breed.name / photo.name).symlink_to(photo)
    directory = tmp_path_factory.mktemp("run") / "few"
    weights = real_data / "weights/mobilenetv2_100.timm.safetensors"
    own = ["data=folder", f"data.root={root}", "backbone=mobilenetv2", f"backbone.weights={weights}"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["dogbreed.train", *own, "trainer.max_epochs=5", f"hydra.run.dir={directory}"])
        dogbreed.train.main()
    return directory / "artifact"


@pytest.fixture(scope="module")
def photographs(real_data: Path) -> list[Path]:
    found = sorted((real_data / "dogs120/test").rglob("*.jpg"))
    return found[:: len(found) // PHOTOGRAPHS][:PHOTOGRAPHS]


@pytest.fixture(scope="module")
def alone(artifact: Path, photographs: list[Path]) -> list[Prediction]:
    """Asked in Python, one by one."""
    predictor = Predictor.load(artifact)
    return [predictor(photograph) for photograph in photographs]


@pytest.fixture(scope="module")
def server(artifact: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with serving(artifact, tmp_path_factory.mktemp("server") / "log") as running:
        yield running


def test_same__python_in_batches(artifact: Path, photographs: list[Path], alone: list[Prediction]) -> None:
    assert_same(Predictor.load(artifact).predict(photographs), alone)


@pytest.mark.parametrize("batch_size", [1, 32])
def test_same__command_line(batch_size: int, artifact: Path, photographs: list[Path], alone: list[Prediction]) -> None:
    options = ["--artifact", str(artifact), "--format", "jsonl", "--batch-size", str(batch_size)]
    command = [sys.executable, "-m", "dogbreed.predict", *options, *map(str, photographs)]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    if batch_size == 1:
        expected = [to_json({"path": str(p), **one.to_dict()}) for p, one in zip(photographs, alone, strict=True)]
        assert lines == expected
    assert_same([read(line) for line in lines], alone)


def test_same__local_server_one_by_one(server: Running, photographs: list[Path], alone: list[Prediction]) -> None:
    assert [ask(server, photograph) for photograph in photographs] == [to_json(one.to_dict()) for one in alone]


def test_same__local_server_all_at_once(server: Running, photographs: list[Path], alone: list[Prediction]) -> None:
    with ThreadPoolExecutor(CLIENTS) as clients:
        answers = list(clients.map(lambda photograph: ask(server, photograph), photographs))
    assert_same([read(answer) for answer in answers], alone)


def test_same__sagemakers_handlers_under_its_own_stack(
    artifact: Path, photographs: list[Path], alone: list[Prediction], tmp_path: Path
) -> None:
    python = make_stack(tmp_path)
    with hosting(python, build_package(artifact, tmp_path / "model.tar.gz"), tmp_path) as url:
        answers = [post(url, photograph.read_bytes(), TYPE) for photograph in photographs]
    assert answers == [(200, to_json(one.to_dict()).encode()) for one in alone]


def ask(server: Running, photograph: Path) -> str:
    answer = server.ask(body=photograph.read_bytes(), media=TYPE)
    assert answer.status == 200
    return answer.body.decode()


def read(text: str) -> Prediction:
    content: dict[str, Any] = json.loads(text)
    content.pop("path", None)
    return Prediction.from_dict(content)


def assert_same(found: list[Prediction], expected: list[Prediction]) -> None:
    """The same breeds, order and flags, probabilities within 1e-5."""
    assert [_words(one) for one in found] == [_words(one) for one in expected]
    pairs = zip(map(_numbers, found), map(_numbers, expected), strict=True)
    largest = max(abs(ours - theirs) for pair in pairs for ours, theirs in zip(*pair, strict=True))
    print(f"largest difference of a probability: {largest:.1e}")
    assert largest <= 1e-5


def _numbers(one: Prediction) -> list[float]:
    return [one.probability, *(each.probability for each in one.top_k)]


def _words(one: Prediction) -> tuple[Any, ...]:
    top = tuple((each.breed, each.class_name, each.index) for each in one.top_k)
    return one.breed, one.class_name, one.index, one.unsure, one.look_alikes, one.model, top
