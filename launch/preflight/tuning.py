"""What the parts of a tuning job mean for each other.

Sources: the documentation of SageMaker's API in the service model that ships with botocore; its developer guide, "How
hyperparameter tuning works" (grid), "Resource limits for automatic model tuning", "Warm start restrictions".
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from dogbreed.errors import did_you_mean
from launch.preflight.hints import DEFINITION, remedy
from launch.preflight.problems import Problem
from launch.preflight.reading import Part, get, part, parts, text, twice, whole

_CONFIG = "HyperParameterTuningJobConfig"
_LIMITS = f"{_CONFIG}.ResourceLimits"
_RANGES = f"{_CONFIG}.ParameterRanges"
_HYPERBAND = f"{_CONFIG}.StrategyConfig.HyperbandStrategyConfig"
_STATIC = f"{DEFINITION}StaticHyperParameters"
_METRICS = f"{DEFINITION}AlgorithmSpecification.MetricDefinitions"

_MOST_RANGES, _MOST_METRICS, _MOST_HYPERPARAMETERS = 30, 20, 100
_PARALLEL_QUOTA, _MOST_PARALLEL = 10, 100
_MOST_JOBS, _MOST_RANDOM_JOBS = 750, 10_000
_LONGEST_S = 30 * 24 * 3600
_MOST_EPOCHS = 20_000
#: The static hyperparameters from which Hyperband reads its MaxResource where none is given.
_EPOCHS = ("epochs", "numepochs", "n-epochs", "n_epochs", "num_epochs")


def check_tuning(request: Part) -> Iterator[Problem]:
    """What does not go together in a CreateHyperParameterTuningJob request."""
    strategy = text(request, f"{_CONFIG}.Strategy")
    if strategy == "Grid":
        yield from _grid(request)
    if strategy == "Hyperband":
        yield from _hyperband(request)
    elif get(request, f"{_CONFIG}.StrategyConfig") is not None:
        where = f"{_CONFIG}.StrategyConfig"
        yield Problem(where, f"with {strategy}", "none: it is Hyperband's", "set sagemaker.tuner.strategy=Hyperband")
    yield from _limits(request, strategy)
    yield from _ranges(request)
    yield from _objective(request)
    yield from _warm_start(request)


def _grid(request: Part) -> Iterator[Problem]:
    combinations = 1
    for kind in ("IntegerParameterRanges", "ContinuousParameterRanges"):
        for number, entry in parts(request, f"{_RANGES}.{kind}"):
            where = f"{_RANGES}.{kind}[{number}]"
            hint = "choose another sagemaker.tuner.strategy, or write the values: choice(...)"
            yield Problem(where, f"{text(entry, 'Name')} is a range, with Grid", "values: Grid takes no ranges", hint)
    for _, entry in parts(request, f"{_RANGES}.CategoricalParameterRanges"):
        values = get(entry, "Values")
        combinations *= len(set(map(str, values))) if isinstance(values, list) else 1
    where = f"{_LIMITS}.MaxNumberOfTrainingJobs"
    jobs = whole(request, where)
    if jobs is not None and jobs != combinations:
        yield Problem(where, f"{jobs} with Grid", f"none, or all {combinations} combinations", remedy(where))
    if combinations > _MOST_JOBS:
        where = f"{_RANGES}.CategoricalParameterRanges"
        yield Problem(
            where, f"{combinations} combinations", f"at most {_MOST_JOBS} jobs", "set search_space, fewer values"
        )


def _hyperband(request: Part) -> Iterator[Problem]:
    least, most = whole(request, f"{_HYPERBAND}.MinResource"), whole(request, f"{_HYPERBAND}.MaxResource")
    where = f"{_HYPERBAND}.MaxResource"
    if get(request, where) is None and not any(name in part(request, _STATIC) for name in _EPOCHS):
        yield Problem(where, "missing", "the epochs of a whole job", "set trainer.max_epochs")
    if most is not None and most > _MOST_EPOCHS:
        yield Problem(where, f"{most} epochs", f"at most {_MOST_EPOCHS}", "set trainer.max_epochs")
    if least is not None and most is not None and least >= most:
        hint = "set sagemaker.tuner.min_epochs below trainer.max_epochs"
        yield Problem(f"{_HYPERBAND}.MinResource", f"{least} epochs", f"fewer than the {most} of a whole job", hint)
    where = f"{_CONFIG}.TrainingJobEarlyStoppingType"
    if get(request, where) not in (None, "Off"):
        hint = "set sagemaker.tuner.early_stopping=false"
        yield Problem(where, "Auto with Hyperband", "Off: Hyperband stops jobs itself", hint)


def _limits(request: Part, strategy: str | None) -> Iterator[Problem]:
    where = f"{_LIMITS}.MaxParallelTrainingJobs"
    parallel, jobs = whole(request, where), whole(request, f"{_LIMITS}.MaxNumberOfTrainingJobs")
    if parallel is not None and parallel > _MOST_PARALLEL:
        yield Problem(where, str(parallel), f"at most {_MOST_PARALLEL}", remedy(where))
    elif parallel is not None and parallel > _PARALLEL_QUOTA:
        allowed = f"{_PARALLEL_QUOTA}, unless AWS has raised the account's quota"
        yield Problem(where, str(parallel), allowed, remedy(where), fatal=False)
    elif parallel is not None and jobs is not None and parallel > jobs:
        yield Problem(where, f"{parallel} of {jobs} jobs at once", f"at most {jobs}", remedy(where), fatal=False)
    most = _MOST_RANDOM_JOBS if strategy == "Random" else _MOST_JOBS
    where = f"{_LIMITS}.MaxNumberOfTrainingJobs"
    if jobs is not None and jobs > most:
        yield Problem(where, f"{jobs} with {strategy}", f"at most {most}", remedy(where))
    elif jobs is not None and jobs > _MOST_JOBS:
        allowed = f"{_MOST_JOBS}, unless AWS has raised the account's quota"
        yield Problem(where, f"{jobs} with Random", allowed, remedy(where), fatal=False)
    where = f"{_LIMITS}.MaxRuntimeInSeconds"
    longest = whole(request, where)
    if longest is not None and longest > _LONGEST_S:
        yield Problem(where, f"{longest} s", f"at most {_LONGEST_S} s, 30 days", remedy(where))


def _ranges(request: Part) -> Iterator[Problem]:
    found = [
        (f"{_RANGES}.{kind}ParameterRanges[{number}]", kind, entry)
        for kind in ("Integer", "Continuous", "Categorical")
        for number, entry in parts(request, f"{_RANGES}.{kind}ParameterRanges")
    ]
    static = part(request, _STATIC)
    if not found and "Autotune" not in request:
        yield Problem(_RANGES, "none", "something to search", "set search_space")
    if len(found) > _MOST_RANGES:
        yield Problem(_RANGES, f"{len(found)} ranges", f"at most {_MOST_RANGES} of all kinds", "set search_space")
    if len(found) <= _MOST_RANGES and len(found) + len(static) > _MOST_HYPERPARAMETERS:
        got = f"{len(static)} and {len(found)} ranges"  # which all become hyperparameters of each job
        yield Problem(_STATIC, got, f"at most {_MOST_HYPERPARAMETERS} together", remedy(_STATIC))
    for where, name in twice([(where, text(entry, "Name")) for where, _, entry in found]):
        yield Problem(where, f"{name} a second time", "each name once", "set search_space")
    for where, kind, entry in found:
        if text(entry, "Name") in static:
            hint = f"leave out the override of {text(entry, 'Name')}, or its range in search_space"
            yield Problem(where, f"{text(entry, 'Name')}, which is static too", "one of the two", hint)
        yield from _values(where, entry) if kind == "Categorical" else _bounds(where, kind, entry)


def _values(where: str, entry: Part) -> Iterator[Problem]:
    values = get(entry, "Values")
    if isinstance(values, list) and len({*map(str, values)}) < len(values):
        yield Problem(f"{where}.Values", "a value a second time", "each value once", "set search_space")


def _bounds(where: str, kind: str, entry: Part) -> Iterator[Problem]:
    low, high = (_number(kind, text(entry, name)) for name in ("MinValue", "MaxValue"))
    if low is None or high is None:
        for name, value in (("MinValue", low), ("MaxValue", high)):
            if value is None and text(entry, name) is not None:
                what = "a whole number" if kind == "Integer" else "a number"
                yield Problem(f"{where}.{name}", str(text(entry, name)), f"{what}, as text", "set search_space")
        return
    if not low < high:
        yield Problem(f"{where}.MinValue", f"{low} to {high}", "a range from less to more", "set search_space")
    scaling = text(entry, "ScalingType")
    if scaling == "Logarithmic" and low <= 0:
        hint = "set search_space: a range above 0, or without tag(log, ...)"
        yield Problem(f"{where}.ScalingType", f"{scaling} from {low}", "a range above 0", hint)
    if scaling == "ReverseLogarithmic" and (kind == "Integer" or not 0 <= low < high < 1):
        got = f"{scaling} from {low} to {high}"
        yield Problem(f"{where}.ScalingType", got, "a continuous range within 0 <= x < 1", "set search_space")


def _number(kind: str, value: str | None) -> float | None:
    try:
        number = (int if kind == "Integer" else float)(value or "")
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _objective(request: Part) -> Iterator[Problem]:
    metrics = [name for _, metric in parts(request, _METRICS) if (name := text(metric, "Name")) is not None]
    where = f"{_CONFIG}.HyperParameterTuningJobObjective.MetricName"
    objective = text(request, where)
    if objective is None:
        if get(request, f"{_CONFIG}.HyperParameterTuningJobObjective") is None:
            yield Problem(where, "missing", f"one of {', '.join(metrics)}", remedy(where))
    elif objective not in metrics:
        yield Problem(
            where, f"{objective}{did_you_mean(objective, metrics)}", f"one of {', '.join(metrics)}", remedy(where)
        )
    if len(metrics) > _MOST_METRICS:
        yield Problem(_METRICS, f"{len(metrics)} metrics", f"at most {_MOST_METRICS} in a tuning job", remedy(_METRICS))


def _warm_start(request: Part) -> Iterator[Problem]:
    path = "WarmStartConfig.ParentHyperParameterTuningJobs"
    parents = [
        (f"{path}[{number}].HyperParameterTuningJobName", text(parent, "HyperParameterTuningJobName"))
        for number, parent in parts(request, path)
    ]
    own = text(request, "HyperParameterTuningJobName")
    for where, name in parents:
        if name is not None and own is not None and name.lower() == own.lower():  # names know no case
            yield Problem(where, f"{name}, the tuning job itself", "earlier tuning jobs", remedy(where))
    for where, name in twice(parents):
        yield Problem(where, f"{name} a second time", "each parent once", remedy(where))
