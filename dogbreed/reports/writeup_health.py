"""What a write-up says of debugging and profiling: the rules, where the time went, and what a job was billed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timezone
from typing import Any

from dogbreed.health.findings import Outcome, Status
from dogbreed.health.jobs.job import Job
from dogbreed.health.jobs.timeline import DATA, SET_UP, UNDIVIDED, when
from dogbreed.reports.contents import Run, Spread
from dogbreed.reports.evidence import DESCRIPTION, LAUNCH, read_plain
from dogbreed.reports.figures import Figures
from dogbreed.reports.markdown import Markdown, code, link, table
from dogbreed.reports.reading import Folder
from dogbreed.reports.run_plots import draw_machine, draw_phases, entered, initialisation
from dogbreed.reports.verdict import consequences, findings
from dogbreed.reports.words import amount, count, duration, percent
from dogbreed.reports.writeup_commands import python, train

#: The phase in which features are read or computed, and its part that is there where they were computed.
_FEATURES, _PASS = "features", "feature pass"
_END = "TrainingEndTime"
_HERE = "local"  # the region of what was rehearsed on this machine


def tell_rules(run: Run) -> dict[str, Any] | None:
    """The section on debugging; None where no rule watched."""
    health = run.health
    if health is None:
        return None
    source = link(run.folder.path / "health.json", run.folder.path)
    number = {status: sum(one.status is status for one in health.outcomes) for status in Status}
    rows = [(one.rule, one.status.value, one.datapoints, one.violations, one.reason) for one in health.outcomes]
    return {
        "preset": health.preset,
        "source": source,
        "rules": count(len(health.outcomes), "rule"),
        "number": {status.name.lower(): found for status, found in number.items()},
        "found": [(one, _measured(one), consequences(one, health), _again(run, one)) for one in findings(health)],
        "table": table(("rule", "status", "looks", "violations", "why"), rows),
    }


def tell_profile(run: Run, figures: Figures) -> dict[str, Any] | None:
    """The section on where the time went; None where that is not known."""
    profile = run.profile
    if profile is None:
        return None
    source = link(run.folder.path / "profile.json", run.folder.path)
    whole, parts = profile.seconds or 1.0, entered(profile.phases)
    rows = [
        (part.name, duration(part.seconds), percent(part.seconds / whole))
        for part in sorted(parts, key=lambda part: -part.seconds)
    ]
    used = [
        (one.name, *(f"{value:.{2 if one.unit == 'GiB' else 0}f} {one.unit}" for value in _marks(one)))
        for one in profile.spreads
    ]
    drawn = [draw_phases(profile.phases, whole, 760)] if parts else []
    return {
        "source": source,
        "phases": table(("phase", "time", "of the run"), rows),
        "timeline": figures.plots(drawn, source),
        "machine": table(("", "most", "p95", "median", "least"), used) if used else None,
        "samples": profile.samples,
        "use": figures.plots(list(draw_machine(profile.series)), source),
        "next": list(_next_time(run)),
    }


def _next_time(run: Run) -> Iterator[str]:
    """What the profile means for the next run."""
    assert run.profile is not None
    whole, phases = run.profile.seconds or 1.0, run.profile.phases
    first = {phase.name: phase for phase in initialisation(phases)}
    before = {name: phase.seconds for name, phase in first.items()}
    kept = before.get(_FEATURES, 0.0)
    if run.setting("features.path") == "cached" and kept:
        computed = any(part.name == _PASS and part.count for part in first[_FEATURES].parts)
        yield (
            f"The features took {duration(kept)}, {percent(kept / whole)} of the run. "
            + ("They are kept: the next run" if computed else "They were kept from before: a run")
            + " on the same pictures and backbone reads them, and so does every trial of a sweep."
        )
    if before:
        longest = max(before, key=lambda name: before[name])
        share = before[longest] / whole
        if longest != _FEATURES and share > 0.2:
            yield (
                f"Before training, most time went into {longest}: {duration(before[longest])}, {percent(share)} of the"
                " run. Each run pays that anew; a sweep pays it once for all its trials."
            )
    training = next((phase for phase in phases.parts if phase.name == "training"), None)
    waiting = next((part for part in training.parts if part.name == "waiting for data"), None) if training else None
    if training and waiting and training.seconds:
        share = waiting.seconds / training.seconds
        judged = "there is nothing to win there"
        if share > 0.2:
            reads_pixels = run.setting("features.path") != "cached"  # what is kept, the training process reads itself
            judged = "more workers would help (data.num_workers)" if reads_pixels else "no setting changes that"
        yield f"Training waited {percent(share)} of its time for data: {judged}."


def _marks(spread: Spread) -> tuple[float, ...]:
    return spread.max, spread.p95, spread.p50, spread.min


def _moment(told: Mapping[str, Any], key: str) -> str:
    """A time of the description as people write it; empty where it has none."""
    seconds = when(told.get(key))
    return "" if seconds is None else f"{datetime.fromtimestamp(seconds, timezone.utc):%Y-%m-%d %H:%M:%S} UTC"


def _measured(outcome: Outcome) -> str:
    found = outcome.finding
    if found is None:
        return outcome.reason
    where = [f"in {found.tensor}" if found.tensor else "", f"at step {found.step:,}" if found.step is not None else ""]
    told = ", ".join(filter(None, where))
    return f"measured {amount(found.value)}, threshold {amount(found.threshold)}{', ' if told else ''}{told}"


def _again(run: Run, outcome: Outcome) -> str:
    """The run's command with what the rule would change; empty where it has no such advice."""
    if outcome.finding is None or not outcome.finding.remedy:
        return ""
    return train(run, *outcome.finding.remedy)


def tell_job(job: Job, run: Run) -> dict[str, Any]:
    """The section of one job."""
    folder = Folder(job.path if job.path.is_dir() else job.path.parent)
    told, launch = read_plain(folder, DESCRIPTION), read_plain(folder, LAUNCH)
    source = link(folder.path / DESCRIPTION, run.folder.path) if told else link(folder.path, run.folder.path)
    region = str(told.get("TrainingJobArn", "::::")).split(":")[3]
    rehearsed = region == _HERE
    resources = told.get("ResourceConfig") or {}
    facts = [("status", job.status, "TrainingJobStatus")]
    if told and not rehearsed:
        machines = f"{resources.get('InstanceCount', 1)} {resources.get('InstanceType', '?')} in {region}"
        facts.append(("instances", machines, "ResourceConfig"))
    facts += [(words, _moment(told, key), key) for words, key in (("asked for", "CreationTime"), ("ended", _END))]
    for words, key in (("ran", "TrainingTimeInSeconds"), ("billed", "BillableTimeInSeconds")):
        if isinstance(told.get(key), int | float) and not (rehearsed and words == "billed"):
            facts.append((words, f"{told[key]:,} s", key))
    rows = [(words, value, Markdown(f"{source} {code(key)}")) for words, value, key in facts if value]
    if isinstance(launch.get("usd"), float) and not rehearsed:
        from_launch = link(folder.path / LAUNCH, run.folder.path)
        rows.append(("expected to cost", f"{launch['usd']:.2f} USD", Markdown(f"{from_launch} {code('usd')}")))
    metrics = [
        (str(one["MetricName"]), amount(float(one["Value"])), Markdown(f"{source} {code('FinalMetricDataList')}"))
        for one in told.get("FinalMetricDataList", [])
    ]
    return {
        "name": str(told.get("TrainingJobName") or folder.path.name),
        "rehearsed": rehearsed,
        "source": source,
        "facts": table(("", "", "from"), rows),
        "failure": job.failure,
        "phases": _phases(job),
        "metrics": table(("metric", "the last it printed", "from"), metrics) if metrics else None,
        "rules": [(rule.name, rule.verdict, rule.details) for rule in job.rules],
        "cost": python("launch.jobs", "cost", str(told.get("TrainingJobName", ""))) if told else "",
        "logged": bool(job.epochs),
        "insight": list(_insight(job)),
    }


def _phases(job: Job) -> Markdown | None:
    if not job.phases or job.bill is None:
        return None
    rows: Sequence[tuple[str, ...]] = [
        (
            phase.name,
            "" if phase.seconds is None else duration(phase.seconds),
            "" if phase.billed is None else percent(phase.billed / (job.bill.seconds or 1.0)),
        )
        for phase in job.phases
    ]
    return table(("phase", "time", "of what counts for the bill"), rows)


def _insight(job: Job) -> Iterator[str]:
    """What of the job's time was not training."""
    if job.bill is None or not job.bill.seconds:
        return
    spent = {phase.name: phase.billed or 0.0 for phase in job.phases}
    before = job.before_first_step
    if before is not None:
        yield f"{percent(before / job.bill.seconds)} of it passed before the first step of training."
    if spent.get(SET_UP, 0.0) > 0.3 * job.bill.seconds:
        yield (
            "Much of it is the script's own set-up, which every job pays: a whole sweep in one job"
            " (hydra/sweeper=fleet) pays it once."
        )
    if spent.get(DATA, 0.0) > 0.2 * job.bill.seconds:
        yield "The data were downloaded before anything else; sagemaker.input_mode=FastFile reads them while training."
    if UNDIVIDED in spent:
        yield "What of it was set-up, the log does not say."
