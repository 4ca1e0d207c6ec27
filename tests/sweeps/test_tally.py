"""The counts of many trials against torchmetrics and scikit-learn."""

from __future__ import annotations

import pytest
import torch
from sklearn.metrics import f1_score, log_loss
from torch import nn

from dogbreed.models.metrics import loss_weight, make_metrics
from dogbreed.sweeps.tally import Tally

TRIALS, SIZE = 3, 90


@pytest.mark.parametrize(("num_classes", "present"), [(2, 2), (4, 4), (9, 9), (40, 25)])
def test_tally__counts_as_torchmetrics_and_scikit_learn(num_classes: int, present: int) -> None:
    generator = torch.Generator().manual_seed(num_classes)
    targets = torch.randint(0, present, (SIZE,), generator=generator)
    logits = torch.randn(SIZE, TRIALS, num_classes, generator=generator)
    logits[range(SIZE), :, targets] += torch.tensor([0.0, 1.0, 3.0])
    tally = Tally(TRIALS, num_classes, torch.device("cpu"))
    for rows in torch.arange(SIZE).split(40):
        tally.update(logits[rows], targets[rows])
    ours, loss = tally.compute(), nn.CrossEntropyLoss()
    for trial in range(TRIALS):
        metrics, preds = make_metrics(num_classes, "val"), logits[:, trial]
        metrics.update(preds=preds, target=targets, loss=loss(preds, targets), weight=loss_weight(loss, targets))
        assert {name: values[trial] for name, values in ours.items()} == pytest.approx(
            {name: float(value) for name, value in metrics.compute().items()}, rel=1e-5
        )
        seen = sorted({*targets.tolist(), *preds.argmax(dim=1).tolist()})
        assert ours["val/f1_macro"][trial] == pytest.approx(
            f1_score(targets, preds.argmax(dim=1), average="macro", labels=seen)
        )
        assert ours["val/loss"][trial] == pytest.approx(
            log_loss(targets, preds.double().softmax(dim=1), labels=range(num_classes)), rel=1e-5
        )


def test_tally__of_logits_that_are_no_numbers_has_no_loss_and_says_the_rest() -> None:
    tally = Tally(2, 6, torch.device("cpu"))
    logits = torch.zeros(4, 2, 6)
    logits[:, 0] = torch.nan
    logits[:, 1, 3] = 1
    tally.update(logits, torch.full((4,), 3))
    values = tally.compute()
    assert values["val/acc"] == [0.0, 1.0]
    assert values["val/loss"] == pytest.approx([torch.nan, 1.0435], abs=1e-3, nan_ok=True)
