"""Whether features computed in a cheaper way are good enough, asked of the user's own validation pictures."""

from __future__ import annotations

from typing import NamedTuple

from dogbreed.errors import ConfigError
from dogbreed.features.views import FeatureViews
from dogbreed.sweeps.ridge import fit_ridge

ALLOWED_LOSS = 0.005  # of accuracy: half a point
TRAIN_PICTURES = 2000  # enough to fit by, of a split that may be much larger


class Compared(NamedTuple):
    """Accuracy on val, in [0, 1], of the same probe on features computed with a setting, and without it."""

    without: float
    with_it: float


def check_setting(
    setting: str, train: tuple[FeatureViews, FeatureViews], val: tuple[FeatureViews, FeatureViews], num_classes: int
) -> Compared:
    """The accuracies that a linear probe reaches on val with and without a setting that changes the features.

    The probe is ridge regression in closed form, without chance. Its penalty is the best one without the setting on
    val and serves both, so that what is left of the choice speaks against the setting. Only clean views are read. One
    picture of val weighs 1 / N: with fewer than 200 of them a single one decides, with 2000 ten.

    Args:
        setting: the override: "features.precision=int8".
        train: the features of the same pictures without and with it; about `TRAIN_PICTURES`, of every class.
        val: the features of the whole split without and with it.
        num_classes: C.

    Raises:
        ConfigError: the setting costs more than `ALLOWED_LOSS`.
    """
    reference = fit_ridge(train[0], val[0], num_classes)
    changed = fit_ridge(train[1], val[1], num_classes, [reference.penalty])
    compared = Compared(reference.accuracy_on_val, changed.accuracy_on_val)
    # Accuracies are fractions of N; rounding must not decide at exactly half a point.
    if compared.without - compared.with_it > ALLOWED_LOSS + 1e-9:
        raise ConfigError(
            f"{setting}, with which a linear probe gets {compared.with_it:.2%} of val right, "
            f"and {compared.without:.2%} without",
            f"at most {100 * ALLOWED_LOSS:g} points less",
            f"leave {setting} out, or take another backbone",
        )
    return compared
