"""What AWS reads off the log: each metric's expression, tried on lines that the library's logger printed."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from dogbreed.errors import did_you_mean
from launch.preflight.hints import remedy
from launch.preflight.problems import Context, Problem
from launch.preflight.reading import Part, parts, text

_METRICS = "AlgorithmSpecification.MetricDefinitions"


def check_logs(job: Part, at: str, context: Context, objective: str | None = None) -> Iterator[Problem]:
    """Metrics that would not be read.

    Args:
        job: see `jobs.check_job`.
        at: the same.
        context: the same; its monitor must be read, any other metric should be.
        objective: of a tuning job, which must be read, too.
    """
    needed = [name for name in (objective, context.monitor) if name is not None]
    names = [name for _, metric in parts(job, _METRICS) if (name := text(metric, "Name")) is not None]
    if context.monitor is not None and context.monitor not in names:
        near = did_you_mean(context.monitor, names)
        allowed = f"{context.monitor}, the monitor{near}"
        yield Problem(f"{at}{_METRICS}", ", ".join(names) or "none", allowed, remedy(f"{at}{_METRICS}"))
    for number, metric in parts(job, _METRICS):
        name, regex = text(metric, "Name"), text(metric, "Regex")
        if name is not None and regex is not None:
            yield from _metric(f"{at}{_METRICS}[{number}].Regex", name, regex, name in needed, context.log_lines)


def _metric(where: str, name: str, regex: str, needed: bool, lines: Sequence[str] | None) -> Iterator[Problem]:
    hint = "use dogbreed.training.epoch_line.EPOCH_METRIC_PATTERN.format(name=...)"
    try:
        compiled = re.compile(regex)
    except (re.error, OverflowError) as error:
        yield Problem(where, f"{regex}: {error}", "a regular expression", hint)
        return
    if compiled.groups != 1:
        yield Problem(where, f"{regex}: {compiled.groups} groups", "one group, which takes the value", hint)
        return
    if lines is None:
        return
    found = [match[1] for line in lines if (match := compiled.search(line))]
    if not found:
        allowed = f"what finds {name} in a line such as {lines[-1] if lines else 'none'}"
        yield Problem(where, f"{regex} finds nothing in the log", allowed, hint, fatal=needed)
    elif not all(map(_is_number, found)):
        yield Problem(where, f"{regex} takes {found[0]} for {name}", "a group that takes a number", hint)


def _is_number(value: str | None) -> bool:
    try:
        float(value or "")
    except ValueError:
        return False
    return True
