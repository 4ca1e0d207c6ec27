"""SageMaker Debugger: what is saved, by which rules it is judged, and with what it cannot run.

Sources: its developer guide, "Considerations for Amazon SageMaker Debugger"; smdebug 1.0.34, which splits include_regex
at commas and searches each part anywhere in a tensor's name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import chain

from dogbreed.errors import did_you_mean
from launch.names import PROCESSES
from launch.preflight.hints import remedy
from launch.preflight.problems import Context, Problem
from launch.preflight.reading import Part, get, part, parts, text, twice, whole

#: ProfilerConfig$ProfilingIntervalInMilliseconds.
_INTERVALS_MS = (100, 200, 500, 1000, 5000, 60000)
_RULES = ("DebugRuleConfigurations", "ProfilerRuleConfigurations")
_OFF = "set hook=none, or sagemaker.debugger=null"


def check_debugger(job: Part, at: str, context: Context) -> Iterator[Problem]:
    """What is wrong with Debugger's part of a job; arguments as of `jobs.check_job`."""
    configured = "DebugHookConfig" in job
    if configured or context.hook is not None:
        yield from _surroundings(job, at, context, f"{at}DebugHookConfig" if configured else "hook")
    # In a job, its DebugHookConfig takes the place of the config's hook.
    for where, name, regexes in _collections(job, at) if configured else _of_hook(context):
        yield from _regexes(where, name, regexes, context.tensor_names)
    yield from _rules(job, at)
    interval = whole(job, "ProfilerConfig.ProfilingIntervalInMilliseconds")
    if interval is not None and interval not in _INTERVALS_MS:
        where = f"{at}ProfilerConfig.ProfilingIntervalInMilliseconds"
        yield Problem(where, f"{interval} ms", f"one of {', '.join(map(str, _INTERVALS_MS))}", remedy(where))


def _surroundings(job: Part, at: str, context: Context, where: str) -> Iterator[Problem]:
    hosts = whole(job, "ResourceConfig.InstanceCount") or 1
    told = text(job, f"Environment.{PROCESSES}") or ""
    processes = context.devices if context.devices is not None else int(told) if told.isdecimal() else 1
    if hosts * processes > 1 and "CheckpointConfig" in job:
        got = f"Debugger with {hosts * processes} processes and SageMaker's checkpoints"
        hint = "set sagemaker.checkpoints=false, or hook=none and sagemaker.debugger=null"
        yield Problem(where, got, "no checkpoints, or one process: Debugger refuses both together", hint)
    if "bf16" in (context.precision or ""):
        got = f"Debugger with trainer.precision={context.precision}"
        yield Problem(where, got, "32-true, or 16-mixed: numpy, in which it saves, has no bfloat16", _OFF)


def _collections(job: Part, at: str) -> Iterator[tuple[str, str, list[str]]]:
    path = "DebugHookConfig.CollectionConfigurations"
    for number, entry in parts(job, path):
        listed = str(part(entry, "CollectionParameters").get("include_regex", "")).split(",")
        regexes = [regex.strip() for regex in listed if regex.strip()]
        where = f"{at}{path}[{number}].CollectionParameters[include_regex]"
        yield where, str(get(entry, "CollectionName")), regexes


def _of_hook(context: Context) -> Iterator[tuple[str, str, Sequence[str]]]:
    for name, regexes in (context.hook or {}).items():
        yield f"hook.collections.{name}.include_regex", name, regexes


def _regexes(where: str, name: str, regexes: Sequence[str], tensors: Sequence[str] | None) -> Iterator[Problem]:
    hint = f"set hook.collections.{name}.include_regex"
    for regex in regexes:
        try:
            compiled = re.compile(regex)
        except (re.error, OverflowError) as error:  # the second of a count that is too large
            yield Problem(where, f"{regex}: {error}", "a regular expression, without commas", hint)
            continue
        if tensors is not None and not any(compiled.search(tensor) for tensor in tensors):
            near = did_you_mean(regex, tensors)
            yield Problem(where, f"{regex} matches no tensor of the model{near}", "part of a tensor's name", hint)


def _rules(job: Part, at: str) -> Iterator[Problem]:
    rules = [(path, number, rule) for path in _RULES for number, rule in parts(job, path)]
    for path, number, rule in rules:
        if not text(rule, "RuleParameters.rule_to_invoke"):
            where = f"{at}{path}[{number}].RuleParameters"
            allowed = "rule_to_invoke: the name of the rule's class"
            yield Problem(where, "no rule_to_invoke", allowed, remedy(where))
    names = [
        (f"{at}{path}[{number}].RuleConfigurationName", text(rule, "RuleConfigurationName"))
        for path, number, rule in rules
    ]
    path = "DebugHookConfig.CollectionConfigurations"
    collections = [
        (f"{at}{path}[{number}].CollectionName", text(entry, "CollectionName")) for number, entry in parts(job, path)
    ]
    for where, name in chain(twice(names), twice(collections)):
        yield Problem(where, f"{name} a second time", "each name once", remedy(where))
