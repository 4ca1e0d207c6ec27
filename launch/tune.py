"""`python -m launch.tune`: a search space as one tuning job; the best setting comes back, typed, with its artifact.

The work is done by Hydra's sweeper in launch/hydra_plugins/dogbreed_sagemaker, which `dogbreed.train -m
hydra/sweeper=sagemaker` uses as well: so that spaces may be typed here as for every multirun.
"""

from __future__ import annotations

import sys

from omegaconf import DictConfig

from dogbreed.app import run_app
from dogbreed.commands import ends_well
from dogbreed.help import Help, wants_help
from launch.overrides import overrides_in

_SWEEPER = "hydra/sweeper=sagemaker"
HELP = Help(
    command="python -m launch.tune",
    config="launch",
    text="Search a space by one tuning job on SageMaker, a training job for each trial; the best setting comes back, "
    "with its artifact.",
    examples={
        "experiment=quickstart search_space=lr_batch sagemaker.backend=process sagemaker.tuner.n_trials=2": "a "
        "rehearsal on this machine: no account, nothing to pay",
        "search_space=lr_batch sagemaker/tuner=hyperband sagemaker.channels.data=s3://BUCKET/PREFIX": "a space "
        "of conf/, by many short jobs",
        '"optimizer.lr=tag(log,interval(0.001,0.1))" "data.batch_size=choice(32,64)"': "a space that is typed",
        "search_space=lr_batch train_best=true best_epochs=50": "the best once more at the end, and for longer",
    },
    see="python -m launch.plan for the request, its faults and its price, before anything is sent; launch.train with "
    "hydra/sweeper=fleet for a sweep in one job; launch.jobs.",
    shown=("sagemaker/tuner", "sagemaker/job"),
)


def tune(config: DictConfig) -> None:
    """Search a space by one tuning job (search_space=NAME, or sweeps on the command line)."""
    raise AssertionError("the sweeper sends trials elsewhere")


@ends_well("nothing was started")
def main(about: Help = HELP) -> None:
    """Run from the command line."""
    given = sys.argv[1:]
    if not wants_help(given) and not {"--hydra-help", "-c", "--cfg", "-i", "--info"} & set(given):
        added = [] if {"-m", "--multirun"} & set(given) else ["-m"]
        given.insert(overrides_in(given).start, _SWEEPER)
        sys.argv[1:] = [*added, *given]
    run_app(about, tune)


if __name__ == "__main__":
    sys.exit(main())
