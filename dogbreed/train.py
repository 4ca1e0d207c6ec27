"""`python -m dogbreed.train`: read the arguments, compose the config, and train by it, see `dogbreed.fitting`."""

from __future__ import annotations

import sys

from omegaconf import DictConfig

from dogbreed.app import run_app
from dogbreed.checking import check_settings, make_rules
from dogbreed.commands import ends_well
from dogbreed.help import Help

HELP = Help(
    command="python -m dogbreed.train",
    config="train",
    text="Train a head on a frozen ImageNet backbone with folders of photographs, test its best epoch once, and save "
    "it as an artifact, with a report of how it went.",
    examples={
        "experiment=quickstart": "the whole way on drawn pictures, in a minute, with nothing to download",
        "data=folder data.root=PHOTOS": "your photographs: train/, valid/ and test/, with a folder per class in each",
        "data=folder data.root=PHOTOS data.val_fraction=0.1 data.test_fraction=0.1": "train/ alone, divided",
        "experiment=quickstart hydra.run.dir=runs/mine resume=true": "in a folder of that name; where a run in it was "
        "stopped, from there on",
        "-m hydra/sweeper=fleet search_space=lr_batch experiment=quickstart": "a sweep: 20 heads side by side; the "
        "best is trained again and tested",
    },
    see="python -m dogbreed.data --help for the photographs; dogbreed.evaluate, predict, serve, report and health for "
    "what a run leaves; launch.train for the same on SageMaker.",
    sweeps=True,
)


def train(config: DictConfig) -> float:
    """Train a head on a frozen backbone; the best value of `config.monitor` on val."""
    check_settings(config)
    rules = make_rules(config)
    from dogbreed.fitting import fit  # here: what can be told without torch is told before it is loaded

    return fit(config, rules)


@ends_well("run it again")
def main() -> None:
    """Run from the command line."""
    run_app(HELP, train)


if __name__ == "__main__":
    sys.exit(main())
