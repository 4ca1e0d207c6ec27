"""An artifact comes back bit by bit, or is an error that says what is wrong."""

from __future__ import annotations

import hashlib
import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from dogbreed.errors import ArtifactError, ConfigError, OutputError
from dogbreed.models.backbones import Backbone, make_backbone
from dogbreed.models.heads import Head, LinearHead, MLPHead
from dogbreed.serving.artifact import load_artifact, save_artifact
from dogbreed.serving.card import model_card
from dogbreed.serving.own_head import HEADS, module_of_own_head

NAMES = ("001.Affenpinscher", "002.Afghan_hound", "003.Airedale_terrier")


def make_heads(num_features: int) -> list[Head]:
    torch.manual_seed(0)
    return [LinearHead(num_features, 3), MLPHead(num_features, 3, hidden=8, dropout=0.5)]


def edit(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the description of an artifact in place."""
    about = json.loads((folder / "artifact.json").read_text())
    change(about)
    (folder / "artifact.json").write_text(json.dumps(about))


def content_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.mark.parametrize("kind", [0, 1], ids=["linear", "mlp"])
def test_artifact__gives_the_same_logits_bit_by_bit(kind: int, backbone: Backbone, tmp_path: Path) -> None:
    head = make_heads(backbone.num_features)[kind]
    images = torch.randint(0, 256, (5, 3, 32, 32), dtype=torch.uint8)
    loaded = load_artifact(save_artifact(tmp_path / "a", backbone, head, NAMES))

    assert torch.equal(loaded.head(loaded.backbone(images)), head.eval()(backbone(images)))


def test_artifact__keeps_what_belongs_to_the_classifier(backbone: Backbone, tmp_path: Path) -> None:
    loaded = load_artifact(save_artifact(tmp_path / "a", backbone, make_heads(backbone.num_features)[0], NAMES))

    assert (loaded.class_names, loaded.backbone.transform, loaded.backbone.source, loaded.backbone.fingerprint()) == (
        NAMES,
        backbone.transform,
        backbone.source,
        backbone.fingerprint(),
    )


def test_artifact__of_a_torchvision_backbone_comes_back(tmp_path: Path) -> None:
    backbone = make_backbone("torchvision", "squeezenet1_1", weights="none", image_size=64)
    loaded = load_artifact(save_artifact(tmp_path / "a", backbone, make_heads(backbone.num_features)[0], NAMES))

    assert loaded.backbone.fingerprint() == backbone.fingerprint()


def test_artifact__says_what_it_is(trained_run: Path) -> None:
    about = json.loads((trained_run / "artifact" / "artifact.json").read_text())
    metrics = json.loads((trained_run / "metrics.json").read_text())

    assert about["metrics"] == metrics
    assert about["pictures"] == {"train": 32, "val": 16, "test": 16}
    assert about["versions"]["torch"] == torch.__version__.split("+")[0]


def test_artifact__has_a_card_with_its_metrics(trained_run: Path) -> None:
    card = (trained_run / "artifact" / "README.md").read_text()
    accuracy = json.loads((trained_run / "metrics.json").read_text())["test/acc"]

    assert f"| test/acc | {accuracy:.4f} |" in card
    assert "Breed A, Breed B, Breed C, Breed D" in card
    assert "python -m dogbreed.predict --artifact ." in card


def test_card__of_a_head_of_ones_own_says_where_its_class_must_be(trained_run: Path) -> None:
    about = json.loads((trained_run / "artifact" / "artifact.json").read_text())
    imported = model_card(about | {"head_module": "mine.heads"})
    defined = model_card(about | {"head_module": "__main__"})  # in a notebook
    assert "python -c 'import mine.heads; from dogbreed import Predictor" in imported
    assert "python -c 'import YOUR_MODULE; from dogbreed import Predictor" in defined
    assert "-m dogbreed" not in imported + defined


@pytest.mark.parametrize("module", ["os; import evil", "a\nb", "a b", "", "a..b", "import", "`x`", 3, None, ["a"]])
def test_card__names_no_module_that_is_none(module: Any, trained_run: Path) -> None:
    about = json.loads((trained_run / "artifact" / "artifact.json").read_text())
    assert model_card(about | {"head_module": module}) == model_card(about)


def test_own_head__is_one_of_another_module_than_ours() -> None:
    assert Head.__module__ == HEADS
    assert module_of_own_head("dogbreed.models.mine") == "dogbreed.models.mine"


def test_artifact__replaces_the_one_that_was_there(backbone: Backbone, tmp_path: Path) -> None:
    linear, mlp = make_heads(backbone.num_features)
    for head in (linear, mlp):
        save_artifact(tmp_path / "a", backbone, head, NAMES)

    assert load_artifact(tmp_path / "a").head.kind == "mlp"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize("length", [0, 1, 8, 1000, -1])
def test_artifact__with_truncated_weights_is_an_error(length: int, artifact: Path) -> None:
    weights = artifact / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:length])

    with pytest.raises(ArtifactError, match=r"weights\.safetensors is damaged: .*checksum"):
        load_artifact(artifact)


def test_artifact__with_one_flipped_bit_is_an_error(artifact: Path) -> None:
    weights = artifact / "weights.safetensors"
    content = bytearray(weights.read_bytes())
    content[-5] ^= 1
    weights.write_bytes(content)

    with pytest.raises(ArtifactError, match="checksum"):
        load_artifact(artifact)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9, 0.999])
def test_artifact__with_a_truncated_description_is_an_error(share: float, artifact: Path) -> None:
    text = (artifact / "artifact.json").read_text().rstrip()
    (artifact / "artifact.json").write_text(text[: int(share * len(text))])

    with pytest.raises(ArtifactError, match=r"artifact\.json is damaged"):
        load_artifact(artifact)


@pytest.mark.parametrize("name", ["artifact.json", "weights.safetensors"])
def test_artifact__without_a_file_is_an_error_that_names_it(name: str, artifact: Path) -> None:
    (artifact / name).unlink()

    with pytest.raises(ArtifactError, match=name):
        load_artifact(artifact)


@pytest.mark.parametrize("place", ["nowhere", ".", "file.txt", "file.txt/deeper"])
def test_artifact__that_is_none_is_an_error(place: str, tmp_path: Path) -> None:
    (tmp_path / "file.txt").write_text("no artifact")

    with pytest.raises(ArtifactError):
        load_artifact(tmp_path / place)


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"[]", b"null", b"{}", b'"text"', b"9" * 5000, b"[" * 100_000])
def test_artifact__with_a_foreign_description_is_an_error(content: bytes, artifact: Path) -> None:
    (artifact / "artifact.json").write_bytes(content)

    with pytest.raises(ArtifactError):
        load_artifact(artifact)


def set_backbone(**fields: Any) -> Callable[[dict[str, Any]], object]:
    return lambda about: about["backbone"].update(fields)


def set_head(**fields: Any) -> Callable[[dict[str, Any]], object]:
    return lambda about: about["head"].update(fields)


def set_transform(**fields: Any) -> Callable[[dict[str, Any]], object]:
    return lambda about: about["transform"].update(fields)


@pytest.mark.parametrize(
    "change",
    [
        lambda about: about.update(format=99),
        lambda about: about.update(format=None),
        lambda about: about.pop("format"),
        lambda about: about.pop("backbone"),
        lambda about: about.pop("weights_sha256"),
        lambda about: about.update(backbone="test_resnet"),
        lambda about: about.update(head=None),
        lambda about: about.update(class_names=5),
        lambda about: about["class_names"].pop(),
        lambda about: about["class_names"].append("one too many"),
        set_backbone(name="hf-hub:evil/model"),
        set_backbone(name="test_vit"),
        set_backbone(name=["test_resnet"]),
        set_backbone(library="pickle"),
        set_backbone(tag="r161_in1k"),
        set_head(kind="mlp"),
        set_head(kind="mlp", hidden=8, dropout=0.0),
        set_head(kind="os.system"),
        set_head(num_classes=5),
        set_head(num_classes=-4),
        set_head(num_features="many"),
        set_head(bias=False),
        set_transform(size=0),
        set_transform(size=10**9),
        set_transform(size="large"),
        set_transform(resize=-3),
        set_transform(interpolation="telepathic"),
        set_transform(std=[0.0, 0.0, 0.0]),
        set_transform(mean="grey"),
        set_transform(crop="none"),
    ],
)
def test_artifact__with_an_edited_description_is_an_error(change: Callable[..., object], artifact: Path) -> None:
    edit(artifact, change)

    with pytest.raises(ArtifactError):
        load_artifact(artifact)


def test_artifact__with_a_head_of_a_kind_that_is_not_imported_is_not_called_damaged(artifact: Path) -> None:
    edit(artifact, set_head(kind="standardised"))

    with pytest.raises(ArtifactError, match="kind 'standardised', which no imported class has") as caught:
        load_artifact(artifact)
    assert "damaged" not in str(caught.value)
    assert "import the module of its class" in caught.value.hint


def test_artifact__of_a_later_format_names_both(artifact: Path) -> None:
    edit(artifact, lambda about: about.update(format=99))

    with pytest.raises(ArtifactError, match="format 99\n  allowed: format 2 or older"):
        load_artifact(artifact)


@pytest.mark.parametrize("part", ["head.linear.bias", "backbone.bn1.running_mean"])
def test_artifact__without_a_tensor_is_an_error_even_with_the_right_checksum(part: str, artifact: Path) -> None:
    tensors = load_file(artifact / "weights.safetensors")
    del tensors[part]
    save_file(tensors, artifact / "weights.safetensors")
    digest = hashlib.sha256((artifact / "weights.safetensors").read_bytes()).hexdigest()
    edit(artifact, lambda about: about.update(weights_sha256=digest))

    with pytest.raises(ArtifactError, match="do not fit"):
        load_artifact(artifact)


def test_artifact__of_a_run_that_diverged_is_an_error(backbone: Backbone, tmp_path: Path) -> None:
    head = make_heads(backbone.num_features)[0]
    head.state_dict()["linear.bias"][1] = float("nan")  # which shares its memory
    save_artifact(tmp_path / "artifact", backbone, head, NAMES)

    with pytest.raises(ArtifactError, match="not finite"):
        load_artifact(tmp_path / "artifact")


def test_save_artifact__refuses_names_that_do_not_match_the_head(backbone: Backbone, tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        save_artifact(tmp_path / "a", backbone, make_heads(backbone.num_features)[0], NAMES[:2])


def save_and_be_killed(directory: Path) -> None:
    """Write over an artifact, and end before it is complete."""
    torch.set_num_threads(1)  # the threads of the parent are not in a fork
    loaded = load_artifact(directory)
    with pytest.MonkeyPatch.context() as patch:
        # The card is written last, before the new folder takes the old one's place.
        patch.setattr("dogbreed.serving.artifact.model_card", lambda about: os.kill(os.getpid(), signal.SIGKILL))
        save_artifact(directory, loaded.backbone, loaded.head, ["a", "b", "c", "d"])


def test_artifact__survives_a_kill_while_the_next_is_written(artifact: Path) -> None:
    before = content_of(artifact)
    process = get_context("fork").Process(target=save_and_be_killed, args=(artifact,))
    process.start()
    process.join(60)

    assert (process.exitcode, content_of(artifact)) == (-signal.SIGKILL, before)


def test_artifact__survives_a_disk_that_fills_up_while_the_next_is_written(artifact: Path) -> None:
    loaded, before = load_artifact(artifact), content_of(artifact)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(OutputError, match="cannot be written"):
            save_artifact(artifact, loaded.backbone, loaded.head, ["a", "b", "c", "d"])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)

    assert (content_of(artifact), [path.name for path in artifact.parent.iterdir()]) == (before, ["artifact"])


AWS = {"boto3", "botocore", "sagemaker", "smdebug"}

IMPORTS = """
import json, sys, time
start = time.process_time()  # of this process, however busy the machine is
import dogbreed
seconds = time.process_time() - start
bare = set(sys.modules)
from dogbreed import Predictor
predictor = Predictor.load(sys.argv[1])
served = set(sys.modules)
from dogbreed import BreedClassifier, BreedDataModule
print(json.dumps([seconds, *(sorted({name.split(".")[0] for name in names}) for names in (bare, served, sys.modules))]))
"""


@pytest.fixture(scope="module")
def imported(trained_run: Path) -> tuple[float, set[str], set[str], set[str]]:
    """In a process of its own: how long `import dogbreed` takes, and what is loaded by then, to serve, and to train."""
    process = subprocess.run(
        [sys.executable, "-c", IMPORTS, trained_run / "artifact"], capture_output=True, text=True, check=True
    )
    seconds, *modules = json.loads(process.stdout)
    bare, served, trained = map(set, modules)
    return seconds, bare, served, trained


def test_import__alone_is_quick(imported: tuple[float, set[str], set[str], set[str]]) -> None:
    assert imported[0] < 0.2


def test_import__alone_loads_nothing_heavy(imported: tuple[float, set[str], set[str], set[str]]) -> None:
    assert not imported[1] & {"torch", "torchvision", "timm", "numpy", "PIL", "hydra", "pytorch_lightning"}


def test_import__to_serve_needs_no_training_code(imported: tuple[float, set[str], set[str], set[str]]) -> None:
    assert not imported[2] & {"hydra", "omegaconf", "pytorch_lightning", "torchmetrics", *AWS}


def test_import__to_train_needs_no_hydra_nor_aws(imported: tuple[float, set[str], set[str], set[str]]) -> None:
    assert not imported[3] & {"hydra", "optuna", *AWS}
