"""A SageMaker job told for the terminal: how the billed seconds were spent, what AWS's rules said, what to change."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from datetime import datetime, timezone

from dogbreed.health.jobs.job import Job
from dogbreed.health.jobs.rules import explain
from dogbreed.health.jobs.timeline import BOTH, DATA, IMAGE, SET_UP, TRAINING, UNDIVIDED, Bill

_WIDTH = 110
#: What shortens a phase.
_ADVICE = {
    DATA: "the job waits until every file is there. Input mode FastFile begins at once and reads files as they are "
    "asked for. Each job of a tuner downloads them anew; hydra/sweeper=fleet tries many settings in one job",
    IMAGE: "AWS pulls the image for each job. One of your own without what is not needed is smaller; a warm pool "
    "(KeepAlivePeriodInSeconds, billed) keeps it for the next job; hydra/sweeper=fleet needs it once for many trials",
    BOTH: "read the data while training (input mode FastFile), make the image smaller, or pay for both once for many "
    "trials (hydra/sweeper=fleet)",
    SET_UP: "the script installs, imports, loads weights and reads what it needs before it trains. Put requirements "
    "and weights into the image; a run of ours says in its profile which of these it was",
    UNDIVIDED: "what of it is set-up the log does not say. With timed lines (aws logs tail) it would",
    TRAINING: "of a frozen backbone the features can be computed once, and an epoch then takes seconds: "
    "features=cached. Where it must read pixels, look at data.num_workers and data.batch_size",
}


def tell(job: Job) -> str:
    """The text for the terminal."""
    sections = [_head(job), _table(job), *_bill(job), _advice(job), *_rules(job), _epochs(job), _left(job)]
    return "\n\n".join(section for section in sections if section)


def _head(job: Job) -> str:
    bill = f", {job.bill.seconds:,.0f} s billed" if job.bill else ""
    known = [phase.seconds for phase in job.phases if phase.seconds is not None]
    whole = f", {sum(known):,.0f} s from its first status to its last" if known else ""
    failed = f"\n{_wrap(f'AWS says why: {job.failure}')}" if job.failure else ""
    return f"SageMaker job in {job.path}: {job.status or 'status not known'}{bill}{whole}{failed}"


def _table(job: Job) -> str:
    if not job.phases:
        return ""
    rows = [("phase", "seconds", "billed", "of the bill")]
    for phase in job.phases:
        seconds = "not known" if phase.seconds is None else f"{phase.seconds:,.0f}"
        billed = "not known" if phase.billed is None else f"{phase.billed:,.0f}"
        rows.append((phase.name, seconds, billed, _share(phase.billed, job.bill)))
    widths = [max(len(row[i]) for row in rows) for i in range(4)]
    lines = (
        [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        for row in rows
    )
    return "\n".join("  ".join(line) for line in lines)


def _bill(job: Job) -> Iterator[str]:
    bill = job.bill
    if bill is None:
        yield _wrap("What was billed is not known: nothing tells when the job ran.")
        return
    text = f"The bill runs from {_clock(bill.start)} to {_clock(bill.end)} UTC, known from {bill.source}."
    if bill.charged is not None and bill.seconds and abs(bill.charged - bill.seconds) > 1:
        less = f", {1 - bill.charged / bill.seconds:.0%} less (spot instances)" if bill.charged < bill.seconds else ""
        text += f" Charged were {bill.charged:,.0f} s{less or ', those of all instances'}."
    if any(0 < (phase.billed or 0) < (phase.seconds or 0) - 1 for phase in job.phases):
        text += " A phase that was under way when it began or ended is billed in part."
    yield _wrap(text)
    yield _wrap(_before(job, bill))


def _before(job: Job, bill: Bill) -> str:
    before, first = job.before_first_step, job.first_step
    if before is None or first is None:
        undivided = next((phase for phase in job.phases if phase.name in (UNDIVIDED, "uploading the model")), None)
        least = bill.within(bill.start, undivided.start) if undivided else 0.0
        return (
            f"Before the first step: not known, for nothing tells when it was; {least:,.0f} s "
            f"({_share(least, bill)} of the bill) at least."
        )
    parts = [
        f"{bill.within(phase.start, min(phase.start + phase.seconds, first.time)):,.0f} s {phase.name}"
        for phase in job.phases
        if phase.seconds and bill.within(phase.start, min(phase.start + phase.seconds, first.time)) > 0
    ]
    return (
        f"Before the first step: {'' if first.exact else 'at most '}{before:,.0f} s of {bill.seconds:,.0f} s billed "
        f"({_share(before, bill)}), that is from the start of the bill to {_clock(first.time)} UTC, by {first.source}"
        + (f". In it: {', '.join(parts)}." if parts else ".")
    )


def _advice(job: Job) -> str:
    spent: dict[str, float] = {}
    for phase in job.phases:
        if phase.name in _ADVICE and phase.billed:
            spent[phase.name] = spent.get(phase.name, 0.0) + phase.billed
    lines = [
        _item(f"{name}, {seconds:,.0f} s billed: {_ADVICE[name]}.")
        for name, seconds in sorted(spent.items(), key=lambda entry: -entry[1])
    ]
    return "\n".join(["What would make the bill smaller, the largest part first:", *lines]) if lines else ""


def _rules(job: Job) -> Iterator[str]:
    for status, paragraphs in explain(job.rules, _steps(job)):
        yield "\n".join([_wrap(status), *(_item(paragraph) for paragraph in paragraphs)])


def _steps(job: Job) -> int | None:
    counted = [step.number + 1 for step in job.steps if step.mode == "TRAIN"]
    return max(counted + [int(line.values["step"]) for line in job.epochs if "step" in line.values], default=None)


def _epochs(job: Job) -> str:
    if not job.epochs:
        return ""
    text = f"Lines that the script printed about training: {len(job.epochs):,}, the last one: {job.epochs[-1].text}"
    told = [
        value
        for line in job.epochs
        for name, value in line.values.items()
        if "step" not in line.values and ("loss" in name.lower() or "acc" in name.lower())
    ]
    if told and all(value.is_integer() for value in told):
        text += (
            "\nIts losses and accuracies are whole numbers throughout. Such lines come from sums that were divided "
            "by the number of batches and rounded down: they change with the batch size, and no accuracy can be read "
            "off them."
        )
    return "\n".join(_wrap(line) for line in text.splitlines())


def _left(job: Job) -> str:
    lines = [f"Note: {note}." for note in job.notes]
    if job.machine.samples or job.steps:
        left = f"{len(job.machine.samples):,} samples of the machine and {len(job.steps):,} steps"
        lines.append(f"The profiler left {left}, which our own rules can judge.")
    if job.tensors is not None:
        lines.append(f"smdebug saved tensors in {job.tensors}, which our own rules can judge.")
    return "\n".join(_wrap(line) for line in lines)


def _share(seconds: float | None, bill: Bill | None) -> str:
    return "not known" if seconds is None or bill is None or not bill.seconds else f"{seconds / bill.seconds:.0%}"


def _clock(time: float) -> str:
    return datetime.fromtimestamp(time, timezone.utc).strftime("%H:%M:%S")


def _wrap(text: str, indent: str = "") -> str:
    return textwrap.fill(text, _WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


def _item(text: str) -> str:
    return _wrap(f"- {text}", "  ")
