"""What val teaches about a classifier's answers: how probable they are, which are unsure, and what looks like what."""

from __future__ import annotations

import math
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.trainer.states import TrainerFn
from torch import Tensor

from dogbreed.data.dataset import Batch
from dogbreed.reports.scores import calibrate
from dogbreed.serving.answer import DIGITS
from dogbreed.serving.calibration import Calibration, LookAlikes
from dogbreed.training.joining import join

LEAST, MOST = 0.05, 20.0  # temperatures: where every answer to val is right, the smaller the better, without end
_HALVINGS = 32  # of log(MOST / LEAST): to 2e-9 of the temperature

LOOK_ALIKES = 3  # of a class
LEAST_SHARE = 0.001


class Calibrator(pl.Callback):
    """Learns from the logits of `trainer.validate`, of all processes; the validations of a fit teach nothing.

    Args:
        precision: the share of right answers that is asked of the sure ones, in (0, 1].

    Attributes:
        calibration: of the classifier that was validated last; None where it gave no finite logits.
        look_alikes: of each class, length C; empty where there is no calibration.
    """

    def __init__(self, precision: float) -> None:
        self._precision = precision
        self._seen: list[tuple[Tensor, Tensor, Tensor]] = []  # positions, targets and logits of each batch
        self.calibration: Calibration | None = None
        self.look_alikes: LookAlikes = ()

    @property
    def temperature(self) -> float:
        """What logits are divided by: 1 where there is no calibration."""
        return 1.0 if self.calibration is None else self.calibration.temperature

    def describe(self) -> str:
        """One line for people."""
        if self.calibration is None:
            return "not calibrated: val has no finite logits; every answer is marked unsure"
        return f"calibrated on val ({self.calibration.pictures:,} pictures): {self.calibration.describe()}"

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Forget an earlier validation."""
        self._seen = []

    def on_validation_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Batch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Take the logits that the validation step returned."""
        if trainer.state.fn == TrainerFn.VALIDATING:
            self._seen.append((batch.positions.cpu(), batch.targets.cpu(), outputs.float().cpu()))

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Learn from what all processes have; each of them learns the same."""
        if trainer.state.fn != TrainerFn.VALIDATING:
            return
        positions, targets, logits = (torch.cat(parts) for parts in zip(*join(trainer, self._seen), strict=True))
        order = positions.argsort()  # the same however many processes there are
        targets, logits = targets[order], logits[order]
        self.calibration, self.look_alikes, self._seen = None, (), []
        if len(logits) and logits.isfinite().all():
            self.calibration = fit_calibration(logits, targets, self._precision)
            self.look_alikes = find_look_alikes(probabilities(logits, self.temperature), targets)


def fit_calibration(logits: Tensor, targets: Tensor, precision: float) -> Calibration:
    """The calibration that fits logits (N, C) to their targets (N,), N > 0.

    Args:
        logits: finite.
        targets: class indices.
        precision: the share of right answers that is asked of the sure ones, in (0, 1].
    """
    temperature = fit_temperature(logits, targets)
    right = logits.argmax(dim=1) == targets
    # Rounded as they are in answers, so that an answer as probable as the threshold is sure.
    before, after = (
        probabilities(logits, divisor).amax(dim=1).double().round(decimals=DIGITS) for divisor in (1.0, temperature)
    )
    threshold, coverage = choose_threshold(after, right, precision)
    return Calibration(
        temperature=temperature,
        ece_before=calibrate(before.tolist(), right.tolist()).error,
        ece_after=calibrate(after.tolist(), right.tolist()).error,
        threshold=threshold,
        precision=precision,
        coverage=coverage,
        pictures=len(targets),
    )


def probabilities(logits: Tensor, temperature: float) -> Tensor:
    """Probabilities (N, C), float32, of logits (N, C)."""
    return (logits.float() / temperature).softmax(dim=1)


def fit_temperature(logits: Tensor, targets: Tensor) -> float:
    """The temperature in [LEAST, MOST] with the least negative log-likelihood (Guo et al. 2017, section 4.2).

    That is convex in 1 / temperature, so the sign of its slope says on which side of a guess the least one lies.

    Args:
        logits: (N, C), N > 0, finite.
        targets: class indices (N,).

    >>> round(fit_temperature(torch.tensor([[2.0, 0.0]] * 4), torch.tensor([0, 0, 0, 1])), 3)  # 2 / log(3)
    1.82
    """
    logits = logits.double()
    wanted = logits.gather(1, targets[:, None]).mean()
    low, high = LEAST, MOST
    for _ in range(_HALVINGS):
        middle = math.sqrt(low * high)
        expected = ((logits / middle).softmax(dim=1) * logits).sum(dim=1).mean()
        low, high = (middle, high) if expected > wanted else (low, middle)
    return math.sqrt(low * high)


def choose_threshold(probs: Tensor, right: Tensor, precision: float) -> tuple[float | None, float]:
    """The smallest probability from which on answers are right often enough, and the share of answers there.

    Args:
        probs: of the answers, (N,), N > 0.
        right: whether each is right, (N,).
        precision: the share of right ones that is asked for, in (0, 1].

    Returns:
        A threshold that is one of `probs`, and its coverage in (0, 1]; None and 0 where none is good enough.

    >>> choose_threshold(torch.tensor([0.5, 0.75, 1.0]), torch.tensor([False, True, True]), 0.9)
    (0.75, 0.6666666666666666)
    """
    probs, order = probs.sort(descending=True)
    precisions = right[order].double().cumsum(0) / torch.arange(1, len(probs) + 1)
    ends = probs != torch.cat([probs[1:], probs.new_tensor([-1.0])])  # those as probable as each other go together
    good = ((precisions >= precision) & ends).nonzero()
    if len(good) == 0:
        return None, 0.0
    last = int(good[-1])
    return float(probs[last]), (last + 1) / len(probs)


def find_look_alikes(probs: Tensor, targets: Tensor) -> LookAlikes:
    """Of each class, the others that it is most often confused with, at most LOOK_ALIKES of LEAST_SHARE or more.

    The share of two classes is the mean probability that the pictures of either are given of being the other: of the
    two means, one each way, or of the one that there is where the other class has no picture.

    Args:
        probs: (N, C).
        targets: class indices (N,).

    >>> find_look_alikes(torch.tensor([[0.7, 0.3, 0.0], [0.1, 0.9, 0.0]]), torch.tensor([0, 1]))
    (((1, 0.2),), ((0, 0.2),), ())
    """
    classes = probs.shape[1]
    pictures = targets.bincount(minlength=classes)
    given = probs.new_zeros(classes, classes, dtype=torch.float64).index_add_(0, targets, probs.double())
    given /= pictures[:, None]  # NaN without a picture
    shares = torch.stack([given, given.T]).nanmean(dim=0).nan_to_num(0).fill_diagonal_(0)
    most = shares.sort(dim=1, descending=True, stable=True)
    rows = zip(most.indices[:, :LOOK_ALIKES].tolist(), most.values[:, :LOOK_ALIKES].tolist(), strict=True)
    return tuple(
        tuple((other, round(share, 4)) for other, share in zip(*row, strict=True) if share >= LEAST_SHARE)
        for row in rows
    )
