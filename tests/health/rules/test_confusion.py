from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix, recall_score

from dogbreed.health.findings import Status
from dogbreed.health.rules.confusion import RECALL, TAKEN_FOR
from dogbreed.health.samples import Facts, Sample

NAMES = Facts(num_classes=3, class_names=("Akita", "Beagle", "Collie"))


def evaluation(*pairs, step=0):
    return Sample(step, "EVAL", pairs=pairs, ends_epoch=True)


def test_confusion__is_quiet_for_a_perfect_matrix(make):
    rule = make("Confusion")
    rule.see(evaluation((0, 0, 5), (1, 1, 2), (2, 2, 9)))
    assert rule.outcome(NAMES).status is Status.NO_ISSUES


def test_confusion__names_the_class_with_the_lowest_recall(make):
    rng = np.random.default_rng(0)
    true, predicted = rng.integers(0, 3, 200), rng.integers(0, 3, 200)
    matrix = confusion_matrix(true, predicted)
    rule = make("Confusion")
    rule.see(evaluation(*((i, j, int(matrix[i, j])) for i, j in np.ndindex(3, 3)), step=7))
    recalls = recall_score(true, predicted, average=None)
    finding = rule.outcome(NAMES).finding
    assert (finding.clause, finding.tensor, finding.step) == (RECALL, NAMES.class_names[recalls.argmin()], 7)
    assert finding.value == pytest.approx(recalls.min())


def test_confusion__names_a_class_taken_for_one_other(make):
    rule = make("Confusion", min_diag=0.5)
    rule.see(evaluation((0, 0, 8), (0, 2, 2), (1, 1, 10)))
    finding = rule.outcome(NAMES).finding
    assert (finding.clause, finding.value) == (TAKEN_FOR, pytest.approx(0.2))
    assert "20% are taken for Collie" in finding.meaning


def test_confusion__without_predictions_has_no_data(make):
    rule = make("Confusion")
    rule.see(Sample(0, "TRAIN", pairs=((0, 1, 9),)))
    assert rule.outcome(NAMES).reason == "no predictions of EVAL so far"


def test_confusion__does_not_judge_a_class_of_few_pictures(make):
    rule = make("Confusion", "default")
    rule.see(evaluation((0, 1, 6), (1, 1, 8)))
    outcome = rule.outcome(NAMES)
    assert (outcome.status, outcome.reason) == (Status.NOT_ENOUGH, "8 of 10 pictures of a class in val")


def test_confusion__does_not_apply_to_one_class(make):
    assert make("Confusion").outcome(Facts(num_classes=1)).status is Status.NOT_APPLICABLE


def test_confusion__is_that_of_the_newest_evaluation(make):
    rule = make("Confusion")
    rule.see(evaluation((0, 1, 9), (1, 1, 9)))
    before = rule.outcome(NAMES)
    rule.see(evaluation((0, 0, 9), (1, 1, 9), step=10))
    after = rule.outcome(NAMES)
    assert (before.status, after.status) == (Status.ISSUES, Status.NO_ISSUES)
    assert after.violations == 0


def test_confusion__joins_the_samples_of_one_evaluation(make):
    rule = make("Confusion")
    rule.see(Sample(5, "EVAL", pairs=((0, 0, 9),)))
    rule.see(Sample(5, "EVAL", pairs=((0, 1, 1),), ends_epoch=True))
    assert rule.outcome(NAMES).details["worst_pairs"] == [
        {"true": "Akita", "predicted": "Beagle", "pictures": 1, "of": 10, "share": 0.1}
    ]


def test_confusion__weighs_a_rare_class(make):
    rule = make("Confusion")
    rule.see(evaluation((1, 0, 9)))
    facts = Facts(
        settings={"class_weights": None}, class_names=NAMES.class_names, num_classes=3, train_counts=(50, 5, 50)
    )
    assert rule.outcome(facts).finding.remedy == ("class_weights=balanced",)
