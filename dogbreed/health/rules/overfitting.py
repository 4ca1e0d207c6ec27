"""Rules that hold the losses of training and of val against each other."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import Any, Literal, get_args

from dogbreed.errors import ConfigError, did_you_mean
from dogbreed.health.findings import Finding
from dogbreed.health.rules import remedies
from dogbreed.health.rules.base import Rule, with_remedy
from dogbreed.health.rules.losses import finite_losses
from dogbreed.health.samples import Facts, Mode, Sample

ABOVE_TRAIN, ABOVE_TRAIN_AND_RISING = "val loss above train loss", "val loss above train loss, and rising"
LITTLE_HOLDS = "little of what is learned holds on val"
TRAIN_STOPPED, VAL_STOPPED, BOTH_STOPPED = "train loss no longer falls", "val loss no longer falls", "no loss falls"

Unit = Literal["samples", "epochs"]
Sides = Literal["either", "both", "validation"]


class Mean:
    """The mean of losses, without keeping them."""

    def __init__(self) -> None:
        self._sum, self._count = 0.0, 0

    def add(self, sample: Sample) -> None:
        """Take up the sample's losses that are finite numbers."""
        losses = [loss for _, loss in finite_losses(sample)]
        self._sum += math.fsum(losses)
        self._count += len(losses)

    def take(self) -> float | None:
        """The mean so far, None where there was no loss; then begin anew."""
        mean = self._sum / self._count if self._count else None
        self._sum, self._count = 0.0, 0
        return mean


class Passes:
    """The mean loss of every pass over the data: an epoch of TRAIN, an evaluation of EVAL.

    A pass ends where its sample says so; where none says so, with the first sample of the next epoch.
    """

    def __init__(self) -> None:
        self._means: dict[Mode, Mean] = {"TRAIN": Mean(), "EVAL": Mean()}
        self._epochs: dict[Mode, int] = {}

    def add(self, sample: Sample) -> list[tuple[int, float]]:
        """Take up a sample; (epoch, mean loss) of each pass of its mode that has ended."""
        mean, epoch = self._means[sample.mode], self._epochs.get(sample.mode, sample.epoch)
        ended = [(epoch, mean.take())] if epoch != sample.epoch else []
        self._epochs[sample.mode] = sample.epoch
        mean.add(sample)
        if sample.ends_epoch:
            ended.append((sample.epoch, mean.take()))
        return [(epoch, loss) for epoch, loss in ended if loss is not None]


@dataclass(kw_only=True)
class Overfit(Rule):
    """The loss on val stands above that on train.

    Judged at each evaluation. AWS does not publish over which losses it averages; here they are those since the
    evaluation before, so an epoch's for TRAIN and the whole evaluation's for EVAL, every batch alike.

    Attributes:
        start_step: evaluations before this step of training are passed over.
        patience: evaluations in a row that must be so.
        ratio_threshold: of (val - train) / train.
        rise_threshold: by which share val's loss must also stand above its lowest; null: no matter.
        transfer_threshold: or of what is learned on train, the share that must hold on val; null: no matter. Learned
            is what the loss lies below that of always guessing by the classes' frequencies in val, their entropy; it
            is judged once half of that is learned.
    """

    needs = "losses of TRAIN and EVAL"
    start_step: int
    patience: int
    ratio_threshold: float
    rise_threshold: float | None
    transfer_threshold: float | None

    def __post_init__(self) -> None:
        super().__post_init__()
        self._train = Mean()
        self._passes = Passes()
        self._row = 0
        self._lowest, self._lowest_epoch = math.inf, 0
        self._labels: Counter[int] = Counter()

    def see(self, sample: Sample) -> None:
        """Compare the two losses where an evaluation ends."""
        if sample.mode == "TRAIN":
            self._train.add(sample)
            return
        for true, _, count in sample.pairs:
            self._labels[true] += count
        for epoch, val in self._passes.add(sample):
            train = self._train.take()
            if train is not None and sample.step >= self.start_step:
                self._compare(sample.step, train, val)
            self._labels.clear()
            if val < self._lowest:
                self._lowest, self._lowest_epoch = val, epoch

    def _compare(self, step: int, train: float, val: float) -> None:
        ratio = (val - train) / train if train > 0 else math.inf if val > train else 0.0
        lowest, rise, least = self._lowest, self.rise_threshold, self.transfer_threshold
        rising = rise is not None and val > lowest * (1 + rise)
        held = self._held(train, val)
        little = least is not None and held < least
        alone = rise is None and least is None
        self._row = self._row + 1 if ratio > self.ratio_threshold and (alone or rising or little) else 0
        if rising or alone:
            clause = ABOVE_TRAIN_AND_RISING if rising else ABOVE_TRAIN
            value, threshold = ratio, self.ratio_threshold
            more = f"; on val it had been {lowest:.3g} in epoch {self._lowest_epoch + 1}" if rising else ""
        else:
            clause, value, threshold = LITTLE_HOLDS, held, least or 0.0
            more = f": of what is learned on train, {max(0.0, held):.0%} holds on val"
        self.judge(
            self._row >= self.patience,
            clause=clause,
            value=value,
            threshold=threshold,
            step=step,
            mode="EVAL",
            meaning=f"The loss is {val:.3g} on val and {train:.3g} on train{more}. "
            "The head learns its training pictures by heart, and that does not help on others.",
        )

    def _held(self, train: float, val: float) -> float:
        """Of what is learned on train, the share that holds on val; 1 before much is learned."""
        pictures = sum(self._labels.values())
        shares = [count / pictures for count in self._labels.values()]
        ignorance = -math.fsum(share * math.log(share) for share in shares)
        return (ignorance - val) / (ignorance - train) if train < ignorance / 2 else 1.0

    def explained(self, finding: Finding, facts: Facts) -> Finding:
        """Stop in time, hold the weights small, show more views."""
        overrides = [*remedies.early_stopping(facts), *remedies.more_views(facts)]
        decay = remedies.number(facts, "optimizer.weight_decay")
        if decay is not None:
            overrides.append(f"optimizer.weight_decay={remedies.one_digit(decay * 10) if decay else 0.01}")
        if remedies.number(facts, "head.dropout") == 0:
            overrides.append("head.dropout=0.5")
        few = facts.train_counts is not None and sum(facts.train_counts) < 10 * len(facts.train_counts)
        advice = "More training pictures help most: there are fewer than 10 for a class." if few else ""
        if not overrides:
            advice = (
                advice or "Stop earlier, decay the weights more, or train with more pictures or more views of them."
            )
        return with_remedy(finding, *overrides, advice=advice)


@dataclass(kw_only=True)
class Overtraining(Rule):
    """Training goes on after the loss has stopped to fall.

    AWS does not publish which side counts, nor in which unit: both are parameters. A loss is better where it is below
    the lowest so far by more than `delta`.

    Attributes:
        patience_train: losses of TRAIN in a row that are not better.
        patience_validation: the same for EVAL.
        delta: absolute.
        unit: samples counts the loss of every batch, epochs the mean of every epoch and every evaluation.
        sides: which must have stopped: either, both, or validation alone.
    """

    needs = "losses of EVAL"
    patience_train: int
    patience_validation: int
    delta: float
    unit: Unit
    sides: Sides

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, value, allowed in (("unit", self.unit, get_args(Unit)), ("sides", self.sides, get_args(Sides))):
            if value not in allowed:
                near = did_you_mean(str(value), allowed)
                raise ConfigError(f"{name}={value!r}{near}", ", ".join(allowed), f"set Overtraining's {name}")
        self._patience: dict[Mode, int] = {"TRAIN": self.patience_train, "EVAL": self.patience_validation}
        self._stale: dict[Mode, int] = dict.fromkeys(self._patience, 0)
        self._count: dict[Mode, int] = dict.fromkeys(self._patience, 0)
        self._best: dict[Mode, tuple[float, int]] = dict.fromkeys(self._patience, (math.inf, 0))  # loss, epoch
        self._passes = Passes()

    def see(self, sample: Sample) -> None:
        """Count the losses since the best."""
        if self.unit == "epochs":
            losses = self._passes.add(sample)
        else:
            losses = [(sample.epoch, loss) for _, loss in finite_losses(sample)]
        for epoch, loss in losses:
            self._take(sample, epoch, loss)

    def _take(self, sample: Sample, epoch: int, loss: float) -> None:
        mode, better = sample.mode, loss < self._best[sample.mode][0] - self.delta
        self._count[mode] += 1
        self._stale[mode] = 0 if better else self._stale[mode] + 1
        if better:
            self._best[mode] = loss, epoch
        if self._short() is not None:
            return
        stopped: list[Mode] = [side for side in self._sides if self._stale[side] >= self._patience[side]]
        side = stopped[-1] if stopped else mode
        self.judge(
            bool(stopped) if self.sides == "either" else stopped == self._sides,
            clause=BOTH_STOPPED if len(stopped) == 2 else VAL_STOPPED if side == "EVAL" else TRAIN_STOPPED,
            value=self._stale[side],
            threshold=self._patience[side],
            step=sample.step,
            mode=side,
            meaning=lambda: self._meaning(side),
        )

    @property
    def _sides(self) -> list[Mode]:
        return ["EVAL"] if self.sides == "validation" else ["TRAIN", "EVAL"]

    def _meaning(self, side: Mode) -> str:
        loss, epoch = self._best[side]
        what = "batches" if self.unit == "samples" else "epochs" if side == "TRAIN" else "evaluations"
        return (
            f"The loss on {'val' if side == 'EVAL' else 'train'} was best, {loss:.3g}, in epoch {epoch + 1}; none of "
            f"the {self._stale[side]} {what} since was better by more than {self.delta:g}: time spent for nothing."
        )

    def _short(self) -> str | None:
        short = [side for side in self._sides if self._count[side] <= self._patience[side]]
        if not short or (self.sides == "either" and short != self._sides):
            return None
        side = short[-1]
        unit = "losses" if self.unit == "samples" else "epochs" if side == "TRAIN" else "evaluations"
        return f"{self._count[side]} of {self._patience[side] + 1} {unit} of {side}"

    def needed(self, facts: Facts) -> str | None:
        """How many losses there are of those that patience asks for."""
        return self._short()

    def explained(self, finding: Finding, facts: Facts) -> Finding:
        """Stop after the best epoch."""
        side: Mode = "EVAL" if finding.mode == "EVAL" else "TRAIN"
        if not facts.settings:
            return with_remedy(finding, advice=f"Stop after epoch {self._best[side][1] + 1}.")
        epochs = f"trainer.max_epochs={self._best[side][1] + 1}"
        return with_remedy(finding, *(remedies.early_stopping(facts) or (epochs,)))

    def details(self, facts: Facts) -> dict[str, Any]:
        """The lowest losses and their epochs."""
        return {mode: {"loss": best, "epoch": epoch} for mode, (best, epoch) in self._best.items() if best < math.inf}
