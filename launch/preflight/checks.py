"""A whole request checked offline: every problem at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from launch.preflight.credentials import check_secrets
from launch.preflight.debugger import check_debugger
from launch.preflight.hints import DEFINITION
from launch.preflight.inputs import check_inputs
from launch.preflight.jobs import check_job, check_tags
from launch.preflight.logs import check_logs
from launch.preflight.machines import check_machine
from launch.preflight.problems import Context, Problem, ordered
from launch.preflight.reading import Part, part, text
from launch.preflight.shapes import check_shape
from launch.preflight.tuning import check_tuning

_OBJECTIVE = "HyperParameterTuningJobConfig.HyperParameterTuningJobObjective.MetricName"


def check_training_job(request: Mapping[str, object], context: Context) -> list[Problem]:
    """All that is wrong with a CreateTrainingJob request, the fatal first; without network or credentials.

    Raises:
        LaunchError: botocore is not installed.
    """
    return ordered(
        [
            *check_shape("CreateTrainingJob", request),
            *_check_definition(request, "", context),
            *check_tags(request),
            *check_logs(request, "", context),
        ]
    )


def check_tuning_job(request: Mapping[str, object], context: Context) -> list[Problem]:
    """The same of a CreateHyperParameterTuningJob request with one TrainingJobDefinition.

    Raises:
        LaunchError: botocore is not installed.
    """
    definition = part(request, DEFINITION.rstrip("."))
    return ordered(
        [
            *check_shape("CreateHyperParameterTuningJob", request),
            *_check_definition(definition, DEFINITION, context),
            *check_secrets({"Tags": request.get("Tags")}, ""),
            *check_tags(request),
            *check_tuning(request),
            *check_logs(definition, DEFINITION, context, text(request, _OBJECTIVE)),
        ]
    )


def _check_definition(job: Part, at: str, context: Context) -> Iterator[Problem]:
    yield from check_job(job, at, context)
    yield from check_inputs(job, at, context)
    yield from check_secrets(job, at)
    yield from check_debugger(job, at, context)
    yield from check_machine(job, at, context)
