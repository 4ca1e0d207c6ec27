"""Whether an export answers as torch does, asked of real pictures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

from dogbreed.data.images import decode_image
from dogbreed.errors import ConfigError, ImageError
from dogbreed.exports.formats import Forward
from dogbreed.serving.artifact import Artifact

# Of the largest logit. The same sums in another order differ by 1e-6 of it; at 1e-4 a logit of 20 moves by 0.002, and
# a probability by at most 0.0005.
ALLOWED_DIFFERENCE = 1e-4
ALLOWED_LOSS = 0.01  # of accuracy, by int8: a point

_BATCH = 16


@dataclass(frozen=True)
class Judged:
    """An export beside torch, on the same pictures.

    Attributes:
        pictures: that both answered for.
        unreadable: that were left out.
        largest_difference: between two logits of the same picture and class.
        largest_logit: of torch's, in absolute value: what a difference is measured by.
        agreement: share of the pictures that get the same label from both, in [0, 1].
        labelled: pictures whose folder is named after a class.
        accuracy_torch: share of the labelled pictures that torch gets right; None where there are none.
        accuracy: the same of the export.
    """

    pictures: int
    unreadable: int
    largest_difference: float
    largest_logit: float
    agreement: float
    labelled: int
    accuracy_torch: float | None
    accuracy: float | None

    @property
    def share(self) -> float:
        """The largest difference, of the largest logit."""
        return self.largest_difference / max(self.largest_logit, 1e-30)


def judge(artifact: Artifact, forward: Forward, paths: Sequence[str]) -> Judged:
    """How `forward` compares with the artifact's own network on these pictures; a progress bar says how far it is.

    Raises:
        ConfigError: none of the pictures can be read.
    """
    of_torch: list[Tensor] = []
    of_export: list[Tensor] = []
    targets: list[int] = []
    index_of = {name: index for index, name in enumerate(artifact.class_names)}
    for views, wanted in _batches(artifact, paths, index_of):
        with torch.no_grad():
            of_torch.append(artifact.head(artifact.backbone(views)))
        of_export.append(forward(views))
        targets += wanted
    if not targets:
        such = f", such as {paths[0]}" if paths else ""
        got = f"no picture that can be read of {len(paths)}{such}"
        raise ConfigError(got, "real pictures to compare on", "name another --pictures")
    ours, theirs, target = torch.cat(of_torch), torch.cat(of_export), torch.tensor(targets)
    labels, others, known = ours.argmax(dim=1), theirs.argmax(dim=1), target >= 0
    right = [_share(found[known].eq(target[known])) if known.any() else None for found in (labels, others)]
    return Judged(
        pictures=len(targets),
        unreadable=len(paths) - len(targets),
        largest_difference=float((ours - theirs).abs().max()),
        largest_logit=float(ours.abs().max()),
        agreement=_share(labels.eq(others)),
        labelled=int(known.sum()),
        accuracy_torch=right[0],
        accuracy=right[1],
    )


def refuse_worse(judged: Judged, precision: str) -> None:
    """Let an export pass that is as good as torch.

    In fp32 no logit may be further off than `ALLOWED_DIFFERENCE`: labels then differ only where torch's own two best
    logits are nearer than twice that. In int8 at most `ALLOWED_LOSS` of the accuracy may be lost. Where no labels are
    known, as many labels must agree: what is lost cannot be more than what differs.

    Raises:
        ConfigError: it is worse, with the numbers.
    """
    of = judged.pictures
    if precision == "fp32":
        good = judged.share <= ALLOWED_DIFFERENCE  # never true of a NaN
        got = f"a logit off by {judged.share:.1e} of the largest, {judged.agreement:.2%} of the labels alike"
        allowed, hint = f"{ALLOWED_DIFFERENCE:g} at most", "another --format: this one does not compute what torch does"
    else:
        allowed, hint = f"at most {100 * ALLOWED_LOSS:g} point lost", "--precision fp32, or other --calibrate pictures"
        if judged.accuracy is None or judged.accuracy_torch is None:
            good = judged.agreement >= 1 - ALLOWED_LOSS - 1e-9  # fractions of N, rounded; so below
            got = f"{precision}, which gives {judged.agreement:.2%} the label that torch gives them"
        else:
            of = judged.labelled
            good = judged.accuracy_torch - judged.accuracy <= ALLOWED_LOSS + 1e-9
            got = f"{precision}, which gets {judged.accuracy:.2%} right, and torch {judged.accuracy_torch:.2%}"
        if of * ALLOWED_LOSS < 1 - 1e-9:
            good, allowed = False, f"{1 / ALLOWED_LOSS:.0f} pictures or more, or one alone weighs more than may be lost"
            hint = "name more --pictures, and leave out --limit"
        good = good and judged.largest_difference < float("inf")
    if not good:
        raise ConfigError(f"{got} (of {of:,} pictures)", allowed, hint)


def read_views(artifact: Artifact, paths: Sequence[str]) -> Tensor:
    """The clean views uint8 (N, 3, S, S) of these pictures, those that cannot be read left out."""
    views = [view for _, view in _views(artifact, paths, "reading pictures to calibrate on")]
    return torch.stack(views) if views else torch.empty(0, 3, 0, 0, dtype=torch.uint8)


def spread(paths: Sequence[str], limit: int | None) -> list[str]:
    """At most `limit` of the paths, evenly over their order, and so over their folders.

    >>> spread(["a/1", "a/2", "b/1", "b/2"], 2)
    ['a/1', 'b/1']
    """
    if limit is None or limit >= len(paths):
        return list(paths)
    return [paths[place * len(paths) // limit] for place in range(limit)]


def _share(true: Tensor) -> float:
    return int(true.sum()) / len(true)


def _batches(artifact: Artifact, paths: Sequence[str], index_of: dict[str, int]) -> Iterator[tuple[Tensor, list[int]]]:
    views: list[Tensor] = []
    labels: list[int] = []
    for path, view in _views(artifact, paths, "comparing with torch"):
        views.append(view)
        labels.append(index_of.get(Path(path).absolute().parent.name, -1))
        if len(views) == _BATCH:
            yield torch.stack(views), labels
            views, labels = [], []
    if views:
        yield torch.stack(views), labels


def _views(artifact: Artifact, paths: Sequence[str], doing: str) -> Iterator[tuple[str, Tensor]]:
    for path in tqdm(paths, desc=doing, unit="picture", disable=None):
        try:
            yield path, artifact.backbone.transform.clean_view(decode_image(path))
        except ImageError:  # counted by who asked
            continue
