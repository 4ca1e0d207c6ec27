"""The rules during the run: a callback that measures, records and judges, and costs next to nothing."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from dogbreed.data.dataset import Batch
from dogbreed.errors import HealthError
from dogbreed.health.findings import Outcome
from dogbreed.health.judging import Panel
from dogbreed.health.measuring import summarise
from dogbreed.health.probes import Probes, odd_rows
from dogbreed.health.recording import keep_until, record
from dogbreed.health.samples import Event, Facts, MachineSample, PictureStats, Sample, TensorStats
from dogbreed.models.classifier import BreedClassifier

FIRST_STEPS = 10  # all measured: PoorWeightInitialization judges by them

TakeSteps = Callable[[], tuple[Sequence[float], Sequence[float]]]


class HealthMonitor(pl.Callback):
    """Feeds the rules with what happens, and keeps what they were fed with.

    Tensors are measured at the first steps, then at every `every_n_steps`-th; the loss of every step is read when
    the next one ends, so that a GPU is not waited for. Of several processes the first one is watched; an evaluation is
    that of all of them.

    Args:
        panel: the rules.
        facts: of the run; what depends on the model is filled in when the fit begins.
        every_n_steps: between two samples of the tensors.
        backbone: whether the backbone's activations are measured too.
        recording: the file that keeps the samples; None to keep nothing.
        fail_on: names of rules whose finding ends the run.
        stopped: where a run that is ended so leaves its state; None to leave none.
        started: of the run, by time.monotonic(); None for now.
        take_steps: durations and waits of the steps since the last call, in seconds.
        take_machine: samples of the machine since the last call.

    Attributes:
        begun: whether a training has begun: a run that is continued at its end has none.
    """

    def __init__(
        self,
        panel: Panel,
        facts: Facts,
        *,
        every_n_steps: int,
        backbone: bool = False,
        recording: Path | None = None,
        fail_on: Sequence[str] = (),
        stopped: Path | None = None,
        started: float | None = None,
        take_steps: TakeSteps = lambda: ((), ()),
        take_machine: Callable[[], Iterable[MachineSample]] = tuple,
    ) -> None:
        self.panel, self.facts = panel, facts
        self._every, self._backbone, self._fail_on, self._stopped = every_n_steps, backbone, fail_on, stopped
        self._recording = recording
        self._recording_now = False
        self._started = time.monotonic() if started is None else started
        self._take_steps, self._take_machine = take_steps, take_machine
        self._probes: Probes | None = None
        self._handles: list[RemovableHandle] = []
        self._step = self._pictures = 0  # of the newest batch
        self._pending: tuple[int, Tensor, Batch] | None = None
        self._losses: list[tuple[int, float]] = []
        self._due = False  # whether the step that goes on is one that is measured
        self.begun = False
        self._unclosed = False  # whether there are samples of the training since its last epoch ended
        self._evaluated: list[tuple[Tensor, Tensor, Tensor]] = []  # loss, predictions, targets of a batch of val
        self._evaluations = 0  # batches of val so far
        self._odd = False
        self._before: list[Event] = []

    def see(self, event: Event) -> None:
        """Take note of something that was measured elsewhere, such as the pictures in the feature pass."""
        self._before.append(event)

    def outcomes(self) -> list[Outcome]:
        """What the rules say now, ranked."""
        return self.panel.outcomes(self.facts)

    # -- the fit --------------------------------------------------------------------------------------------------

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Listen to the network and to the loss on val."""
        assert isinstance(pl_module, BreedClassifier)
        self._probes = Probes(pl_module.network, self.panel.measure, backbone=self._backbone)
        self._probes.attach()
        self._handles = [pl_module.plain_loss.register_forward_hook(self._see_evaluated)]
        self._trainer = trainer
        self.facts = replace(self.facts, activations=self._probes.activations)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Take up the recording: what a run that is continued had recorded is judged again."""
        self.begun = True
        if self._recording is not None and trainer.is_global_zero:
            self._take_up(keep_until(self._recording, trainer.global_step, self.facts, self.panel.measure))
            self._recording_now = True
        before, self._before = self._before, []
        self._emit(*before)

    def _take_up(self, events: list[Event]) -> None:
        self.panel.see(*events)
        if any(isinstance(event, PictureStats) for event in events):
            self._before = [event for event in self._before if not isinstance(event, PictureStats)]
        seen = [event for event in events if isinstance(event, Sample)]
        self._evaluations = sum(len(sample.losses) for sample in seen if sample.mode == "EVAL")
        if seen:
            self._started = time.monotonic() - max(sample.seconds for sample in seen)

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Batch, batch_idx: int
    ) -> None:
        """Arm the probes for a step that is measured."""
        self._step = step = trainer.global_step
        self._due = step < FIRST_STEPS or step % self._every == 0
        if self._due and len(batch.targets):  # a batch without a readable picture has gradients of zero
            assert self._probes is not None
            self._pictures = len(batch.targets)
            self._probes.arm(percentiles=step < FIRST_STEPS)

    def on_before_optimizer_step(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer: torch.optim.Optimizer
    ) -> None:
        """Measure weights and gradients, which are unscaled by now."""
        assert self._probes is not None
        if self._probes.armed:
            self._probes.see_parameters()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Batch, batch_idx: int
    ) -> None:
        """Note the loss; emit the sample of a step that was measured."""
        assert self._probes is not None
        self._read_loss()
        if len(batch.targets):
            self._pending = self._step, outputs["loss"], batch
        if self._probes.armed:
            self._read_loss()
            self._sample(self._step, trainer.current_epoch, self._probes.take())
        if self._due:
            self._end_if_asked(trainer)

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Close what belongs to the training before this evaluation."""
        if not trainer.sanity_checking:
            self._close_epoch(trainer)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Emit the evaluation as one sample."""
        if trainer.sanity_checking:
            return
        losses, pairs = self._take_evaluated(trainer.world_size)
        first, self._evaluations = self._evaluations, self._evaluations + len(losses)
        if losses:
            self._emit(
                Sample(
                    trainer.global_step,
                    "EVAL",
                    trainer.current_epoch,
                    self._now(),
                    losses=tuple(enumerate(losses, first)),
                    pairs=tuple((*pair, count) for pair, count in sorted(pairs.items())),
                    ends_epoch=True,
                )
            )
        self._end_if_asked(trainer)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Close an epoch that no evaluation closed."""
        self._close_epoch(trainer)
        self._end_if_asked(trainer)

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Take the last samples, and listen no more."""
        self._close()

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Keep what was seen up to the end, whatever it was."""
        if self._recording_now:
            self._close_epoch(trainer, ends=False)
        self._close()

    # -- its parts ------------------------------------------------------------------------------------------------

    def _see_evaluated(self, module: nn.Module, arguments: tuple[Any, ...], loss: Tensor) -> None:
        if self._trainer.sanity_checking:
            return
        logits, targets = arguments[0].detach(), arguments[1]
        self._evaluated.append((loss.detach(), logits.argmax(dim=1), targets))

    def _take_evaluated(self, processes: int) -> tuple[list[float], Counter[tuple[int, int]]]:
        """The losses of the batches, and how often each class was taken for which; of all processes together."""
        evaluated, self._evaluated = self._evaluated, []
        losses = torch.stack([loss for loss, *_ in evaluated]).tolist() if evaluated else []
        pairs: Counter[tuple[int, int]] = Counter()
        for _, predictions, targets in evaluated:
            pairs.update(zip(targets.tolist(), predictions.tolist(), strict=True))
        if processes > 1:
            shares: list[Any] = [None] * processes
            torch.distributed.all_gather_object(shares, (losses, pairs))
            losses = [loss for share, _ in shares for loss in share]
            pairs = sum((share for _, share in shares), Counter())
        return losses, pairs

    def _read_loss(self) -> None:
        """Take the loss of the step before: it is there by now, so that no device is waited for."""
        if self._pending is None:
            return
        step, loss, batch = self._pending
        self._pending = None
        value = float(loss) * self._trainer.accumulate_grad_batches  # Lightning divides each by it
        self._losses.append((step, value))
        if not math.isfinite(value) and not self._odd:
            self._odd = True
            self._sample(step, self._trainer.current_epoch, self._odd_pictures(batch))

    def _odd_pictures(self, batch: Batch) -> dict[str, TensorStats]:
        """The pictures of a batch with values that are no finite numbers, by their files."""
        source = getattr(getattr(self._trainer, "datamodule", None), "source", None)
        paths = source.split("train").paths if source is not None else None
        rows = list(odd_rows(batch.inputs))[:10]
        named = {
            row: paths[int(batch.positions[row])] if paths else f"picture {int(batch.positions[row])}" for row in rows
        }
        return {
            f"inputs of {name}": summarise(batch.inputs[row], "inputs", measure=self.panel.measure)
            for row, name in named.items()
        }

    def _close_epoch(self, trainer: pl.Trainer, *, ends: bool = True) -> None:
        self._read_loss()
        if self._losses or (self._unclosed and ends):
            self._sample(self._step, trainer.current_epoch, {}, ends=ends)

    def _sample(self, step: int, epoch: int, tensors: dict[str, TensorStats], *, ends: bool = False) -> None:
        durations, waits = self._take_steps()
        losses, self._losses, self._unclosed = tuple(self._losses), [], not ends
        sample = Sample(step, "TRAIN", epoch, self._now(), tensors, losses, tuple(durations), tuple(waits), (), ends)
        pixels = tensors.get("inputs")
        if pixels is not None and not self.facts.features:
            self._emit(PictureStats(self._pictures, pixels.mean, math.sqrt(pixels.variance)))
        self._emit(sample)

    def _now(self) -> float:
        return round(time.monotonic() - self._started, 3)

    def _emit(self, *events: Event) -> None:
        events = (*self._take_machine(), *events)
        self.panel.see(*events)
        if self._recording_now and self._recording is not None:
            record(self._recording, *events)

    def _end_if_asked(self, trainer: pl.Trainer) -> None:
        """End the run where the first process finds what it was asked to look for; all processes come here together."""
        if not self._fail_on:
            return
        asked = self.panel.outcomes(self.facts, self._fail_on)
        outcome = next((outcome for outcome in asked if outcome.finding is not None), None)
        outcome = trainer.strategy.broadcast(outcome)
        if outcome is None or outcome.finding is None:
            return
        if self._stopped is not None:
            trainer.save_checkpoint(self._stopped)
        left = f" The state at that moment is in {self._stopped}." if self._stopped is not None else ""
        place = "" if outcome.finding.step is None else f" at step {outcome.finding.step}"
        raise HealthError(
            got=f"{outcome.rule}{place}: {outcome.finding.meaning}{left}",
            allowed="no finding of the rules in health.fail_on",
            hint=" ".join(outcome.finding.remedy) or outcome.finding.advice or "look at health.json",
        )

    def _close(self) -> None:
        if self._recording_now:
            self._emit()  # the machine's last samples
            self._recording_now = False
        if self._probes is not None:
            self._probes.detach()
        for handle in self._handles:
            handle.remove()
        self._handles = []
