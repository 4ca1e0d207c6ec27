"""`python -m launch.tune`: a search space as one tuning job; the best setting comes back, typed, with its artifact.

The work is done by Hydra's sweeper in launch/hydra_plugins/dogbreed_sagemaker, which `dogbreed.train -m
hydra/sweeper=sagemaker` uses as well: so that spaces may be typed here as for every multirun.
"""

from __future__ import annotations

import sys

from omegaconf import DictConfig

from dogbreed.app import run_app
from dogbreed.commands import ends_well

_SWEEPER = "hydra/sweeper=sagemaker"


def tune(config: DictConfig) -> None:
    """Search a space by one tuning job (search_space=NAME, or sweeps on the command line)."""
    raise AssertionError("the sweeper sends trials elsewhere")


@ends_well("nothing was started")
def main() -> None:
    """Run from the command line."""
    given = sys.argv[1:]
    if not {"-h", "--help", "--hydra-help", "-c", "--cfg", "-i", "--info"} & set(given):
        added = [] if {"-m", "--multirun"} & set(given) else ["-m"]
        sys.argv[1:] = [*added, _SWEEPER, *given]
    run_app("launch", tune)


if __name__ == "__main__":
    sys.exit(main())
