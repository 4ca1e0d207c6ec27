"""`python -m launch.deploy`: an artifact as an endpoint that answers; failing half-way it leaves nothing behind."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from dogbreed.app import run_app
from dogbreed.commands import ends_well
from dogbreed.help import Help
from dogbreed.kinds import check_kind
from launch.connect import whereabouts
from launch.hosting.requests import MODEL_FILE
from launch.hosting.settings import EndpointSettings
from launch.settings import make_settings

HELP = Help(
    command="python -m launch.deploy",
    config="deploy",
    text="Make an endpoint on SageMaker that answers with an artifact; it is tried with a picture, and where something "
    "fails nothing is left behind.",
    examples={
        "artifact=RUN/artifact name=dogs dry_run=true": "the requests and the price alone",
        "artifact=RUN/artifact name=dogs": "on one instance, which is paid for until it is deleted",
        "artifact=RUN/artifact name=dogs sagemaker/endpoint=serverless": "paid for by the request",
        "artifact=RUN/artifact name=dogs sagemaker.max_count=4 sagemaker.expires_in_h=2": "up to four, for two hours",
    },
    see="python -m launch.ask NAME PICTURES for an answer; launch.update, endpoints and delete; launch.transform for a "
    "batch without an endpoint; dogbreed.serve for the same on this machine.",
    shown=("sagemaker/endpoint",),
)


def deploy(config: DictConfig) -> None:
    """Deploy an artifact as an endpoint, or show what that would be (dry_run=true)."""
    settings = make_settings(EndpointSettings, plain(config, "sagemaker"), "sagemaker")
    artifact, name = artifact_and_name(config)
    with tempfile.TemporaryDirectory() as folder:
        from launch.files.model_package import build_package
        from launch.hosting.planning import plan_deployment

        package = build_package(artifact, Path(folder) / MODEL_FILE)
        plan = plan_deployment(name, package.model, settings)
        if config.dry_run:
            print(plan.text(config.format, package))
            raise SystemExit(1 if plan.fatal else 0)
        plan.refuse()
        tell_notes(plan.notes)
        from launch.aws.session import make_session
        from launch.hosting.resources import Hosting
        from launch.hosting.steps import make_endpoint, refuse_taken
        from launch.hosting.trial import trial_picture
        from launch.hosting.undoing import undoing

        picture = trial_picture(artifact, config.picture)
        hosting = Hosting(make_session(plan.region))
        refuse_taken(hosting, name)
        with undoing(say) as undo:
            make_endpoint(hosting, plan, package, picture, undo, say)
            undo.keep()
    tell(name, plan.price, settings)


def artifact_and_name(config: DictConfig) -> tuple[Path, str]:
    """The artifact's folder, and what is named after the config's `name`.

    Raises:
        ConfigError: they, or the picture to try it with, are of another kind.
    """
    check_kind("artifact", config.artifact, Path)
    check_kind("name", config.name, str | int)
    check_kind("picture", config.get("picture"), Path | None)
    return Path(config.artifact).expanduser(), str(config.name)


def say(text: str) -> None:
    """Print a line at once."""
    print(text, flush=True)


def tell_notes(notes: tuple[str, ...]) -> None:
    """Print what a user should know, beside the results."""
    for note in notes:
        print(f"note: {note}", file=sys.stderr, flush=True)


def tell(name: str, price: str, settings: EndpointSettings) -> None:
    """Say how an endpoint is asked, what it costs, and how it is deleted."""
    where = " ".join(["", *whereabouts("sagemaker", settings.region, None)])
    print(f"ask it:\n  python -m launch.ask {name} PICTURES{where}")
    print(price)
    if settings.expires_in_h is not None:
        print(f"it expires in {settings.expires_in_h:g} h; what deletes it then, and not before:")
        print(f"  python -m launch.endpoints --expired{where}")
    print(f"delete it:\n  python -m launch.delete {name}{where}")


def plain(config: DictConfig, key: str) -> dict[str, Any]:
    """A section of the config as plain values."""
    check_kind(key, config[key], Mapping)
    values: Any = OmegaConf.to_container(config[key], resolve=True)
    return values


@ends_well("nothing was left behind but what is listed above")
def main() -> None:
    """Run from the command line."""
    run_app(HELP, deploy)


if __name__ == "__main__":
    sys.exit(main())
