"""What the parts of a training job mean for each other.

Source, where nothing else is said: the documentation of SageMaker's API in the service model that ships with botocore.
"""

from __future__ import annotations

from collections.abc import Iterator

from launch.names import CHANNEL_KEYS
from launch.preflight.hints import remedy
from launch.preflight.problems import Context, Problem
from launch.preflight.reading import Part, get, part, parts, text, twice, whole

#: StoppingCondition$MaxRuntimeInSeconds: 28 days.
_LONGEST_RUN_S = 28 * 24 * 3600
#: Developer guide, managed spot training: the longest wait of AWS's own algorithms that make no checkpoints.
_SHORT_WAIT_S = 3600


def check_job(job: Part, at: str, context: Context) -> Iterator[Problem]:
    """What does not go together in a training job, or in the definition of a tuning job's.

    Args:
        job: the request, or its TrainingJobDefinition.
        at: the path of `job` in the request, with a dot behind, or "".
        context: what the request does not say.
    """
    yield from _algorithm(job, at)
    yield from _stopping(job, at)
    yield from _spot(job, at)
    yield from _warm_pool(job, at)
    yield from _isolation(job, at)
    yield from _metrics(job, at)


def check_tags(request: Part) -> Iterator[Problem]:
    """Tags that AWS keeps for itself, or a key that stands twice.

    Source: the tag restrictions in AWS's documentation; the prefix is reserved in any case of its letters.
    """
    tags = parts(request, "Tags")
    for number, tag in tags:
        for name in ("Key", "Value"):
            if (text(tag, name) or "").lower().startswith("aws:"):
                where = f"Tags[{number}].{name}"
                yield Problem(where, "it begins with aws:", "any other beginning: AWS keeps this one", remedy(where))
    for where, key in twice([(f"Tags[{number}].Key", text(tag, "Key")) for number, tag in tags]):
        yield Problem(where, f"{key} a second time", "each key once", remedy(where))


def _algorithm(job: Part, at: str) -> Iterator[Problem]:
    given = [name for name in ("TrainingImage", "AlgorithmName") if get(job, f"AlgorithmSpecification.{name}")]
    if len(given) != 1:
        where = f"{at}AlgorithmSpecification.TrainingImage"
        yield Problem(where, "with AlgorithmName" if given else "missing", "an image alone", remedy(where))


def _stopping(job: Part, at: str) -> Iterator[Problem]:
    run = whole(job, "StoppingCondition.MaxRuntimeInSeconds")
    if run is not None and run > _LONGEST_RUN_S:
        where = f"{at}StoppingCondition.MaxRuntimeInSeconds"
        yield Problem(where, f"{run} s", f"at most {_LONGEST_RUN_S} s, 28 days", remedy(where))


def _spot(job: Part, at: str) -> Iterator[Problem]:
    spot = get(job, "EnableManagedSpotTraining") is True
    run = whole(job, "StoppingCondition.MaxRuntimeInSeconds")
    wait = whole(job, "StoppingCondition.MaxWaitTimeInSeconds")
    where = f"{at}StoppingCondition.MaxWaitTimeInSeconds"
    if spot and get(job, "StoppingCondition.MaxWaitTimeInSeconds") is None:
        yield Problem(where, "missing", "a time: a spot job also waits for capacity", remedy(where))
    elif not spot and wait is not None:
        yield Problem(where, f"{wait} s without spot", "none: only a spot job waits", "set sagemaker.max_wait_s=null")
    elif spot and wait is not None and run is not None and wait < run:
        allowed = f"at least the {run} s of sagemaker.max_run_s: running counts as waiting"
        yield Problem(where, f"{wait} s", allowed, remedy(where))
    if spot and "CheckpointConfig" not in job and (wait or run or _LONGEST_RUN_S) > _SHORT_WAIT_S:
        where = f"{at}CheckpointConfig"
        allowed = "checkpoints, for a spot job of more than an hour: interrupted, it begins again"
        yield Problem(where, "missing", allowed, "set sagemaker.checkpoints=true", fatal=False)


def _warm_pool(job: Part, at: str) -> Iterator[Problem]:
    """Source: developer guide, managed warm pools: considerations."""
    if whole(job, "ResourceConfig.KeepAlivePeriodInSeconds") and get(job, "EnableManagedSpotTraining") is True:
        where = f"{at}ResourceConfig.KeepAlivePeriodInSeconds"
        hint = "set sagemaker.keep_alive_s=0, or sagemaker.spot=false"
        yield Problem(where, "a warm pool of spot instances", "one of the two", hint)


def _isolation(job: Part, at: str) -> Iterator[Problem]:
    if get(job, "EnableNetworkIsolation") is not True:
        return
    where = f"{at}EnableNetworkIsolation"
    values = {**part(job, "HyperParameters"), **part(job, "StaticHyperParameters")}
    submitted = str(values.get("sagemaker_submit_directory", "")).strip('"')
    if submitted.startswith("s3://"):
        got = "true, and AWS's toolkit has to load the code from S3"
        yield Problem(where, got, "false in a tuning job", "set sagemaker.network_isolation=false")
    channels = [text(channel, "ChannelName") for _, channel in parts(job, "InputDataConfig")]
    if "weights" not in channels and values.get(CHANNEL_KEYS["weights"]) != '"none"':
        allowed = "the backbone's weights by a channel: nothing can be downloaded"
        yield Problem(where, "true without a channel weights", allowed, "set sagemaker.channels.weights", fatal=False)
    if get(job, "Environment.DOGBREED_INSTALL") != "no":
        allowed = "an image that has all that is needed: pip finds no network"
        hint = "set sagemaker.image, and sagemaker.environment.DOGBREED_INSTALL=no"
        yield Problem(where, "true, and requirements to install", allowed, hint, fatal=False)


def _metrics(job: Part, at: str) -> Iterator[Problem]:
    path = "AlgorithmSpecification.MetricDefinitions"
    named = [(f"{at}{path}[{number}].Name", text(metric, "Name")) for number, metric in parts(job, path)]
    for where, name in twice(named):
        yield Problem(where, f"{name} a second time", "each metric once", remedy(where))
