"""A tuning job: its trials one after the other, by the requested strategy."""

from __future__ import annotations

import json
import re
import time
from dataclasses import replace
from typing import Any

import psutil
import pytest

from dogbreed.errors import ConfigError
from dogbreed.sweeps.proposals import Proposals
from launch.errors import LaunchError
from launch.process.proposing import SAMPLERS, space_of, texts_of

RANGES = {
    "ContinuousParameterRanges": [
        {"Name": "rate", "MinValue": "0.0001", "MaxValue": "1.0", "ScalingType": "Logarithmic"},
    ],
    "IntegerParameterRanges": [{"Name": "width", "MinValue": "1", "MaxValue": "9", "ScalingType": "Linear"}],
    "CategoricalParameterRanges": [{"Name": "head", "Values": ['"linear"', '"mlp"', "16"]}],
}
CHOICES = {"CategoricalParameterRanges": [{"Name": "head", "Values": ['"linear"', "16"]}]}
#: Best at rate=0.01 and width=5.
QUADRATIC = """
import math
def height(told):
    return 1 - (math.log10(float(told["rate"])) + 2) ** 2 / 10 - (int(told["width"]) - 5) ** 2 / 100
say(f"val/acc={height(told)!r}")
"""


def height(tuned: dict[str, str]) -> float:
    place: dict[str, Any] = {"told": tuned, "say": lambda text: None}
    exec(QUADRATIC, place)
    value: float = place["height"](tuned)
    return value


@pytest.mark.parametrize(
    "strategy", ["Bayesian", *(pytest.param(name, marks=pytest.mark.slow) for name in ("Random", "Hyperband"))]
)
def test_tuning__tries_what_the_library_proposes(bench, strategy: str) -> None:
    tuner = {"strategy": strategy, "min_epochs": 1, "seed": 3}
    done = bench.tune(QUADRATIC, RANGES, tuner=tuner, epochs=9)
    assert done["HyperParameterTuningJobStatus"] == "Completed", done
    proposals = Proposals(space_of(RANGES), SAMPLERS[strategy], seed=3, direction="max")
    expected = []
    for _ in range(3):
        (setting,) = proposals.ask(1)
        expected.append(texts_of(setting))
        proposals.tell([height(expected[-1])])
    trials = bench.backend.list_trials("tuning")
    assert [trial["TunedHyperParameters"] for trial in trials] == expected
    reached = [trial["FinalHyperParameterTuningJobObjectiveMetric"]["Value"] for trial in trials]
    assert reached == [height(tuned) for tuned in expected]
    best = done["BestTrainingJob"]["FinalHyperParameterTuningJobObjectiveMetric"]["Value"]
    assert best == max(reached)


#: Two heads end well, one is no number, one fails.
HEADS = {"CategoricalParameterRanges": [{"Name": "head", "Values": ['"linear"', "16", '"nan"', '"fails"']}]}
REACH = """
say(json.dumps([told, sys.argv, os.getcwd() == str(base / "code")]))
if told["head"] == '"fails"':
    sys.exit(1)
say("val/acc=" + {"16": "0.5", '"linear"': "0.75", '"nan"': "nan"}[told["head"]])
"""


@pytest.fixture(scope="module")
def grid(shared_bench) -> dict[str, Any]:
    """The description of a tuning job over HEADS."""
    more = {"hyperparameters": {"seed": "1", "data": '"a b"'}}
    return shared_bench.tune(REACH, HEADS, tuner={"strategy": "Grid"}, direction="min", **more)


@pytest.fixture
def trials(grid, shared_bench) -> dict[str, dict[str, Any]]:
    """Its trials by what was chosen for them."""
    return {trial["TunedHyperParameters"]["head"]: trial for trial in shared_bench.backend.list_trials("tuning")}


def test_tuning__of_a_grid_tries_all_once(grid, trials) -> None:
    assert grid["HyperParameterTuningJobStatus"] == "Completed"
    assert sorted(trials) == ['"fails"', '"linear"', '"nan"', "16"]
    assert grid["HyperParameterTuningJobConfig"]["ResourceLimits"] == {"MaxParallelTrainingJobs": 1}


def test_tuning__knows_the_best_of_those_that_reached_something(grid, trials) -> None:
    assert grid["BestTrainingJob"] == trials["16"]
    assert trials["16"]["FinalHyperParameterTuningJobObjectiveMetric"] == {"MetricName": "val/acc", "Value": 0.5}
    assert grid["ObjectiveStatusCounters"] == {"Succeeded": 2, "Pending": 0, "Failed": 2}


def test_tuning__goes_on_after_a_failed_trial(grid, trials) -> None:
    assert trials['"fails"']["FailureReason"] == "AlgorithmError: , exit code: 1"
    counters = grid["TrainingJobStatusCounters"]
    assert (counters["Completed"], counters["NonRetryableError"]) == (3, 1)


def test_trial__is_started_as_awss_toolkit_does(shared_bench, trials) -> None:
    name = trials['"linear"']["TrainingJobName"]
    assert re.fullmatch(r"tuning-00[1-4]-[0-9a-f]{8}", name)
    told, (file, *arguments), at_home = json.loads(shared_bench.log(name)[0])
    assert (file, at_home) == ("launch/entry.py", True)
    assert (told["seed"], told["head"], told["_tuning_objective_metric"]) == ("1", '"linear"', "val/acc")
    assert arguments == ["--_tuning_objective_metric", "val/acc", "--data", "a b", "--head", "linear", "--seed", "1"]
    assert shared_bench.look(name)["Tags"] == [{"Key": "dogbreed:launch", "Value": "one"}]


@pytest.mark.slow
def test_trial__without_a_network_has_its_code_from_the_channel(bench) -> None:
    isolated = replace(bench, settings=replace(bench.settings, network_isolation=True))
    isolated.tune("say('val/acc=1')", CHOICES, tuner={"n_trials": 1})
    (trial,) = bench.backend.list_trials("tuning")
    assert trial["TrainingJobStatus"] == "Completed", trial


@pytest.mark.slow
def test_tuning__without_any_objective_has_failed(bench) -> None:
    done = bench.tune("say('val/acc=nan')", CHOICES, tuner={"n_trials": 1})
    assert done["HyperParameterTuningJobStatus"] == "Failed"
    assert "no training job" in done["FailureReason"]
    assert "BestTrainingJob" not in done


@pytest.mark.slow
def test_tuning__stops_with_its_trial(bench) -> None:
    bench.backend.create_tuning_job(bench.tuning_request("time.sleep(60)", CHOICES))
    while not bench.backend.list_trials("tuning"):
        time.sleep(0.05)
    bench.backend.stop_tuning_job("tuning")
    done = bench.wait_for_tuning()
    assert done["HyperParameterTuningJobStatus"] == "Stopped"
    assert [trial["TrainingJobStatus"] for trial in bench.backend.list_trials("tuning")] == ["Stopped"]
    bench.backend.stop_tuning_job("tuning")


#: Prints four epochs, then waits to be stopped if its value is the lower one.
SLOW = """
value = {'16': 0.2, '"linear"': 0.8}[told["head"]]
for epoch in range(4):
    say(f"epoch={epoch} val/acc={value}")
time.sleep(60 if value == 0.2 and told.get("wait") else 0)
"""


def test_early_stopping__ends_a_trial_below_the_median(bench) -> None:
    tuner = {"strategy": "Grid", "early_stopping": True}
    done = bench.tune(SLOW, CHOICES, tuner=tuner, hyperparameters={"wait": "true"})
    trials = bench.backend.list_trials("tuning")
    ended = {trial["TunedHyperParameters"]["head"]: trial["TrainingJobStatus"] for trial in trials}
    assert ended == {'"linear"': "Completed", "16": "Stopped"}
    assert trials[1]["FinalHyperParameterTuningJobObjectiveMetric"]["Value"] == 0.2
    assert done["TrainingJobStatusCounters"]["Stopped"] == 1


@pytest.mark.slow
def test_hyperband__stops_who_is_behind_at_a_rung(bench) -> None:
    program = """
value = float(told["value"])
say(f"val/acc={value}")
say(f"val/acc={value}")
time.sleep(60 if value == 0.0 else 0)
"""
    request = bench.tuning_request(
        program,
        {"IntegerParameterRanges": [{"Name": "value", "MinValue": "0", "MaxValue": "2"}]},
        tuner={"strategy": "Hyperband", "n_trials": 3, "min_epochs": 1, "seed": 4},
        epochs=2,
    )
    bench.backend.create_tuning_job(request)
    bench.wait_for_tuning()
    trials = bench.backend.list_trials("tuning")
    ended = [(trial["TunedHyperParameters"]["value"], trial["TrainingJobStatus"]) for trial in trials]
    assert ended[2] == ("0", "Stopped"), "a seed that proposes the worst last, when there is something to compare"
    assert [status for _, status in ended[:2]] == ["Completed", "Completed"]


@pytest.mark.slow
def test_tuner__that_is_killed_leaves_a_failed_tuning_job_and_stops_its_trial(bench) -> None:
    bench.backend.create_tuning_job(bench.tuning_request("time.sleep(60)", CHOICES))
    while not bench.backend.list_trials("tuning"):
        time.sleep(0.05)
    folder = str(bench.directory / "tuning/tuning")
    running = psutil.process_iter(["cmdline"])
    (tuner,) = [one for one in running if (one.info["cmdline"] or [])[-1:] == [folder]]
    tuner.kill()
    done = bench.wait_for_tuning()
    assert done["HyperParameterTuningJobStatus"] == "Failed"
    assert "is gone" in done["FailureReason"]
    (trial,) = bench.backend.list_trials("tuning")
    assert bench.wait(trial["TrainingJobName"])["TrainingJobStatus"] == "Stopped"


@pytest.mark.slow
def test_warm_start__learns_from_earlier_trials(bench) -> None:
    first = bench.tune(QUADRATIC, RANGES, "first", tuner={"n_trials": 2})
    bench.tune(QUADRATIC, RANGES, "second", tuner={"n_trials": 1, "warm_start_from": ["first"]})
    proposals = Proposals(space_of(RANGES), "tpe", seed=0, direction="max")
    parsed = {"rate": float, "width": int, "head": str}
    for trial in bench.backend.list_trials("first"):
        tuned = trial["TunedHyperParameters"]
        proposals.learn({key: parsed[key](text) for key, text in tuned.items()}, height(tuned))
    (expected,) = proposals.ask(1)
    (trial,) = bench.backend.list_trials("second")
    assert trial["TunedHyperParameters"] == texts_of(expected)
    assert first["HyperParameterTuningJobStatus"] == "Completed"


def test_create__refuses_what_cannot_be(bench) -> None:
    request = bench.tuning_request(QUADRATIC, RANGES, tuner={"warm_start_from": ["nobody"]})
    with pytest.raises(LaunchError, match="there is no job nobody"):
        bench.backend.create_tuning_job(request)
    with pytest.raises(ConfigError, match="in a grid"):
        bench.backend.create_tuning_job(bench.tuning_request(QUADRATIC, RANGES, tuner={"strategy": "Grid"}))
    assert bench.backend.describe_tuning_job("tuning") is None
