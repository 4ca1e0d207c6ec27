"""Whether int8 features are good enough, asked of the user's own validation pictures."""

from __future__ import annotations

from typing import NamedTuple

from dogbreed.errors import ConfigError
from dogbreed.features.views import FeatureViews
from dogbreed.sweeps.ridge import fit_ridge

ALLOWED_LOSS = 0.005  # of accuracy: half a point
TRAIN_PICTURES = 2000  # enough to fit by, of a split that may be much larger


class Compared(NamedTuple):
    """Accuracy on val, in [0, 1], of the same probe on features of either precision."""

    fp32: float
    int8: float


def check_int8(
    train: tuple[FeatureViews, FeatureViews], val: tuple[FeatureViews, FeatureViews], num_classes: int
) -> Compared:
    """The accuracies that a linear probe reaches on val with fp32 and with int8 features.

    The probe is ridge regression in closed form, without chance. Its penalty is the best one for fp32 on val and
    serves both, so that what is left of the choice favours fp32. Only clean views are read. One picture of val
    weighs 1 / N: with fewer than 200 of them a single one decides, with 2000 ten.

    Args:
        train: the features of the same pictures in fp32 and in int8; about `TRAIN_PICTURES`, of every class.
        val: the features of the whole split in fp32 and in int8.
        num_classes: C.

    Raises:
        ConfigError: int8 costs more than `ALLOWED_LOSS`.
    """
    reference = fit_ridge(train[0], val[0], num_classes)
    quantised = fit_ridge(train[1], val[1], num_classes, [reference.penalty])
    compared = Compared(reference.accuracy_on_val, quantised.accuracy_on_val)
    # Accuracies are fractions of N; rounding must not decide at exactly half a point.
    if compared.fp32 - compared.int8 > ALLOWED_LOSS + 1e-9:
        raise ConfigError(
            f"features.precision=int8, with which a linear probe gets {compared.int8:.2%} of val right, "
            f"and {compared.fp32:.2%} with fp32",
            f"at most {100 * ALLOWED_LOSS:g} points less",
            "features.precision=fp32, or another backbone",
        )
    return compared
