"""What the tensors of a run are called, as far as it tells whether an expression means the backbone."""

from __future__ import annotations

import re

_HEAD_NAMES = (
    "CrossEntropyLoss_input_0",
    "CrossEntropyLoss_output_0",
    "Network_output_0",
    "Network_head.linear.weight",
    "Network_head.linear.bias",
    "Network_backbone.network.conv1.weight",  # a parameter is there without a picture
    "gradient/Network_head.linear.weight",
    "gradient/Network_head.linear.bias",
    *(f"head{part}_{end}_0" for part in ("", ".linear", ".layers", ".layers.0") for end in ("input", "output")),
)
_BACKBONE_NAMES = tuple(
    f"backbone{part}_{end}_0"
    for part in ("", ".network", ".network.conv1", ".network.relu", ".network.tanh", ".network.sigmoid")
    for end in ("input", "output")
)


def means_backbone(regex: str) -> bool:
    """Whether an expression takes what the backbone computes, or can match nothing of the head or the loss.

    >>> means_backbone("relu_output"), means_backbone("CrossEntropyLoss")
    (True, False)
    """
    if any(re.search(regex, name) for name in _BACKBONE_NAMES):
        return True
    return not any(re.search(regex, name) for name in _HEAD_NAMES)
