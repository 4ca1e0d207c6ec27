"""Weights come from a file that fits, or not at all; nothing in a file is ever run."""

from __future__ import annotations

import io
import pickle
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
import torchvision
from safetensors.torch import save_file
from torch import Tensor, nn

from dogbreed.errors import WeightsError
from dogbreed.models.backbones import Backbone, make_backbone
from dogbreed.models.weights import load_weights


class Touch:
    """Pickled, it creates a file when it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[[Path], None], tuple[Path]]:
        return Path.touch, (self.path,)


def save_legacy(tensors: dict[str, Tensor], path: Path) -> None:
    torch.save(tensors, path, _use_new_zipfile_serialization=False)


SAVERS: dict[str, Callable[[dict[str, Tensor], Path], None]] = {
    "weights.safetensors": save_file,
    "weights.pth": torch.save,
    "legacy.pth": save_legacy,
}


def draw_state(num_classes: int = 1000) -> dict[str, Tensor]:
    """The whole network with its classifier, not as `backbone` of conftest drew it."""
    torch.manual_seed(1)
    return dict(timm.create_model("test_resnet", num_classes=num_classes).state_dict())


def load_backbone(path: Path) -> Backbone:
    return make_backbone("timm", "test_resnet", weights=str(path), image_size=32)


@pytest.mark.parametrize("file", SAVERS)
def test_weights__are_those_of_the_file(file: str, tmp_path: Path) -> None:
    state = draw_state()
    SAVERS[file](state, tmp_path / file)

    loaded = load_backbone(tmp_path / file).network.state_dict()

    assert [name for name, entry in loaded.items() if not torch.equal(entry, state[name])] == []


@pytest.mark.parametrize("num_classes", [0, 133, 1000])
def test_weights__fit_whatever_the_classifier_was(num_classes: int, tmp_path: Path) -> None:
    state = draw_state(num_classes)
    save_file(state, tmp_path / "weights.safetensors")

    loaded = load_backbone(tmp_path / "weights.safetensors")

    assert torch.equal(loaded.network.state_dict()["conv1.0.weight"], state["conv1.0.weight"])


def test_weights__of_torchvision_fit_without_their_classifier(tmp_path: Path) -> None:
    state = torchvision.models.shufflenet_v2_x0_5(num_classes=7).state_dict()
    torch.save(state, tmp_path / "weights.pth")

    loaded = make_backbone("torchvision", "shufflenet_v2_x0_5", weights=str(tmp_path / "weights.pth"))

    assert torch.equal(loaded.network.state_dict()["conv1.0.weight"], state["conv1.0.weight"])


def test_weights__of_another_architecture_are_counted(tmp_path: Path) -> None:
    save_file(timm.create_model("test_efficientnet").state_dict(), tmp_path / "weights.safetensors")

    with pytest.raises(WeightsError, match=r"does not fit ResNet: \d+ of \d+ entries missing .*; \d+ unknown"):
        load_backbone(tmp_path / "weights.safetensors")


def test_weights__of_another_library_are_refused(tmp_path: Path) -> None:
    save_file(timm.create_model("mobilenetv2_035").state_dict(), tmp_path / "weights.safetensors")

    with pytest.raises(WeightsError, match="from the same library"):
        make_backbone("torchvision", "mobilenet_v2", weights=str(tmp_path / "weights.safetensors"))


def test_weights__of_another_width_are_shown(tmp_path: Path) -> None:
    state = draw_state()
    state["conv1.0.weight"] = state["conv1.0.weight"][:-1]
    torch.save(state, tmp_path / "weights.pth")

    with pytest.raises(WeightsError, match=r"conv1\.0\.weight is \(\d+, 3, 3, 3\) instead of"):
        load_backbone(tmp_path / "weights.pth")


@pytest.mark.parametrize("entry", ["conv1.0.weight", "bn1.running_var"])
def test_weights__without_one_entry_are_refused(entry: str, tmp_path: Path) -> None:
    state = draw_state()
    del state[entry]
    torch.save(state, tmp_path / "weights.pth")

    with pytest.raises(WeightsError, match=f"1 of .* entries missing .{entry}"):
        load_backbone(tmp_path / "weights.pth")


@pytest.mark.parametrize("file", SAVERS)
def test_weights__cut_short_anywhere_are_an_error(file: str, tmp_path: Path) -> None:
    SAVERS[file](draw_state(), tmp_path / file)
    whole = (tmp_path / file).read_bytes()

    for length in [0, 1, 7, 8, 9, 100, *range(1000, len(whole), len(whole) // 20), len(whole) - 1]:
        (tmp_path / file).write_bytes(whole[:length])
        with pytest.raises(WeightsError):
            load_weights(tmp_path / file)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("file", ["noise.safetensors", "noise.pth"])
def test_weights__of_random_bytes_are_an_error(file: str, tmp_path: Path) -> None:
    rng = random.Random(0)
    for length in range(1, 200):
        (tmp_path / file).write_bytes(rng.randbytes(length))
        with pytest.raises(WeightsError):
            load_weights(tmp_path / file)


@pytest.mark.parametrize("file", ["code.pth", "code.safetensors"])
def test_weights__never_run_what_is_in_a_file(file: str, tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    torch.save({"weight": torch.zeros(2), "code": Touch(marker)}, tmp_path / file)

    with pytest.raises(WeightsError):
        load_weights(tmp_path / file)

    assert not marker.exists()
    torch.load(io.BytesIO((tmp_path / file).read_bytes()), weights_only=False)
    assert marker.exists()  # so it is in there


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_weights__never_run_a_bare_pickle(tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    (tmp_path / "code.pkl").write_bytes(pickle.dumps(Touch(marker)))

    with pytest.raises(WeightsError):
        load_weights(tmp_path / "code.pkl")

    assert not marker.exists()
    pickle.loads((tmp_path / "code.pkl").read_bytes())
    assert marker.exists()  # so it is in there


def test_weights__of_a_whole_pickled_model_are_refused(tmp_path: Path) -> None:
    torch.save(nn.Linear(2, 2), tmp_path / "model.pt")

    with pytest.raises(WeightsError, match=r"more than tensors: .*torch\.nn\.modules\.linear\.Linear") as caught:
        load_weights(tmp_path / "model.pt")
    assert "state_dict" in caught.value.hint


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ({"epoch": 3, "state_dict": {"weight": torch.zeros(2)}}, "a dictionary of epoch, state_dict"),
        ([torch.zeros(2)], "a list"),
        (torch.zeros(2), "a Tensor"),
        ({0: torch.zeros(2)}, "a dictionary of 0"),
    ],
)
def test_weights__say_what_a_file_holds_instead(content: Any, found: str, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "weights.pth")

    with pytest.raises(WeightsError, match=f"holds {found}"):
        load_weights(tmp_path / "weights.pth")


def test_weights__missing_are_an_error_that_names_the_path(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"no weights file at .*nowhere\.pth"):
        load_weights(tmp_path / "nowhere.pth")


def test_weights__that_are_a_folder_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="no weights file"):
        load_weights(tmp_path)
