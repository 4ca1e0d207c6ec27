"""AWS's own Debugger and Profiler, for accounts that may still use them: hook and rules as a request takes them. Pure.

Source of the rules' parameters: the list of built-in rules in the developer guide of Amazon SageMaker.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

#: The parameters of our rules that are AWS's too; whatever else ours take has no meaning there.
DEBUGGER_RULES: dict[str, tuple[str, ...]] = {
    "VanishingGradient": ("threshold",),
    "ExplodingTensor": ("only_nan",),
    "AllZero": ("threshold",),
    "UnchangedTensor": ("num_steps", "rtol", "atol"),
    "LossNotDecreasing": ("num_steps", "diff_percent", "increase_threshold_percent"),
    "Overfit": ("start_step", "patience", "ratio_threshold"),
    "Overtraining": ("patience_train", "patience_validation", "delta"),
    "PoorWeightInitialization": ("threshold", "distribution_range", "patience", "steps"),
    "DeadRelu": ("threshold_inactivity", "threshold_layer"),
    "SaturatedActivation": (
        *("threshold_tanh_min", "threshold_tanh_max", "threshold_sigmoid_min", "threshold_sigmoid_max"),
        *("threshold_inactivity", "threshold_layer"),
    ),
    "WeightUpdateRatio": ("large_threshold", "small_threshold", "epsilon"),
    "ClassImbalance": ("threshold_imbalance", "threshold_misprediction", "samples"),
    "Confusion": ("min_diag", "max_off_diag"),
    "CheckInputImages": ("threshold_mean", "threshold_samples"),
    "StalledTraining": ("threshold",),
}
#: Those that its ProfilerReport runs, which takes their parameters as RULE_parameter.
PROFILER_RULES: dict[str, tuple[str, ...]] = {
    "LowGPUUtilization": ("threshold_p95", "threshold_p5", "window", "patience"),
    "BatchSize": ("cpu_threshold_p95", "gpu_threshold_p95", "gpu_memory_threshold_p95", "window", "patience"),
    "CPUBottleneck": ("threshold", "gpu_threshold", "cpu_threshold", "patience"),
    "IOBottleneck": ("threshold", "io_threshold", "gpu_threshold", "patience"),
    "GPUMemoryIncrease": ("increase", "window", "patience"),
    "LoadBalancing": ("threshold", "patience"),
    "StepOutlier": ("stddev", "n_outliers"),
    "MaxInitializationTime": ("threshold",),
}
_RENAMED = {"StalledTraining": "StalledTrainingRule"}
_SAMPLES_EVERY_MS = 500


def build_debugger(
    rules: Mapping[str, Mapping[str, Any] | None], hook: Mapping[str, Any] | None, *, output: str, image: str
) -> dict[str, Any]:
    """The part of a CreateTrainingJob request that asks for AWS's hook, rules and profiler.

    Args:
        rules: of the config, name -> parameters; None: left out.
        hook: a debughookconfig as dogbreed.health.smdebug.config makes it; None without one, and then without the
            rules that need its tensors.
        output: s3:// prefix for tensors and reports.
        image: URI of AWS's rules.
    """
    chosen = {name: values for name, values in rules.items() if values is not None}
    report = {
        f"{name}_{key}": _text(chosen[name][key])
        for name, keys in PROFILER_RULES.items()
        if name in chosen
        for key in keys
    }
    request: dict[str, Any] = {
        "ProfilerConfig": {"S3OutputPath": output, "ProfilingIntervalInMilliseconds": _SAMPLES_EVERY_MS},
        "ProfilerRuleConfigurations": [_rule("ProfilerReport", report, image)],
    }
    if hook is not None:
        request["DebugHookConfig"] = {
            "S3OutputPath": output,
            "HookParameters": dict(hook["HookParameters"]),
            "CollectionConfigurations": list(hook["CollectionConfigurations"]),
        }
        request["DebugRuleConfigurations"] = [
            _rule(_RENAMED.get(name, name), {key: _text(chosen[name][key]) for key in keys}, image)
            for name, keys in DEBUGGER_RULES.items()
            if name in chosen
        ]
    return request


def _rule(name: str, parameters: Mapping[str, str], image: str) -> dict[str, Any]:
    return {
        "RuleConfigurationName": name,
        "RuleEvaluatorImage": image,
        "RuleParameters": {"rule_to_invoke": name, **parameters},
    }


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)
