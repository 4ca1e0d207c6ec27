"""A Predictor gives the same answer however the picture comes, alone or among others."""

from __future__ import annotations

import io
import json
from dataclasses import replace
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
from dogbreed.serving.answer import Comparison, Prediction, Wish, to_json
from dogbreed.serving.artifact import load_artifact
from dogbreed.serving.calibration import Calibration
from dogbreed.serving.predictor import Picture, Predictor


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
        temperature = loaded.calibration.temperature if loaded.calibration else 1.0
        expected = (loaded.head(loaded.backbone(batch.inputs)) / temperature).softmax(dim=1)

    found = torch.tensor([probabilities(answer) for answer in predictor.predict(data.split("test").paths)])
    torch.testing.assert_close(found, expected, rtol=0, atol=2e-6)


def test_predictor__answers_alike_alone_and_in_a_batch(predictor: Predictor, pictures: list[Path]) -> None:
    alone = [probabilities(predictor(picture)) for picture in pictures]
    together = [probabilities(answer) for answer in predictor.predict(pictures)]

    np.testing.assert_allclose(together, alone, rtol=0, atol=2e-6)


def test_predictor__keeps_the_order(predictor: Predictor, pictures: list[Path]) -> None:
    forwards = [probabilities(answer) for answer in predictor.predict(pictures)]
    backwards = [probabilities(answer) for answer in predictor.predict(reversed(pictures))]

    assert len({tuple(answer) for answer in forwards}) == len(pictures)
    np.testing.assert_allclose(backwards[::-1], forwards, rtol=0, atol=2e-6)


def test_predictor__reads_a_picture_as_training_does(predictor: Predictor, pictures: list[Path]) -> None:
    expected = predictor.artifact.backbone.transform.clean_view(decode_image(pictures[0]))

    assert torch.equal(predictor.view(pictures[0]), expected)


def test_predictor__gives_probabilities_that_sum_to_one(predictor: Predictor, pictures: list[Path]) -> None:
    sums = [sum(probabilities(answer)) for answer in predictor.predict(pictures)]

    assert sums == pytest.approx([1.0] * len(pictures), abs=4e-6)


@pytest.mark.parametrize(("top_k", "expected"), [(1, 1), (3, 3), (4, 4), (1000, 4)])
def test_predictor__gives_as_many_candidates_as_asked_and_there_are(
    top_k: int, expected: int, predictor: Predictor, pictures: list[Path]
) -> None:
    assert len(predictor(pictures[0], top_k).top_k) == expected


def test_predictor__puts_the_most_probable_first(predictor: Predictor, pictures: list[Path]) -> None:
    answer = predictor(pictures[0])
    values = [candidate.probability for candidate in answer.top_k]

    assert values == sorted(values, reverse=True)
    first = answer.top_k[0]
    assert (answer.breed, answer.class_name, answer.index, answer.probability) == tuple(vars(first).values())


def test_predictor__compares_with_the_breed_that_is_named(predictor: Predictor, pictures: list[Path]) -> None:
    ranked = predictor(pictures[0]).top_k
    for rank, candidate in enumerate(ranked, start=1):
        by_index = predictor(pictures[0], 1, correct_index=candidate.index).correct
        names = (candidate.breed, candidate.class_name, candidate.breed.upper())
        by_name = [predictor(pictures[0], correct_breed=name).correct for name in names]

        assert by_name == [by_index] * 3
        assert by_index == Comparison(**vars(candidate), rank=rank, right=rank == 1)


@pytest.mark.parametrize(
    ("wish", "said"),
    [
        ({"correct_breed": "Breed E"}, "did you mean"),
        ({"correct_index": 4}, "allowed: 0 to 3"),
        ({"correct_index": -1}, "allowed: 0 to 3"),
        ({"correct_index": 0, "correct_breed": "Breed A"}, "one of the two"),
    ],
)
def test_predictor__refuses_to_compare_with_no_class(
    wish: dict[str, Any], said: str, predictor: Predictor, pictures: list[Path]
) -> None:
    with pytest.raises(ConfigError, match=said):
        predictor(pictures[0], **wish)


def test_predictor__is_sure_from_the_threshold_on(trained_run: Path, pictures: list[Path]) -> None:
    loaded = load_artifact(trained_run / "artifact")
    for threshold in (0.0, 0.3, 1.0, None):
        trusted = Calibration(2.0, 0.1, 0.1, threshold, 0.9, 0.5, 16)
        for answer in Predictor(replace(loaded, calibration=trusted)).predict(pictures):
            assert answer.unsure == (threshold is None or answer.probability < threshold)


def test_predictor__names_what_its_answer_is_confused_with(trained_run: Path, pictures: list[Path]) -> None:
    confused = tuple(((3 - index, 0.25),) for index in range(4))
    loaded = replace(load_artifact(trained_run / "artifact"), look_alikes=confused)
    answer = Predictor(loaded)(pictures[0])

    assert [vars(other) for other in answer.look_alikes] == [
        {"breed": loaded.breeds[3 - answer.index], "class_name": loaded.class_names[3 - answer.index]}
        | {"index": 3 - answer.index, "share": 0.25}
    ]


def test_predictor__says_which_model_answered(predictor: Predictor, pictures: list[Path], artifact: Path) -> None:
    assert predictor(pictures[0]).model == Predictor.load(artifact).model
    assert predictor.model.startswith("test_resnet-")


def test_predictor__answers_for_each_what_can_be_read(predictor: Predictor, pictures: list[Path]) -> None:
    asked: list[Picture] = [pictures[0], b"no picture", pictures[1]]
    first, bad, second = predictor.answer_each(asked, [Wish(1), Wish(), Wish(2)])

    assert isinstance(bad, ImageError)
    assert [len(answer.top_k) for answer in (first, second) if isinstance(answer, Prediction)] == [1, 2]


def test_prediction__comes_back_from_its_json(predictor: Predictor, pictures: list[Path]) -> None:
    for answer in (predictor(pictures[0]), predictor(pictures[0], correct_index=2)):
        assert Prediction.from_dict(json.loads(to_json(answer.to_dict()))) == answer


@pytest.mark.parametrize("content", [{}, {"breed": "A"}, {"top_k": 3, "look_alikes": []}, [], None, "text"])
def test_prediction__of_something_else_is_an_error(content: Any) -> None:
    with pytest.raises(ValueError, match="no prediction"):
        Prediction.from_dict(content)


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
