from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from launch.preflight.debugger import check_debugger
from launch.preflight.problems import Context
from launch.requests import Request

Make = Callable[..., Request]


def hook(**collections: str) -> dict[str, Any]:
    entries = [
        {"CollectionName": name, "CollectionParameters": {"include_regex": regexes, "train.save_interval": "50"}}
        for name, regexes in collections.items()
    ]
    return {"DebugHookConfig": {"S3OutputPath": "s3://bucket/debug", "CollectionConfigurations": entries}}


def found(request: Request, context: Context) -> list[str]:
    return [problem.where for problem in check_debugger(request, "", context)]


@pytest.mark.parametrize(
    ("hosts", "devices", "checkpoints", "wrong"),
    [(1, 1, True, False), (2, 1, True, True), (1, 2, True, True), (2, 2, False, False), (1, None, True, False)],
)
@pytest.mark.parametrize("where", ["DebugHookConfig", "hook"])
def test_debugger__not_with_several_processes_and_checkpoints(
    training: Make, known: Context, hosts: int, devices: int | None, checkpoints: bool, wrong: bool, where: str
) -> None:
    request = training(f"sagemaker.instance_count={hosts}", f"sagemaker.checkpoints={str(checkpoints).lower()}")
    context = replace(known, devices=devices)
    if where == "hook":
        context = replace(context, hook={})
    else:
        request |= hook()
    assert found(request, context) == ([where] if wrong else [])


def test_debugger__reads_the_processes_off_the_request_where_nothing_else_is_known(training: Make) -> None:
    request = training(debugger=hook(), processes=2)
    assert found(request, Context()) == ["DebugHookConfig"]


def test_debugger__not_in_bfloat16(training: Make, known: Context) -> None:
    assert found(training(), replace(known, precision="bf16-mixed")) == []
    assert found(training(), replace(known, precision="bf16-mixed", hook={})) == ["hook"]


EXPRESSIONS = [
    "CrossEntropyLoss",
    "^gradient/",
    "weight$",
    "head.*bias",
    "Network_head.linear.weight",
    "^linear",
    "relu_output",
]


@pytest.mark.parametrize("regex", EXPRESSIONS)
def test_regex__matches_what_smdebug_would_save(training: Make, known: Context, regex: str) -> None:
    match_inc = pytest.importorskip("smdebug.core.utils").match_inc
    saved = any(match_inc(name, [regex]) for name in known.tensor_names or ())
    request = training(debugger=hook(own=regex))
    assert (found(request, known) == []) is saved


def test_regex__is_split_at_commas_and_each_part_tried(training: Make, known: Context) -> None:
    request = training(debugger=hook(own="weight$, nothing,(", losses=""))
    got = [problem.got for problem in check_debugger(request, "", known)]
    assert [text.split()[0] for text in got] == ["nothing", "(:"]


def test_regex__names_the_tensor_that_was_meant(training: Make, known: Context) -> None:
    context = replace(known, hook={"own": ["Network_haed.linear.weight"], "losses": []})
    (problem,) = check_debugger(training(), "", context)
    assert problem.where == "hook.collections.own.include_regex"
    assert "did you mean Network_head.linear.weight" in problem.got


def test_regex__of_the_request_takes_the_place_of_the_configs(training: Make, known: Context) -> None:
    context = replace(known, hook={"own": ["nothing"]})
    assert found(training(debugger=hook(own="weight$")), context) == []


def test_rules__name_what_they_run_each_once(training: Make, known: Context) -> None:
    rule = {
        "RuleConfigurationName": "Overfit",
        "RuleEvaluatorImage": "i",
        "RuleParameters": {"rule_to_invoke": "Overfit"},
    }
    unnamed = {**rule, "RuleConfigurationName": "Other", "RuleParameters": {"patience": "1"}}
    request = training(debugger={"DebugRuleConfigurations": [rule, unnamed], "ProfilerRuleConfigurations": [rule]})
    assert found(request, known) == [
        "DebugRuleConfigurations[1].RuleParameters",
        "ProfilerRuleConfigurations[0].RuleConfigurationName",
    ]


@pytest.mark.parametrize(("interval", "wrong"), [(500, False), (60_000, False), (250, True)])
def test_profiler__looks_at_the_intervals_that_aws_names(
    training: Make, known: Context, interval: int, wrong: bool
) -> None:
    request = training(debugger={"ProfilerConfig": {"ProfilingIntervalInMilliseconds": interval}})
    assert found(request, known) == (["ProfilerConfig.ProfilingIntervalInMilliseconds"] if wrong else [])
