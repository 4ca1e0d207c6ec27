"""`python -m launch.update`: another artifact, or other settings, for an endpoint that goes on answering."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from dogbreed.app import run_app
from dogbreed.commands import ends_well
from dogbreed.help import Help
from launch.deploy import artifact_and_name, plain, say, tell, tell_notes
from launch.hosting.requests import MODEL_FILE

_SECTION = "sagemaker."
HELP = Help(
    command="python -m launch.update",
    config="deploy",
    text="Give an endpoint another artifact, or other settings, while it goes on answering. What is not given stays as "
    "it is, but for the time until it expires, which begins anew.",
    examples={
        "artifact=RUN/artifact name=dogs dry_run=true": "the requests and the price alone",
        "artifact=RUN/artifact name=dogs": "another artifact",
        "artifact=RUN/artifact name=dogs sagemaker.instance_type=ml.m5.xlarge": "and a larger instance",
    },
    see="python -m launch.deploy, which makes an endpoint; launch.ask, endpoints and delete.",
    shown=("sagemaker/endpoint",),
)


def update(config: DictConfig) -> None:
    """Update an endpoint: what is not given stays as it is, but for the time until it expires, which begins anew."""
    artifact, name = artifact_and_name(config)
    with tempfile.TemporaryDirectory() as folder:
        from launch.aws.session import make_session
        from launch.files.model_package import build_package
        from launch.hosting.planning import plan_deployment
        from launch.hosting.resources import Hosting
        from launch.hosting.trial import trial_picture
        from launch.hosting.updating import look_up, update_endpoint

        package = build_package(artifact, Path(folder) / MODEL_FILE)
        hosting = Hosting(make_session(config.sagemaker.region))
        present = look_up(hosting, name)
        settings = present.settings(given(config))
        plan = plan_deployment(name, package.model, settings)
        if config.dry_run:
            print(plan.text(config.format, package))
            raise SystemExit(1 if plan.fatal else 0)
        plan.refuse()
        tell_notes(plan.notes)
        update_endpoint(hosting, present, plan, package, trial_picture(artifact, config.picture), say)
    tell(name, plan.price, settings)


def given(config: DictConfig) -> dict[str, Any]:
    """The settings that the command line names."""
    values, names = plain(config, "sagemaker"), {"region"}
    for line in HydraConfig.get().overrides.task:
        key = line.lstrip("+~").split("=", 1)[0]
        if key == "sagemaker/endpoint":
            names.add("kind")
        elif key.startswith(_SECTION):
            names.add(key.removeprefix(_SECTION).split(".")[0])
    return {name: value for name, value in values.items() if name in names}


@ends_well("the endpoint answers as before, but for what is listed above")
def main() -> None:
    """Run from the command line."""
    run_app(HELP, update)


if __name__ == "__main__":
    sys.exit(main())
