from __future__ import annotations

import itertools

import pytest

from dogbreed.health.findings import Finding, Outcome, Status
from dogbreed.health.ranking import CAUSES, rank
from dogbreed.health.rules.classes import MISPREDICTED, ONE_LABEL, UNEQUAL
from dogbreed.health.rules.tensors import IN_INPUTS, IN_LOSS
from dogbreed.health.rules.updates import LARGE, SMALL


def found(rule: str, clause: str = "some", step: int | None = 0) -> Outcome:
    return Outcome(rule, Status.ISSUES, "why", finding=Finding(clause, 1.0, 0.0, "why", step=step))


def told(*outcomes: Outcome) -> list[tuple[str, str | None]]:
    return [(outcome.rule, outcome.consequence_of) for outcome in rank(outcomes)]


def test_rank__findings_first_then_errors_then_the_rest():
    order = [Status.ISSUES, Status.ERROR, Status.NOT_ENOUGH, Status.NO_ISSUES, Status.NOT_APPLICABLE]
    outcomes = [found("Mine") if status is Status.ISSUES else Outcome("R", status, "") for status in reversed(order)]
    assert [outcome.status for outcome in rank(outcomes)] == order


def test_rank__of_nothing_is_nothing():
    assert rank([]) == []


@pytest.mark.parametrize(
    ("cause", "consequences"),
    [
        (found("WeightUpdateRatio", LARGE, 1), ["ExplodingTensor", "LossNotDecreasing", "Confusion", "DeadRelu"]),
        (found("UnchangedTensor"), ["LossNotDecreasing", "AllZero", "Overtraining", "Confusion"]),
        (found("DeadRelu"), ["VanishingGradient", "AllZero", "UnchangedTensor", "LossNotDecreasing"]),
        (found("CheckInputImages", step=None), ["LossNotDecreasing", "Confusion", "PoorWeightInitialization"]),
        (found("ClassImbalance", ONE_LABEL["EVAL"]), ["Confusion", "Overfit", "Overtraining"]),
        (found("Overfit"), ["Overtraining", "Confusion", "VanishingGradient"]),
        (found("ExplodingTensor", IN_INPUTS), ["Overfit", "Confusion", "DeadRelu", "UnchangedTensor"]),
        (found("Dataloader"), ["LowGPUUtilization", "StepOutlier", "CPUBottleneck"]),
    ],
    ids=lambda value: value.rule if isinstance(value, Outcome) else "",
)
def test_rank__a_cause_comes_first_and_explains(cause, consequences):
    others = [found(rule, IN_LOSS if rule == "ExplodingTensor" else "some", 50) for rule in consequences]
    first, *rest = told(*others, cause)
    assert first == (cause.rule, None)
    assert sorted(rest) == sorted((rule, cause.rule) for rule in consequences)


def test_rank__names_the_root_of_a_chain():
    chain = told(found("Confusion"), found("LossNotDecreasing"), found("VanishingGradient"), found("DeadRelu"))
    assert chain[0] == ("DeadRelu", None)
    assert {cause for _, cause in chain[1:]} == {"DeadRelu"}


@pytest.mark.parametrize(("exploded", "updated"), [(5, 9), (9, 5)])
def test_rank__of_two_that_explain_each_other_the_earlier_does(exploded, updated):
    pair = found("ExplodingTensor", IN_LOSS, exploded), found("WeightUpdateRatio", LARGE, updated)
    first, second = ("ExplodingTensor", "WeightUpdateRatio") if exploded < updated else (pair[1].rule, pair[0].rule)
    assert told(*pair) == [(first, None), (second, first)]


def test_rank__nan_explains_nothing_that_came_before_it():
    assert told(found("ExplodingTensor", IN_LOSS, 50), found("DeadRelu", step=3)) == [
        ("ExplodingTensor", None),
        ("DeadRelu", None),
    ]


@pytest.mark.parametrize(
    ("clause", "cause"), [(SMALL, "UnchangedTensor"), (LARGE, None)], ids=["small updates", "large updates"]
)
def test_rank__looks_at_clauses(clause, cause):
    assert dict(told(found("UnchangedTensor"), found("WeightUpdateRatio", clause)))["WeightUpdateRatio"] == cause


@pytest.mark.parametrize(("clause", "cause"), [(MISPREDICTED, "UnchangedTensor"), (UNEQUAL["TRAIN"], None)])
def test_rank__only_mispredictions_follow_from_learning(clause, cause):
    assert dict(told(found("UnchangedTensor"), found("ClassImbalance", clause)))["ClassImbalance"] == cause


def test_rank__the_machine_comes_behind_learning_and_the_users_own_between():
    outcomes = [found("Dataloader"), found("Mine"), found("Confusion"), found("Overfit")]
    assert [rule for rule, _ in told(*outcomes)] == ["Overfit", "Confusion", "Mine", "Dataloader"]


def test_rank__keeps_every_outcome_whatever_was_found():
    rules = sorted({entry.rule for entry in CAUSES} | {rule for entry in CAUSES for rule in entry.explains})
    for chosen in itertools.combinations(rules, 3):
        outcomes = [found(rule, clause) for rule, clause in zip(chosen, (LARGE, IN_LOSS, "some"), strict=True)]
        ranked = rank(outcomes)
        assert sorted(outcome.rule for outcome in ranked) == sorted(chosen)
        assert ranked[0].consequence_of is None
