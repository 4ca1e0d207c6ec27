"""`python -m launch.transform`: the breed on every picture below an S3 prefix, by a batch of its own.

Answers go to stdout, as dogbreed.predict prints them, all else to stderr.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Collection, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from dogbreed.app import run_app
from dogbreed.commands import ends_well
from dogbreed.errors import ConfigError, did_you_mean
from dogbreed.help import Help
from dogbreed.serving.writers import WRITERS, print_answers
from launch.deploy import artifact_and_name, plain
from launch.hosting.requests import MODEL_FILE
from launch.hosting.settings import REALTIME, EndpointSettings
from launch.requests import request_text
from launch.settings import make_settings
from launch.update import given

if TYPE_CHECKING:
    from launch.files.model_package import Package
    from launch.hosting.planning import Plan
    from launch.requests import Request

HELP = Help(
    command="python -m launch.transform",
    config="transform",
    text="Name the breed on every picture below an S3 prefix by one batch transform job; the answers are printed, and "
    "stay in S3.",
    examples={
        "artifact=RUN/artifact input=s3://BUCKET/pictures output=s3://BUCKET/answers dry_run=true": "the requests and "
        "the price alone",
        "artifact=RUN/artifact input=s3://BUCKET/pictures output=s3://BUCKET/answers format=csv": "the answers as a "
        "table for a spreadsheet",
        "artifact=RUN/artifact input=s3://BUCKET/pictures output=s3://BUCKET/answers sagemaker.instance_count=4": "on "
        "four instances",
    },
    see="python -m launch.deploy for an endpoint; dogbreed.predict for pictures on this machine.",
    shown=("sagemaker/endpoint",),
)


def transform(config: DictConfig) -> None:
    """Answer every picture below `input` by a batch transform job, or show what that would be (dry_run=true)."""
    settings = make_settings(EndpointSettings, plain(config, "sagemaker"), "sagemaker")
    artifact, name = artifact_and_name(config)
    source, output = (_prefix(key, str(config[key])) for key in ("input", "output"))
    _check(config.format, settings, given(config))
    with tempfile.TemporaryDirectory() as folder:
        from launch.files.model_package import build_package
        from launch.hosting.planning import plan_deployment
        from launch.hosting.transforming import TransformSettings, build_transform
        from launch.preflight.problems import ordered, refuse, told
        from launch.preflight.shapes import check_shape

        batch = make_settings(TransformSettings, plain(config, "transform"), "transform")
        package = build_package(artifact, Path(folder) / MODEL_FILE)
        plan = plan_deployment(name, package.model, replace(settings, expires_in_h=None))
        manifest = f"{plan.model_uri.rpartition('/')[0]}/pictures.json"
        request = build_transform(plan, batch, manifest, f"{output}{plan.deployment.part}")
        hint = "correct sagemaker.* or transform.*, which conf/transform.yaml describes"
        wrong = [problem._replace(hint=hint) for problem in check_shape("CreateTransformJob", request)]
        problems = ordered([*plan.problems, *wrong])
        if config.dry_run:
            print(request_text({"CreateModel": plan.requests.model, "CreateTransformJob": request}, "yaml"))
            print("", *(f"note: {note}" for note in plan.notes), plan.price, *told(problems), sep="\n")
            raise SystemExit(1 if any(problem.fatal for problem in problems) else 0)
        refuse(problems)
        for note in plan.notes:
            say(f"note: {note}")
        raise SystemExit(0 if _run(plan, package, request, source, config.format) else 1)


def _run(plan: Plan, package: Package, request: Request, source: str, form: str) -> bool:
    """Run the job and print its answers; whether all pictures have one."""
    from launch.aws.session import make_session
    from launch.hosting.gathering import answers_below, gather
    from launch.hosting.resources import MODEL, Hosting
    from launch.hosting.sources import stored_pictures
    from launch.hosting.transforming import Transforms, build_manifest, wait_for_end
    from launch.hosting.undoing import undoing

    part, poll_s = plan.deployment.part, plan.settings.poll_s
    output = request["TransformOutput"]["S3OutputPath"]
    manifest = request["TransformInput"]["DataSource"]["S3DataSource"]["S3Uri"]
    session = make_session(plan.region)
    hosting, transforms = Hosting(session), Transforms(session)
    store = hosting.store
    pictures = stored_pictures(source, store)
    listed = build_manifest(pictures, request["MaxPayloadInMB"])
    say(f"{len(pictures)} pictures below {source}")
    say(plan.price)
    with undoing(say, always=True, word="removing") as undo:
        for uri in (plan.model_uri, manifest):
            undo.add(uri, partial(store.remove, uri), f"aws s3 rm {uri}")
        store.put(plan.model_uri, package.path)
        store.put_bytes(manifest, listed)
        delete = partial(hosting.delete, MODEL, part)
        undo.add(f"the model {part}", delete, f"aws sagemaker delete-model --model-name {part}")
        hosting.create(MODEL, plan.requests.model)
        undo.add(
            f"what still runs of the transform job {part}",
            partial(transforms.stop, part, poll_s),
            f"aws sagemaker stop-transform-job --transform-job-name {part}",
        )
        transforms.create(request)
        say(f"started the transform job {part}")
        end = wait_for_end(transforms, part, lambda: len(answers_below(store, output)), len(pictures), poll_s, say)
    say(_cost(plan, end))
    answered = print_answers(gather(store, output, pictures, end), form)
    say(f"the answers stay in {output}/")
    return answered


def say(text: str) -> None:
    """Print a line at once, beside the answers."""
    print(text, file=sys.stderr, flush=True)


def _cost(plan: Plan, end: Mapping[str, Any]) -> str:
    from launch.hosting.costing import hourly_usd
    from launch.pricing.table import Price, Prices
    from launch.views.telling import duration

    settings = plan.settings
    start, stop = end.get("TransformStartTime"), end.get("TransformEndTime")
    if start is None or stop is None:
        return "it has not started, and cost nothing"
    seconds = (stop - start).total_seconds()
    given = settings.price_per_hour
    hour = hourly_usd(plan.requests.config["ProductionVariants"], plan.region, Prices.load())
    if given is not None:
        hour = Price.given(str(settings.instance_type), plan.region, given).usd_per_hour * (
            settings.instance_count or 1
        )
    took = f"it took {duration(seconds)} on {settings.instance_count} {settings.instance_type}"
    return took if hour is None else f"{took}: about {hour * seconds / 3600:.2f} USD"


def _prefix(key: str, uri: str) -> str:
    from launch.files.stores import split_uri

    if not uri.startswith("s3://"):
        raise ConfigError(
            f"{key}={uri}",
            "s3://BUCKET/PREFIX/",
            f"set {key}; aws s3 cp --recursive FOLDER s3://BUCKET/PREFIX/ sends a folder",
        )
    split_uri(uri)
    return f"{uri.rstrip('/')}/"


#: Settings that only an endpoint takes.
_OF_ENDPOINTS = (
    *("min_count", "max_count", "scaling_target", "startup_s", "memory_mb", "max_concurrency", "answers", "failures"),
    *("max_invocations", "capture_percent", "capture_to", "expires_in_h", "wait_s"),
)


def _check(form: str, settings: EndpointSettings, given: Collection[str]) -> None:
    if form not in WRITERS:
        raise ConfigError(f"format={form}{did_you_mean(str(form), WRITERS)}", ", ".join(WRITERS), "set format")
    if settings.kind != REALTIME:
        raise ConfigError(
            f"sagemaker/endpoint={settings.kind}", "a batch on instances of its own", "leave sagemaker/endpoint out"
        )
    idle = [name for name in _OF_ENDPOINTS if name in given]
    if idle:
        raise ConfigError(
            ", ".join(f"sagemaker.{name}" for name in idle),
            "settings of a batch, see conf/transform.yaml",
            "leave it out: it is of an endpoint",
        )


@ends_well("the same command starts another job")
def main() -> None:
    """Run from the command line."""
    run_app(HELP, transform)


if __name__ == "__main__":
    sys.exit(main())
