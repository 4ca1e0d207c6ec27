"""The rules by AWS's names: what goes wrong in a training, and what holds it up."""

from dogbreed.health.rules.activations import DeadRelu, PoorWeightInitialization, SaturatedActivation
from dogbreed.health.rules.balance import LoadBalancing
from dogbreed.health.rules.base import Rule
from dogbreed.health.rules.bottlenecks import CPUBottleneck, IOBottleneck
from dogbreed.health.rules.classes import ClassImbalance
from dogbreed.health.rules.confusion import Confusion
from dogbreed.health.rules.loader import Dataloader
from dogbreed.health.rules.losses import LossNotDecreasing
from dogbreed.health.rules.machine import BatchSize, GPUMemoryIncrease, LowGPUUtilization, OverallSystemUsage
from dogbreed.health.rules.overfitting import Overfit, Overtraining
from dogbreed.health.rules.pictures import CheckInputImages
from dogbreed.health.rules.steps import MaxInitializationTime, OverallFrameworkMetrics, StepOutlier
from dogbreed.health.rules.tensors import AllZero, ExplodingTensor, StalledTraining, VanishingGradient
from dogbreed.health.rules.updates import UnchangedTensor, WeightUpdateRatio

__all__ = [
    "AllZero",
    "BatchSize",
    "CPUBottleneck",
    "CheckInputImages",
    "ClassImbalance",
    "Confusion",
    "Dataloader",
    "DeadRelu",
    "ExplodingTensor",
    "GPUMemoryIncrease",
    "IOBottleneck",
    "LoadBalancing",
    "LossNotDecreasing",
    "LowGPUUtilization",
    "MaxInitializationTime",
    "OverallFrameworkMetrics",
    "OverallSystemUsage",
    "Overfit",
    "Overtraining",
    "PoorWeightInitialization",
    "Rule",
    "SaturatedActivation",
    "StalledTraining",
    "StepOutlier",
    "UnchangedTensor",
    "VanishingGradient",
    "WeightUpdateRatio",
]
