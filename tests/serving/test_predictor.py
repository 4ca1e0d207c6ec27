"""A Predictor gives the same answer however the picture comes, alone or among others."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from dogbreed.data.datamodule import BreedDataModule
from dogbreed.data.images import decode_image
from dogbreed.errors import ArtifactError, ConfigError, ImageError
from dogbreed.serving.artifact import load_artifact
from dogbreed.serving.predictor import Prediction, Predictor


@pytest.fixture(scope="module")
def predictor(trained_run: Path) -> Predictor:
    return Predictor.load(trained_run / "artifact")


@pytest.fixture(scope="module")
def pictures(shared_folder: Path) -> list[Path]:
    """Two of each class."""
    return sorted((shared_folder / "test").glob("*/*_0000[01].jpg"))


def probabilities(prediction: Prediction) -> list[float]:
    """Of all classes, in their order."""
    return [candidate.probability for candidate in sorted(prediction.top_k, key=lambda candidate: candidate.index)]


def forms_of(path: Path) -> dict[str, Any]:
    """The same picture in every form that is taken."""
    return {
        "text": str(path),
        "path": path,
        "bytes": path.read_bytes(),
        "opened": Image.open(path),
        "image": Image.open(io.BytesIO(path.read_bytes())).convert("RGB"),
        "tensor": torch.from_numpy(np.asarray(Image.open(path)).copy()).permute(2, 0, 1),
    }


@pytest.mark.parametrize("form", ["text", "bytes", "opened", "image", "tensor"])
def test_predictor__answers_the_same_for_every_form(form: str, predictor: Predictor, pictures: list[Path]) -> None:
    forms = forms_of(pictures[0])

    assert predictor(forms[form]) == predictor(forms["path"])


def test_predictor__agrees_with_what_was_trained(predictor: Predictor, trained_run: Path, shared_folder: Path) -> None:
    loaded = load_artifact(trained_run / "artifact")
    data = BreedDataModule(shared_folder, loaded.backbone.transform, batch_size=16, num_workers=0)
    batch = next(iter(data.loader("test")))
    with torch.no_grad():
        expected = loaded.head(loaded.backbone(batch.inputs)).softmax(dim=1)

    found = torch.tensor([probabilities(answer) for answer in predictor.predict(data.split("test").paths)])
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)


def test_predictor__answers_alike_alone_and_in_a_batch(predictor: Predictor, pictures: list[Path]) -> None:
    alone = [probabilities(predictor(picture)) for picture in pictures]
    together = [probabilities(answer) for answer in predictor.predict(pictures)]

    np.testing.assert_allclose(together, alone, rtol=0, atol=1e-6)


def test_predictor__keeps_the_order(predictor: Predictor, pictures: list[Path]) -> None:
    forwards = [probabilities(answer) for answer in predictor.predict(pictures)]
    backwards = [probabilities(answer) for answer in predictor.predict(reversed(pictures))]

    assert len({tuple(answer) for answer in forwards}) == len(pictures)
    np.testing.assert_allclose(backwards[::-1], forwards, rtol=0, atol=1e-6)


def test_predictor__reads_a_picture_as_training_does(predictor: Predictor, pictures: list[Path]) -> None:
    expected = predictor.artifact.backbone.transform.clean_view(decode_image(pictures[0]))

    assert torch.equal(predictor.view(pictures[0]), expected)


def test_predictor__gives_probabilities_that_sum_to_one(predictor: Predictor, pictures: list[Path]) -> None:
    sums = [sum(probabilities(answer)) for answer in predictor.predict(pictures)]

    assert sums == pytest.approx([1.0] * len(pictures), abs=1e-6)


@pytest.mark.parametrize(("top_k", "expected"), [(1, 1), (3, 3), (4, 4), (1000, 4)])
def test_predictor__gives_as_many_candidates_as_asked_and_there_are(
    top_k: int, expected: int, predictor: Predictor, pictures: list[Path]
) -> None:
    assert len(predictor(pictures[0], top_k).top_k) == expected


def test_predictor__puts_the_most_probable_first(predictor: Predictor, pictures: list[Path]) -> None:
    answer = predictor(pictures[0])
    values = [candidate.probability for candidate in answer.top_k]

    assert values == sorted(values, reverse=True)
    assert answer.to_dict() == {**vars(answer.top_k[0]), "top_k": [vars(candidate) for candidate in answer.top_k]}


def test_predictor__names_the_class_of_the_index(predictor: Predictor, pictures: list[Path]) -> None:
    named = {(candidate.index, candidate.class_name, candidate.breed) for candidate in predictor(pictures[0]).top_k}

    assert named == {(i, f"00{i + 1}.Breed_{letter}", f"Breed {letter}") for i, letter in enumerate("ABCD")}


def test_predictor__answers_nothing_for_nothing(predictor: Predictor) -> None:
    assert predictor.predict([]) == []


@pytest.mark.parametrize("top_k", [0, -1])
def test_predictor__refuses_to_give_no_candidate(top_k: int, predictor: Predictor, pictures: list[Path]) -> None:
    with pytest.raises(ConfigError, match=f"top_k={top_k}"):
        predictor(pictures[0], top_k)


@pytest.mark.parametrize(
    "tensor",
    [
        torch.zeros(3, 8, 8),
        torch.zeros(3, 8, 8, dtype=torch.int64),
        torch.zeros(8, 8, dtype=torch.uint8),
        torch.zeros(8, 8, 3, dtype=torch.uint8),
        torch.zeros(4, 8, 8, dtype=torch.uint8),
        torch.zeros(1, 3, 8, 8, dtype=torch.uint8),
        torch.zeros(3, 0, 8, dtype=torch.uint8),
        torch.zeros(0, dtype=torch.uint8),
    ],
    ids=lambda tensor: f"{tensor.dtype}-{tuple(tensor.shape)}",
)
def test_predictor__refuses_a_tensor_that_is_no_picture(tensor: Tensor, predictor: Predictor) -> None:
    with pytest.raises(ImageError, match=r"a tensor of torch\.") as caught:
        predictor(tensor)
    assert "uint8 RGB" in caught.value.allowed


@pytest.mark.parametrize("picture", [b"", b"no picture", "/nowhere.jpg", Path("/tmp")])
def test_predictor__refuses_what_cannot_be_decoded(picture: Any, predictor: Predictor) -> None:
    with pytest.raises(ImageError):
        predictor(picture)


@pytest.mark.parametrize("size", [(1, 1), (1, 90), (90, 1), (33, 31)])
def test_predictor__answers_for_a_picture_of_any_shape(size: tuple[int, int], predictor: Predictor) -> None:
    assert len(predictor(Image.new("RGB", size)).top_k) == 4


def test_predictor__of_no_artifact_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError):
        Predictor.load(tmp_path)
