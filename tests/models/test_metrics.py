"""Metrics agree with scikit-learn's, whatever the batches."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, f1_score, log_loss, top_k_accuracy_score
from torch import Tensor, nn

from dogbreed.directions import DIRECTIONS, direction
from dogbreed.errors import ConfigError
from dogbreed.models.metrics import loss_weight, make_metrics

SIZE = 200


def draw(num_classes: int, present: int | None = None) -> tuple[Tensor, Tensor]:
    """Logits (N, C) that are right about half of the time, and targets among the first `present` classes."""
    generator = torch.Generator().manual_seed(num_classes)
    targets = torch.randint(0, present or num_classes, (SIZE,), generator=generator)
    logits = torch.randn(SIZE, num_classes, generator=generator)
    logits[range(SIZE), targets] += 1.5
    return logits, targets


def measure(
    logits: Tensor, targets: Tensor, batch_size: int, loss: nn.CrossEntropyLoss | None = None
) -> dict[str, float]:
    """val/* of all pictures, given in batches."""
    loss = loss or nn.CrossEntropyLoss()
    metrics = make_metrics(logits.shape[1], "val")
    for preds, target in zip(logits.split(batch_size), targets.split(batch_size), strict=True):
        metrics.update(preds=preds, target=target, loss=loss(preds, target), weight=loss_weight(loss, target))
    return {name.removeprefix("val/"): float(value) for name, value in metrics.compute().items()}


def expect(logits: Tensor, targets: Tensor) -> dict[str, float]:
    """The same by scikit-learn."""
    classes, probs = np.arange(logits.shape[1]), logits.double().softmax(dim=1).numpy()
    present = sorted(set(targets.tolist()) | set(logits.argmax(dim=1).tolist()))
    top5 = (
        top_k_accuracy_score(targets, logits.numpy(), k=5, labels=classes)
        if len(classes) > 5
        else 1.0  # any answer is among the first five; scikit-learn refuses to count that
    )
    return {
        "acc": accuracy_score(targets, logits.argmax(dim=1)),
        "acc_top5": top5,
        "f1_macro": f1_score(targets, logits.argmax(dim=1), average="macro", labels=present),
        "loss": log_loss(targets, probs, labels=classes),
    }


@pytest.mark.parametrize("batch_size", [1, 7, 64, SIZE])
@pytest.mark.parametrize("num_classes", [2, 3, 5, 6, 133])
def test_metrics__agree_with_scikit_learn(num_classes: int, batch_size: int) -> None:
    logits, targets = draw(num_classes)

    assert measure(logits, targets, batch_size) == pytest.approx(expect(logits, targets), rel=1e-5)


@pytest.mark.parametrize("batch_size", [1, 7, 64])
def test_metrics__agree_where_the_first_batch_is_all_wrong(batch_size: int) -> None:
    """torchmetrics' compute groups are guessed from the first batch, and took top-5 for F1."""
    logits, targets = draw(12)
    order = torch.argsort((logits.argmax(dim=1) == targets).long(), stable=True)
    logits, targets = logits[order], targets[order]
    assert not (logits.argmax(dim=1) == targets)[:64].any()

    assert measure(logits, targets, batch_size) == pytest.approx(expect(logits, targets), rel=1e-5)


@pytest.mark.parametrize("batch_size", [1, 7, SIZE])
def test_metrics__agree_where_classes_are_absent(batch_size: int) -> None:
    logits, targets = draw(20, present=4)

    assert measure(logits, targets, batch_size) == pytest.approx(expect(logits, targets), rel=1e-5)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("batch_size", [1, 7, 64])
def test_metrics__loss_is_that_of_one_big_batch(batch_size: int, weighted: bool, smoothing: float) -> None:
    logits, targets = draw(10)
    weight = torch.linspace(0.2, 3, 10) if weighted else None
    loss = nn.CrossEntropyLoss(weight, label_smoothing=smoothing)
    whole = nn.CrossEntropyLoss(weight.double() if weight is not None else None, label_smoothing=smoothing)

    assert measure(logits, targets, batch_size, loss)["loss"] == pytest.approx(
        float(whole(logits.double(), targets)), rel=1e-6
    )


def test_metrics__loss_does_not_drift_over_many_batches() -> None:
    drawn = torch.rand(5_000, generator=torch.Generator().manual_seed(0)) + 0.5
    mean_loss = make_metrics(2, "train")["loss"]
    for loss in drawn:
        mean_loss.update(loss=loss, weight=torch.tensor(1.0))

    assert float(mean_loss.compute()) == pytest.approx(float(drawn.double().mean()), rel=1e-7)


def test_metrics__of_a_split_carry_its_name() -> None:
    assert set(make_metrics(3, "test")) == {f"test/{name}" for name in DIRECTIONS}


def test_metrics__forget_after_reset() -> None:
    logits, targets = draw(6)
    loss, metrics = nn.CrossEntropyLoss(), make_metrics(6, "val")
    for preds, target in ((torch.randn(50, 6), torch.zeros(50, dtype=torch.long)), (logits, targets)):
        metrics.reset()
        metrics.update(preds=preds, target=target, loss=loss(preds, target), weight=loss_weight(loss, target))

    found = {name.removeprefix("val/"): float(value) for name, value in metrics.compute().items()}
    assert found == pytest.approx(expect(logits, targets), rel=1e-5)


@pytest.mark.parametrize(("key", "expected"), [("val/loss", "min"), ("val/acc", "max"), ("val/f1_macro", "max")])
def test_direction__follows_from_the_name(key: str, expected: str) -> None:
    assert direction(key) == expected


@pytest.mark.parametrize("key", ["test/acc", "train/loss", "acc", ""])
def test_direction__refuses_what_is_not_on_val(key: str) -> None:
    with pytest.raises(ConfigError, match=f"monitor={key}"):
        direction(key)


def test_direction__suggests_a_near_name() -> None:
    with pytest.raises(ConfigError, match=r"did you mean val/acc\b"):
        direction("val/accuracy")
