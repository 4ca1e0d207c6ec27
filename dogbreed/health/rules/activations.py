"""Rules that judge by activations: layers that let nothing through, and weights that begin badly."""

from __future__ import annotations

import math
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, get_args

from dogbreed.errors import ConfigError, did_you_mean
from dogbreed.health.findings import Finding
from dogbreed.health.rules import remedies
from dogbreed.health.rules.base import Rule, with_remedy
from dogbreed.health.rules.losses import finite_losses
from dogbreed.health.rules.tensors import of
from dogbreed.health.samples import Facts, Measure, Sample, TensorStats

DEAD, SATURATED = "units never active", "units saturated"
VARIANCE, ALIKE, INITIAL_LOSS = "variance differs between layers", "gradients all alike", "loss does not fall at first"

Layers = Literal["head", "all"]

#: The backbone's part of a tensor's name, such as Network_backbone.network.layer1.0.act1_output_0.
_OF_BACKBONE = re.compile(r"(^|[._/])backbone\.")


@dataclass(kw_only=True)
class UnitsRule(Rule, ABC):
    """Too many of a layer's units (features or channels) are inactive.

    Judged on the batch of each sample; a unit counts as inactive where less than `threshold_inactivity` percent of the
    batch activates it.

    Attributes:
        threshold_inactivity: in percent of the batch.
        threshold_layer: in percent of the layer's units.
        layers: head, or all, which takes pixels. In somebody else's job every layer counts as the head's.
        kinds: the layers' types, as Facts names them, and the collections of their tensors.
        clause: the finding's.
    """

    kinds: ClassVar[dict[str, str]]
    clause: ClassVar[str]
    threshold_inactivity: float
    threshold_layer: float
    layers: Layers

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.layers not in get_args(Layers):
            near = did_you_mean(str(self.layers), get_args(Layers))
            raise ConfigError(f"layers={self.layers!r}{near}", ", ".join(get_args(Layers)), f"set {self.name}'s layers")
        self._shares: dict[str, float] = {}

    def see(self, sample: Sample) -> None:
        """Judge the layer with the most inactive units."""
        shares = {name: self._inactive(stats.active) for name, stats in self._layers(sample) if stats.active}
        if not shares:
            return
        self._shares.update(shares)
        name = max(shares, key=lambda layer: shares[layer])
        share = shares[name]
        self.judge(
            share > self.threshold_layer,
            clause=self.clause,
            value=share,
            threshold=self.threshold_layer,
            step=sample.step,
            mode=sample.mode,
            tensor=name,
            meaning=lambda: self._meaning(name, share, sample.step),
        )

    def _layers(self, sample: Sample) -> Iterator[tuple[str, TensorStats]]:
        for collection in self.kinds.values():
            for name, stats in of(sample, collection):
                # Of values that are no finite numbers ExplodingTensor speaks.
                if not stats.nans and (self.layers == "all" or not _OF_BACKBONE.search(name)):
                    yield name, stats

    def _inactive(self, active: tuple[float, ...]) -> float:
        return 100 * sum(100 * share < self.threshold_inactivity for share in active) / len(active)

    @abstractmethod
    def _meaning(self, name: str, share: float, step: int) -> str:
        """What it means that so many percent of a layer's units are inactive."""

    def applies(self, facts: Facts) -> str | None:
        """Not to a network without such layers."""
        if facts.activations is None or self.datapoints or not self.kinds.keys().isdisjoint(facts.activations):
            return None
        return f"no layer of type {' or '.join(self.kinds)} among those that are watched"

    def explained(self, finding: Finding, facts: Facts) -> Finding:
        """A lower rate where training did it, a head without such layers where it began so."""
        if finding.step and (overrides := remedies.usual_rate(facts) or remedies.scaled_rate(facts, 0.1)):
            return with_remedy(finding, *overrides)
        linear = " A head without hidden layers is head=linear." if "head.hidden" in facts.settings else ""
        advice = f"Look at the layer's initial weights and the scale of its inputs.{linear}"
        return with_remedy(finding, advice=advice)

    def details(self, facts: Facts) -> dict[str, Any]:
        """Percent of inactive units by layer, when last seen."""
        return {"inactive_percent": dict(self._shares)} if self._shares else {}


@dataclass(kw_only=True)
class DeadRelu(UnitsRule):
    """Too many units of a ReLU layer give zero for next to the whole batch, so that no gradient reaches them."""

    needs = "outputs of ReLU layers"
    kinds = {"relu": "relu_outputs"}  # noqa: RUF012, declared a ClassVar above
    clause = DEAD

    def _meaning(self, name: str, share: float, step: int) -> str:
        return (
            f"{share:.3g} % of the units of {name} are dead at step {step}: they give zero for at least "
            f"{100 - self.threshold_inactivity:g} % of the pictures, and what gives zero does not learn."
        )


@dataclass(kw_only=True)
class SaturatedActivation(UnitsRule):
    """Too many units of a tanh or sigmoid layer get inputs so far out that their gradient is zero."""

    needs = "inputs of tanh or sigmoid layers"
    kinds = {"tanh": "tanh_inputs", "sigmoid": "sigmoid_inputs"}  # noqa: RUF012, declared a ClassVar above
    clause = SATURATED
    threshold_tanh_min: float
    threshold_tanh_max: float
    threshold_sigmoid_min: float
    threshold_sigmoid_max: float

    def measure(self, measure: Measure) -> Measure:
        """With its own bounds."""
        return replace(
            measure,
            tanh=(self.threshold_tanh_min, self.threshold_tanh_max),
            sigmoid=(self.threshold_sigmoid_min, self.threshold_sigmoid_max),
        )

    def _meaning(self, name: str, share: float, step: int) -> str:
        return (
            f"{share:.3g} % of the units behind {name} are saturated at step {step}: their inputs are so large that "
            "no gradient comes back."
        )


@dataclass(kw_only=True)
class PoorWeightInitialization(Rule):
    """In its first steps the network looks as if its weights began badly, by one of three signs.

    A pretrained backbone, whose layers differ by nature, gives the first sign without any harm.

    Attributes:
        threshold: of the largest / smallest variance of the inputs of the activations, across layers; null: no matter.
        distribution_range: between the 5th and the 95th percentile of a gradient; null: no matter.
        patience: losses in a row that are no new lowest; null: no matter.
        steps: how many are judged, from the first on.
    """

    needs = "samples of the first steps"
    threshold: float | None
    distribution_range: float | None
    patience: int | None
    steps: int

    def __post_init__(self) -> None:
        super().__post_init__()
        self._lowest, self._row = math.inf, 0

    def see(self, sample: Sample) -> None:
        """Judge a sample of the first steps."""
        if sample.mode != "TRAIN":
            return
        if sample.step < self.steps:
            self._judge_variances(sample)
            self._judge_gradients(sample)
        for step, loss in finite_losses(sample):
            if step < self.steps:
                self._judge_loss(step, loss)

    def _judge_variances(self, sample: Sample) -> None:
        layers = sorted((stats.variance, name) for name, stats in of(sample, "activation_inputs"))
        if self.threshold is None or len(layers) < 2:
            return
        (low, flat), (high, _) = layers[0], layers[-1]
        ratio = high / low if low else math.inf if high else 1.0
        self.judge(
            ratio > self.threshold,
            clause=VARIANCE,
            value=ratio,
            threshold=self.threshold,
            step=sample.step,
            mode=sample.mode,
            tensor=flat,
            meaning=lambda: (
                f"The inputs of the activations vary {ratio:.3g} times as much in one layer as in another "
                f"({flat}, the least). Layers that begin so unlike learn at unlike speeds; of a pretrained backbone "
                "this is a false alarm."
            ),
        )

    def _judge_gradients(self, sample: Sample) -> None:
        ranges = [
            (stats.p95 - stats.p05, name)
            for name, stats in of(sample, "gradients")
            if stats.p05 is not None and stats.p95 is not None
        ]
        if self.distribution_range is None or not ranges:
            return
        width, name = min(ranges)
        self.judge(
            width < self.distribution_range,
            clause=ALIKE,
            value=width,
            threshold=self.distribution_range,
            step=sample.step,
            mode=sample.mode,
            tensor=name,
            meaning=lambda: (
                f"Nine tenths of the values of {name} lie within {width:.2g} at step {sample.step}: hardly anything "
                "tells the weights apart, so they learn slowly."
            ),
        )

    def _judge_loss(self, step: int, loss: float) -> None:
        self._row = 0 if loss < self._lowest else self._row + 1
        self._lowest = min(loss, self._lowest)
        if self.patience is not None:
            self.judge(
                self._row >= self.patience,
                clause=INITIAL_LOSS,
                value=self._row,
                threshold=self.patience,
                step=step,
                mode="TRAIN",
                meaning=lambda: (
                    f"In the first {step + 1} steps the loss was no new lowest for {self._row} steps in a row; "
                    f"the lowest was {self._lowest:.4g}."
                ),
            )

    def explained(self, finding: Finding, facts: Facts) -> Finding:
        """Pretrained weights where there are none."""
        trained = ("backbone.weights=pretrained",) if facts.settings.get("backbone.weights") == "none" else ()
        if finding.clause == INITIAL_LOSS:
            return with_remedy(finding, *remedies.usual_rate(facts), *trained, advice="See what the later losses do.")
        return with_remedy(finding, *trained, advice="Scale the inputs of the head, or draw its weights differently.")
