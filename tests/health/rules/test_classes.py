from __future__ import annotations

import math
from dataclasses import replace

import pytest

from dogbreed.health.findings import Status
from dogbreed.health.rules.classes import MISPREDICTED, MISSING, ONE_LABEL, UNEQUAL
from dogbreed.health.samples import Facts, Sample

NAMES = Facts(num_classes=2, class_names=("Akita", "Beagle"))


def labels(*counts, mode="TRAIN", step=0, ends=False):
    """Pictures of each class, all recognised."""
    pairs = tuple((index, index, count) for index, count in enumerate(counts))
    return Sample(step, mode, pairs=pairs, ends_epoch=ends)


def test_imbalance__of_990_to_10_is_found(make):
    rule = make("ClassImbalance")
    rule.see(labels(990, 10))
    finding = rule.outcome(NAMES).finding
    assert (finding.clause, finding.value, finding.tensor) == (UNEQUAL["TRAIN"], 99, "Beagle")


def test_imbalance__of_910_to_91_is_quiet(make):
    rule = make("ClassImbalance")
    rule.see(labels(910, 91))
    assert rule.outcome(NAMES).status is Status.NO_ISSUES


def test_imbalance__needs_its_pictures(make):
    rule = make("ClassImbalance")
    rule.see(labels(3, 0))
    assert rule.outcome(NAMES).reason == "3 of 500 pictures"


def test_imbalance__does_not_apply_to_one_class(make):
    assert make("ClassImbalance").outcome(Facts(num_classes=1)).status is Status.NOT_APPLICABLE


def test_imbalance__gathers_pictures_over_samples(make):
    rule = make("ClassImbalance")
    for step in range(10):
        rule.see(labels(49, 1, step=step))
    assert rule.outcome(NAMES).finding.value == 49


@pytest.mark.parametrize(("classes", "needed"), [(10, 500), (133, 6650)])
def test_imbalance__may_ask_for_more_pictures_of_more_classes(make, classes, needed):
    outcome = make("ClassImbalance", scale_samples=True).outcome(Facts(num_classes=classes))
    assert outcome.reason == f"0 of {needed} pictures"


def test_imbalance__names_a_class_that_train_lacks_before_the_first_step(make):
    facts = Facts(num_classes=3, class_names=("Akita", "Beagle", "Collie"), train_counts=(9, 0, 9))
    outcome = make("ClassImbalance").outcome(facts)
    assert (outcome.finding.clause, outcome.finding.step) == (MISSING["TRAIN"], 0)
    assert outcome.finding.value == math.inf
    assert outcome.finding.tensor == "Beagle"
    assert "Beagle" in outcome.reason


def test_imbalance__names_train_before_val(make):
    rule = make("ClassImbalance")
    rule.see(labels(1000, 0, mode="EVAL"))
    outcome = rule.outcome(Facts(num_classes=2, train_counts=(9, 0)))
    assert outcome.finding.mode == "TRAIN"
    assert outcome.violations == 2


def test_imbalance__names_equal_labels_in_val(make):
    rule = make("ClassImbalance", "default")
    for step in (10, 20):
        rule.see(Sample(step, "EVAL", pairs=((0, 0, 10), (0, 1, 6)), ends_epoch=True))
    finding = rule.outcome(Facts(num_classes=2, class_names=("Akita", "Beagle"), train_counts=(9, 9))).finding
    assert (finding.clause, finding.tensor) == (ONE_LABEL["EVAL"], "Akita")
    assert "All 16 labels" in finding.meaning


def test_imbalance__knows_the_classes_of_somebody_elses_job_by_its_predictions(make):
    rule = make("ClassImbalance")
    rule.see(Sample(0, "EVAL", pairs=((0, 0, 400), (0, 1, 200))))
    assert rule.outcome(Facts()).finding.clause == ONE_LABEL["EVAL"]


def test_imbalance__of_a_natural_data_set_is_quiet_by_default(make):
    rule = make("ClassImbalance", "default")
    rule.see(labels(8, 4, mode="EVAL", ends=True))
    assert rule.outcome(Facts(num_classes=2, train_counts=(77, 26))).status is Status.NO_ISSUES


def test_misprediction__is_that_of_the_newest_evaluation(make):
    rule = make("ClassImbalance")
    untrained = Sample(0, "EVAL", pairs=((0, 1, 300), (1, 1, 300)), ends_epoch=True)
    trained = Sample(50, "EVAL", pairs=((0, 0, 300), (1, 1, 300)), ends_epoch=True)
    rule.see(untrained)
    before = rule.outcome(NAMES)
    rule.see(trained)
    assert (before.finding.clause, before.finding.tensor) == (MISPREDICTED, "Akita")
    assert rule.outcome(NAMES).status is Status.NO_ISSUES


def test_misprediction__in_train_is_no_matter(make):
    rule = make("ClassImbalance")
    rule.see(Sample(0, "TRAIN", pairs=((0, 1, 300), (1, 0, 300))))
    assert rule.outcome(NAMES).status is Status.NO_ISSUES


def test_imbalance__remedy_weighs_the_classes_unless_the_run_does(make):
    facts = Facts(settings={"class_weights": None}, num_classes=2, train_counts=(99, 1))
    equal = make("ClassImbalance").outcome(facts).finding
    balanced = make("ClassImbalance").outcome(replace(facts, settings={"class_weights": "balanced"})).finding
    assert equal.remedy == ("class_weights=balanced",)
    assert (balanced.remedy, bool(balanced.advice)) == ((), True)


def test_imbalance__details_count_every_class(make):
    details = make("ClassImbalance").outcome(Facts(num_classes=2, class_names=("A", "B"), train_counts=(3, 4))).details
    assert details == {"train": {"A": 3, "B": 4}}
