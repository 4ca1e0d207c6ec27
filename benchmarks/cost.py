"""`python -m benchmarks.cost RUN`: what a search costs on SageMaker, a job each, as one tuning job and as one fleet.

The prices are those of `python -m launch.plan ... sagemaker.measured_run=RUN`: RUN's own times, scaled to the instance,
and the price table. Nothing is sent, and nobody is asked.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from benchmarks.measuring import finish
from dogbreed.app import compose
from launch.pricing.assumptions import Assumptions
from launch.pricing.compare import tell
from launch.sending.costing import price_of, ways_of_search
from launch.settings import JobSettings, TunerSettings, make_settings


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    """Estimate, print and, if asked, write JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cost", description=(__doc__ or "").split("\n\n")[0])
    add = parser.add_argument
    add("run", type=Path, metavar="RUN", help="a run of the same config on this machine")
    add("--trials", type=int, default=20, metavar="T", help="default: 20")
    add("--instance", default="ml.g5.xlarge", metavar="TYPE", help="default: ml.g5.xlarge")
    add("--region", default="us-east-1", help="default: us-east-1")
    add("--json", type=Path, metavar="FILE", help="write the figures there too")
    options = parser.parse_args(arguments)
    chosen = [f"sagemaker.measured_run={options.run}", f"sagemaker.instance_type={options.instance}"]
    values: dict[str, Any] = OmegaConf.to_container(compose("launch", chosen).sagemaker)  # type: ignore[assignment]
    tuner = make_settings(TunerSettings, values.pop("tuner"), "sagemaker.tuner")
    settings = make_settings(JobSettings, values, "sagemaker")
    price = price_of(settings, options.region)
    if price is None:
        parser.error(f"no price of {options.instance} in {options.region} is known; python -m launch.prices refresh")
    ways = ways_of_search(settings, tuner, options.region, trials=options.trials)
    print(f"{options.trials} trials; {price.tell()}\n{tell(ways, Assumptions.load())}")
    told = {way.name: {"usd": [way.cost.usd.low, way.cost.usd.high]} for way in ways if way.cost.usd}
    asked = {"run": str(options.run), "instance_type": options.instance, "region": options.region}
    result = {**asked, "trials": options.trials, "price": price.tell(), "ways": told}
    finish(result, options.json)
    return result


if __name__ == "__main__":
    main()
