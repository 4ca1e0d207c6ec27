"""What a classifier has to beat: chance, and knowing nothing but the colour."""

from __future__ import annotations

import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from dogbreed.data.datamodule import BreedDataModule

PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1)


class MeanColourBaseline(pl.Callback):
    """Prints the test accuracy beside that of chance and of logistic regression on each picture's mean colour."""

    def on_test_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Fit the baseline on train, choose its penalty on val, count on test, and print all three."""
        datamodule = trainer.datamodule.source  # type: ignore[attr-defined]
        if not trainer.is_global_zero:
            return
        with torch.inference_mode(False), torch.enable_grad():  # Lightning tests in inference mode
            colours = {name: mean_colours(datamodule, name) for name in ("train", "val", "test")}
            baseline = logistic_regression_accuracy(colours, datamodule.num_classes)
        ours = float(trainer.callback_metrics["test/acc"])
        print(
            f"test accuracy: chance {1 / datamodule.num_classes:.1%}, "
            f"logistic regression on mean colour {baseline:.1%}, this classifier {ours:.1%}",
            flush=True,
        )


def mean_colours(datamodule: BreedDataModule, split: str) -> tuple[Tensor, Tensor]:
    """The mean RGB of each picture's clean view, float (N, 3) in [0, 255], and the targets (N,)."""
    batches = [
        (batch.inputs.float().mean(dim=(2, 3)), batch.targets) for batch in datamodule.loader(split, shared=False)
    ]
    return torch.cat([colours for colours, _ in batches]), torch.cat([targets for _, targets in batches])


def logistic_regression_accuracy(data: dict[str, tuple[Tensor, Tensor]], num_classes: int) -> float:
    """Test accuracy in [0, 1] of multinomial logistic regression, its L2 penalty chosen on val.

    Args:
        data: features (N, D) and targets (N,) of "train", "val" and "test".
        num_classes: C.
    """
    mean, std = data["train"][0].mean(dim=0), data["train"][0].std(dim=0).clamp(min=1e-6)
    scaled = {name: ((features - mean) / std, targets) for name, (features, targets) in data.items()}
    fits = [_fit(*scaled["train"], num_classes, penalty) for penalty in PENALTIES]
    best = max(fits, key=lambda fit: _accuracy(fit, *scaled["val"]))
    return _accuracy(best, *scaled["test"])


def _fit(features: Tensor, targets: Tensor, num_classes: int, penalty: float) -> nn.Linear:
    model = nn.Linear(features.shape[1], num_classes)
    nn.init.zeros_(model.weight)
    nn.init.zeros_(model.bias)
    optimizer = torch.optim.LBFGS(model.parameters(), max_iter=200, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(features), targets) + penalty * model.weight.square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    return model


def _accuracy(model: nn.Linear, features: Tensor, targets: Tensor) -> float:
    with torch.no_grad():
        return float((model(features).argmax(dim=1) == targets).float().mean())
