"""One line an epoch for machines. No torch: a launcher reads such lines elsewhere."""

from __future__ import annotations

#: Reads one metric off an epoch line: EPOCH_METRIC_PATTERN.format(name="val/acc"). A launcher hands it to
#: whoever follows the log of a run.
EPOCH_METRIC_PATTERN = r"(?:^|\s){name}=([-+]?(?:\d+\.?\d*(?:[eE][-+]?\d+)?|inf|nan))"

#: What a run's last line of metrics begins with: val/* and test/* of its best epoch. It is printed once, at the end.
BEST_EPOCH = "best epoch: "


def epoch_line(row: dict[str, float]) -> str:
    """The metrics of an epoch as `name=value` pairs, floats with six significant digits.

    >>> epoch_line({"epoch": 3, "val/loss": 0.75, "val/acc": 0.8125})
    'epoch=3 val/loss=0.750000 val/acc=0.812500'
    """
    return " ".join(
        f"{name}={value}" if isinstance(value, int) else f"{name}={value:#.6g}" for name, value in row.items()
    )
