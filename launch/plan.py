"""`python -m launch.plan`: what would be sent, what is wrong with it and what it costs; sends nothing, asks nobody.

With a search space it is the plan of launch.tune; with hydra/sweeper=fleet too, of launch.train, which trains all of it
in one job.
"""

from __future__ import annotations

import sys

from dogbreed.help import Help
from launch import train, tune
from launch.overrides import overrides_in

HELP = Help(
    command="python -m launch.plan",
    config="launch",
    text="Show what launch.train, or with a search space launch.tune, would send: the exact request, the code, all "
    "that is wrong with it, and what it costs. Nothing is sent, and nobody is asked.",
    examples={
        "experiment=quickstart sagemaker.role=arn:aws:iam::ACCOUNT:role/NAME sagemaker.region=us-east-1": "of one job; "
        "DOGBREED_ROLE and AWS_REGION say the same",
        "experiment=quickstart sagemaker.measured_run=RUN sagemaker.instance_type=ml.c5.xlarge": "with the minutes "
        "that it takes there, scaled from a run of the same config here",
        "experiment=quickstart search_space=lr_batch": "of a tuning job",
        "experiment=quickstart search_space=lr_batch hydra/sweeper=fleet format=json": "of a sweep in one job",
    },
    see="python -m launch.train and launch.tune, which send it; launch.prices for the prices.",
    shown=("sagemaker/job",),
)


def main() -> int:
    """Run from the command line."""
    given = sys.argv[1:]
    is_search = any(map(_is_search, given)) and not any(line.startswith("hydra/sweeper=") for line in given)
    sys.argv.insert(1 + overrides_in(given).stop, "dry_run=true")  # the last word on it
    return (tune if is_search else train).main(HELP)


def _is_search(argument: str) -> bool:
    """Whether an argument is a search space, by its name or typed."""
    named = argument.startswith("search_space=") and argument not in ("search_space=", "search_space=null")
    return named or train.is_sweep(argument)


if __name__ == "__main__":
    sys.exit(main())
