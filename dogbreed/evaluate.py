"""`python -m dogbreed.evaluate artifact=DIR data.root=DIR`: how well an artifact does, see `dogbreed.evaluating`."""

from __future__ import annotations

import sys

from omegaconf import DictConfig

from dogbreed.app import run_app
from dogbreed.checking import check_paths
from dogbreed.commands import ends_well
from dogbreed.help import Help

HELP = Help(
    command="python -m dogbreed.evaluate",
    config="evaluate",
    text="How well an artifact does on a split of a folder of photographs: metrics, a table per class, the pairs that "
    "it confuses, and a picture of them.",
    examples={
        "artifact=RUN/artifact data.root=PHOTOS": "on PHOTOS/test",
        "artifact=RUN/artifact data.root=PHOTOS split=val": "on PHOTOS/valid or PHOTOS/val; the folder needs no other",
        "artifact=RUN/artifact data.root=PHOTOS data.on_error=skip hydra.run.dir=runs/judged": "passing over broken "
        "files, into a folder of that name",
    },
    see="python -m dogbreed.predict --help for the answer to each picture; dogbreed.data for what is wrong with them.",
    shown=("data",),
)


def evaluate(config: DictConfig) -> dict[str, float]:
    """The metrics of the artifact on `config.split`, written with a per-class table and the confused pairs."""
    check_paths(config)
    from dogbreed import evaluating  # here: what can be told without torch is told before it is loaded

    return evaluating.evaluate(config)


@ends_well("run it again")
def main() -> None:
    """Run from the command line."""
    run_app(HELP, evaluate)


if __name__ == "__main__":
    sys.exit(main())
