"""`python -m launch.jobs`: what runs elsewhere, what came of it, and what it cost."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dogbreed.arguments import Parser
from dogbreed.commands import ends_well
from launch.backends import Backend
from launch.connect import connect, jobs_command, whereabouts
from launch.errors import LaunchError
from launch.files.fetching import ENDED, as_json, fetch_run
from launch.pricing.bill import sum_of
from launch.pricing.table import Price, Prices
from launch.settings import BACKENDS
from launch.views.describing import (
    EXPERIMENT_TAG,
    Summary,
    instance_of,
    local_command,
    price_for,
    region_of,
    story,
    summarize,
    tell_bill,
)
from launch.views.finding import TRAINING, Found, find_job
from launch.views.following import follow_log
from launch.views.leaderboard import leaderboard
from launch.views.listing import MOST, Listed, find_jobs, print_jobs, tuning_to_dict
from launch.views.watching import watch_tuning_job

_POLL_S = 5.0
_RUNS = Path("runs")


@ends_well("the jobs go on")
def main(arguments: Sequence[str] | None = None) -> int:
    """Do what is asked; 0 if all is well, 1 otherwise."""
    options = make_parser().parse_args(arguments)
    backend = connect(options.backend, options.region, options.process_dir)
    code: int = options.run(backend, options)
    return code


def _list(backend: Backend, options: argparse.Namespace) -> int:
    listed = _find(backend, options)
    found = _summaries(listed, options)
    if options.json:
        content = {
            "jobs": [one.to_dict() for one in found],
            "tuning_jobs": [tuning_to_dict(one) for one in listed.tuning_jobs],
        }
        print(json.dumps(content, indent=2, ensure_ascii=False))
        return 0
    if not (found or listed.tuning_jobs):
        print(_none(options))
    print_jobs(found, listed.tuning_jobs)
    return 0


def _describe(backend: Backend, options: argparse.Namespace) -> int:
    found = find_job(backend, options.name)
    if options.json:
        print(as_json(found.description), end="")
        return 0
    if found.kind != TRAINING:
        _describe_tuning(backend, found)
        return 0
    price = _price(found.description, options)
    print("\n\n".join(filter(None, story(found.description, price, is_paid=_is_paid(options)))))
    if found.description["TrainingJobStatus"] in ENDED:
        print(f"  {_again('fetch', found.name, options)}")
    else:
        print(f"what it prints:\n  {_again('logs', found.name, options, '--follow')}")
    return 0


def _describe_tuning(backend: Backend, found: Found) -> None:
    description, trials = found.description, backend.list_trials(found.name)
    objective = description["HyperParameterTuningJobConfig"]["HyperParameterTuningJobObjective"]
    print(
        f"{found.name}: {description['HyperParameterTuningJobStatus']}, {len(trials)} trials, {objective['MetricName']}"
    )
    print(leaderboard(trials, "max" if objective["Type"] == "Maximize" else "min"))
    best = backend.describe_training_job(_best(description)) if "BestTrainingJob" in description else None
    if best is not None:
        print(f"the best trial here:\n  {local_command(best)}")


def _logs(backend: Backend, options: argparse.Namespace) -> int:
    found = find_job(backend, options.name)
    if found.kind != TRAINING:
        return _logs_of_tuning(backend, found, options)
    follow_log(backend, found.name, to_the_end=options.follow, poll_s=_POLL_S, aside=_aside)
    return 0


def _logs_of_tuning(backend: Backend, found: Found, options: argparse.Namespace) -> int:
    if not options.follow:
        names = [trial["TrainingJobName"] for trial in backend.list_trials(found.name)]
        raise LaunchError(
            f"{found.name} is a tuning job",
            f"one of its trials: {', '.join(names) or 'none yet'}",
            "name one; or --follow",
        )
    where = whereabouts(options.backend, options.region, options.process_dir)
    watch_tuning_job(backend, found.name, poll_s=_POLL_S, price_per_hour=options.price_per_hour, where=where)
    return 0


def _stop(backend: Backend, options: argparse.Namespace) -> int:
    found = find_job(backend, options.name)
    status = found.description.get("TrainingJobStatus") or found.description["HyperParameterTuningJobStatus"]
    if status in ENDED:
        print(f"{found.name} has ended already: {status}")
        return 0
    (backend.stop_training_job if found.kind == TRAINING else backend.stop_tuning_job)(found.name)
    print(f"{found.name} was asked to stop, which takes it up to two minutes:")
    print(f"  {_again('describe', found.name, options)}")
    return 0


def _fetch(backend: Backend, options: argparse.Namespace) -> int:
    found = find_job(backend, options.name)
    directory = options.to or _RUNS / found.name
    job = found.name
    if found.kind != TRAINING:
        if "BestTrainingJob" not in found.description:
            raise LaunchError(f"{found.name} has no trial with a result yet", "one at least", "fetch it later")
        job = _best(found.description)
        print(f"the best trial of {found.name}: {job}")
    fetch_run(backend, job, directory)
    print(f"wrote {directory}/; look at it with:")
    print(f"  {shlex.join(['python', '-m', 'dogbreed.report', str(directory)])}")
    return 0


def _cost(backend: Backend, options: argparse.Namespace) -> int:
    found = _summaries(_find(backend, options), options)
    if options.json:
        content = {"jobs": [one.to_dict() for one in found], "usd": sum_of([one.bill for one in found]).usd}
        print(json.dumps(content, indent=2, ensure_ascii=False))
        return 0
    if not found:
        print(_none(options))
        return 0
    for one in found:
        print(tell_bill(one.bill, is_paid=_is_paid(options)))
    sums = {f"experiment {one.experiment or '(none)'}": one.experiment for one in found}
    for what, experiment in sums.items() if len(sums) > 1 else ():
        _tell_sum(what, [one for one in found if one.experiment == experiment], options)
    if len(found) > 1:
        _tell_sum("all", found, options)
    return 0


def _tell_sum(what: str, found: Sequence[Summary], options: argparse.Namespace) -> None:
    print(f"{what}: {tell_bill(sum_of([one.bill for one in found]), is_paid=_is_paid(options))}")


def _is_paid(options: argparse.Namespace) -> bool:
    return bool(options.backend == "sagemaker")


def _find(backend: Backend, options: argparse.Namespace) -> Listed:
    tags = dict(options.tag) | ({EXPERIMENT_TAG: options.experiment} if options.experiment else {})
    listed = find_jobs(backend, options.name or "", tags, options.limit)
    for sentence in listed.left_out:
        _aside(sentence)
    return listed


def _summaries(listed: Listed, options: argparse.Namespace) -> list[Summary]:
    prices = Prices.load()
    priced = [(job, price_for(job, prices, options.price_per_hour)) for job in listed.jobs]
    if _is_paid(options):
        unpriced = {(instance_of(job), region_of(job)) for job, price in priced if not price}
        for instance, region in sorted(unpriced):
            _aside(f"{instance}: {prices.missing(instance, region)}")
    return [summarize(job, price) for job, price in priced]


def _price(description: dict[str, Any], options: argparse.Namespace) -> Price | None:
    return price_for(description, Prices.load(), options.price_per_hour)


def _best(description: dict[str, Any]) -> str:
    return str(description["BestTrainingJob"]["TrainingJobName"])


def _again(command: str, name: str, options: argparse.Namespace, *more: str) -> str:
    return jobs_command(command, name, whereabouts(options.backend, options.region, options.process_dir), *more)


def _none(options: argparse.Namespace) -> str:
    chosen = any((options.name, options.tag, options.experiment))
    return f"no training jobs{' like that' if chosen else ''}; python -m launch.train starts one"


def _aside(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _tag(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not (key and equals):
        raise argparse.ArgumentTypeError(f"{text} is not KEY=VALUE")
    return key, value


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number above 0")
    return int(text)


def _above_zero(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not a number above 0")
    return value


def make_parser() -> Parser:
    """What this command's arguments may be."""
    parser = Parser(prog="python -m launch.jobs", description="What runs elsewhere, what came of it, and what it cost.")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for run, text in (
        (_list, "training jobs and tuning jobs, the newest first"),
        (_describe, "one job: its statuses, its bill, its results, and the same run here"),
        (_logs, "what a job has printed"),
        (_stop, "ask a job to stop"),
        (_fetch, "bring a job's run here, with its log"),
        (_cost, "what jobs were billed, what that went into, and their sum"),
    ):
        command = commands.add_parser(run.__name__[1:], help=text, description=text)
        command.set_defaults(run=run)
        _add_name(command, many=run in (_list, _cost))
        if run in (_list, _describe, _cost):
            command.add_argument("--json", action="store_true", help="for programs")
        if run in (_list, _describe, _cost, _logs):
            command.add_argument(
                "--price-per-hour", type=_above_zero, metavar="USD", help="of an instance (default: by launch.prices)"
            )
        if run is _logs:
            command.add_argument("--follow", action="store_true", help="until the job ends; of a tuning job its trials")
        if run is _fetch:
            command.add_argument("--to", type=Path, metavar="DIR", help=f"the run's directory (default: {_RUNS}/NAME)")
    return parser


def _add_name(command: argparse.ArgumentParser, *, many: bool) -> None:
    """Which jobs, and where they are."""
    named = "a part of their names, or a tuning job for its trials" if many else "its name, or a part that no other has"
    command.add_argument("name", metavar="NAME", nargs="?" if many else None, help=named)
    if many:
        command.add_argument("--tag", type=_tag, action="append", default=[], metavar="KEY=VALUE", help="they carry")
        command.add_argument("--experiment", metavar="X", help="they belong to")
        number = f"how many at most (default: {MOST}, and all trials of a tuning job that is named)"
        command.add_argument("--limit", type=_count, metavar="N", help=number)
    command.add_argument("--backend", choices=BACKENDS, default=BACKENDS[0], help=f"where (default: {BACKENDS[0]})")
    command.add_argument("--region", metavar="R", help="of AWS (default: the environment's, or the profile's)")
    command.add_argument("--process-dir", metavar="D", help="where the process backend keeps its jobs")


if __name__ == "__main__":
    sys.exit(main())
