"""The rules as the presets make them, and a real head that is trained under their eyes."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch import Tensor, nn

from dogbreed.health import rules
from dogbreed.health.findings import Outcome
from dogbreed.health.judging import Panel
from dogbreed.health.measuring import summarise
from dogbreed.health.rules import Rule
from dogbreed.health.samples import Facts, Measure, Sample, TensorStats

CONF = Path(__file__).parents[3] / "conf" / "health"
TRAINING = [
    "VanishingGradient", "ExplodingTensor", "AllZero", "UnchangedTensor", "LossNotDecreasing", "Overfit",
    "Overtraining", "PoorWeightInitialization", "DeadRelu", "SaturatedActivation", "WeightUpdateRatio",
    "ClassImbalance", "Confusion", "CheckInputImages", "StalledTraining",
]  # fmt: skip


@cache
def preset_rules(preset: str) -> Mapping[str, Mapping[str, Any]]:
    rules: Mapping[str, Mapping[str, Any]] = yaml.safe_load((CONF / f"{preset}.yaml").read_text())["rules"]
    return rules


def parameters(name: str, preset: str) -> dict[str, Any]:
    found = {**preset_rules("aws")[name], **(preset_rules(preset).get(name, {}) if preset != "aws" else {})}
    assert found.pop("_target_") == f"dogbreed.health.rules.{name}"
    return found


@pytest.fixture
def make() -> Callable[..., Any]:
    """A rule with a preset's values: make(name, preset="aws", **changes)."""

    def build(name: str, preset: str = "aws", **changes: Any) -> Rule:
        made: Rule = getattr(rules, name)(**{**parameters(name, preset), **changes})
        return made

    return build


@pytest.fixture
def measured() -> Callable[..., Sample]:
    """A sample of real tensors: measured(step, {name: (collection, values)}, last={name: values})."""

    def measure(
        step: int,
        tensors: Mapping[str, tuple[str, Tensor]],
        last: Mapping[str, Tensor] | None = None,
        measure: Measure | None = None,
        **more: Any,
    ) -> Sample:
        found: dict[str, TensorStats] = {
            name: summarise(
                values, collection, measure=measure or Measure(), last=(last or {}).get(name), percentiles=True
            )
            for name, (collection, values) in tensors.items()
        }
        return Sample(step, more.pop("mode", "TRAIN"), tensors=found, **more)

    return measure


class Lesson:
    """A head, the features it is trained on, and how; a test spoils one of them.

    The features are clusters, one a class, rectified as a backbone's are.
    """

    def __init__(self, classes: int = 10, pictures: int = 24, hidden: int = 0, noise: float = 1.5) -> None:
        generator = torch.Generator().manual_seed(0)
        centres = 0.5 * torch.randn(classes, 128, generator=generator)

        def draw(count: int) -> tuple[Tensor, Tensor]:
            labels = torch.arange(classes).repeat_interleave(count)
            features = centres[labels] + noise * torch.randn(len(labels), 128, generator=generator)
            return features.relu(), labels

        self.train, self.val = draw(pictures), draw(10)
        with torch.random.fork_rng():
            torch.manual_seed(0)
            layers = [nn.Linear(128, hidden), nn.ReLU(), nn.Linear(hidden, classes)] if hidden else []
            self.head = nn.Sequential(*(layers or [nn.Linear(128, classes)]))
        self.classes, self.rate, self.epochs, self.batch = classes, 0.01, 20, 16

    def facts(self) -> Facts:
        relu = len(self.head) > 1
        return Facts(
            settings={"optimizer.lr": self.rate, "optimizer.weight_decay": 0.0, "class_weights": None},
            defaults={"optimizer.lr": 0.01},
            num_classes=self.classes,
            class_names=tuple(f"Breed {index}" for index in range(self.classes)),
            train_counts=tuple(torch.bincount(self.train[1], minlength=self.classes).tolist()),
            activations=("relu",) if relu else (),
            features=True,
        )

    def give(self, preset: str) -> list[Outcome]:
        """Train with SGD, momentum 0.9 and a cosine, as the library does, and ask the rules."""
        panel = Panel([getattr(rules, name)(**parameters(name, preset)) for name in TRAINING])
        torch.manual_seed(0)
        optimizer = torch.optim.SGD(self.head.parameters(), lr=self.rate, momentum=0.9)
        total = self.epochs * math.ceil(len(self.train[0]) / self.batch)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, total)
        last: dict[str, Tensor] = {}
        step = 0
        for epoch in range(self.epochs):
            losses: list[tuple[int, float]] = []
            for rows in torch.randperm(len(self.train[0])).split(self.batch):
                found: dict[str, tuple[str, Tensor]] = {}
                loss = self._loss(self.train[0][rows], self.train[1][rows], found)
                optimizer.zero_grad()
                loss.backward()
                losses.append((step, loss.item()))
                if step < 10 or step % 50 == 0:
                    panel.see(self._sample(step, epoch, found, last, losses, panel.measure))
                    losses = []
                optimizer.step()
                schedule.step()
                step += 1
            panel.see(Sample(step - 1, "TRAIN", epoch, losses=tuple(losses), ends_epoch=True))
            panel.see(self._evaluate(step, epoch))
        return panel.outcomes(self.facts())

    def _loss(self, features: Tensor, labels: Tensor, found: dict[str, tuple[str, Tensor]]) -> Tensor:
        found["inputs"] = "inputs", features
        values = features
        for number, layer in enumerate(self.head):
            if isinstance(layer, nn.ReLU):
                found[f"head.{number}_input_0"] = "activation_inputs", values
            values = layer(values)
            if isinstance(layer, nn.ReLU):
                found[f"head.{number}_output_0"] = "relu_outputs", values
        return nn.functional.cross_entropy(values, labels)

    def _sample(
        self,
        step: int,
        epoch: int,
        found: dict[str, tuple[str, Tensor]],
        last: dict[str, Tensor],
        losses: list[tuple[int, float]],
        measure: Measure,
    ) -> Sample:
        for name, parameter in self.head.named_parameters():
            found[f"Network_head.{name}"] = "biases" if name.endswith("bias") else "weights", parameter
            assert parameter.grad is not None
            found[f"gradient/Network_head.{name}"] = "gradients", parameter.grad
        tensors = {
            name: summarise(values, collection, measure=measure, last=last.get(name), percentiles=step < 10)
            for name, (collection, values) in found.items()
        }
        last.update({name: values.detach().clone() for name, (_, values) in found.items() if "Network" in name})
        return Sample(step, "TRAIN", epoch, tensors=tensors, losses=tuple(losses))

    def _evaluate(self, step: int, epoch: int) -> Sample:
        with torch.no_grad():
            logits = self.head(self.val[0])
            loss = nn.functional.cross_entropy(logits, self.val[1]).item()
        pairs = Counter(zip(self.val[1].tolist(), logits.argmax(dim=1).tolist(), strict=True))
        found = tuple((*pair, count) for pair, count in pairs.items())
        return Sample(step, "EVAL", epoch, losses=((epoch, loss),), pairs=found, ends_epoch=True)


@pytest.fixture
def lesson() -> type[Lesson]:
    """Makes a head and its features."""
    return Lesson
