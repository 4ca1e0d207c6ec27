"""Which picture goes to which split: every class by the same shares, and what belongs together together."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping

from dogbreed.data.folder import SPLITS


def stratify(
    class_of: Mapping[str, str], groups: Collection[Collection[str]], shares: Mapping[str, float], seed: int
) -> dict[str, str]:
    """The split of each picture: no group is cut, and each class is as near its shares as its groups allow.

    Groups come first, the largest before the others, each to the split that lacks most of its classes; as long as
    the groups are few that is train, so that test holds different photographs. The pictures by themselves fill
    what is lacking then, by a rank that follows from the seed and a picture's own path: one that is added later
    moves as few others as possible. A class with too few pictures for all splits stays in train.

    Args:
        class_of: the class of each picture, by its path.
        groups: paths of pictures that must not be parted; no picture is in two.
        shares: of "val" and of "test", 0 for none, together below 1.
        seed: of the choice.
    """
    sizes = Counter(class_of.values())
    lacking = {(split, name): count for name in sizes for split, count in _wanted(sizes[name], shares).items()}
    split_of: dict[str, str] = {}
    known = [sorted(path for path in group if path in class_of) for group in groups]
    for group in sorted(known, key=lambda group: (-len(group), _rank(seed, "", group[0] if group else ""))):
        if len(group) < 2:
            continue
        counts = Counter(class_of[path] for path in group)
        split = max(SPLITS, key=lambda split: sum(counts[name] * lacking[split, name] for name in counts))
        split_of.update(dict.fromkeys(group, split))
        for name, count in counts.items():
            lacking[split, name] -= count
    alone: defaultdict[str, list[str]] = defaultdict(list)
    for path in class_of.keys() - split_of.keys():
        alone[class_of[path]].append(path)
    for name, paths in alone.items():
        rest = set(paths)
        for split in ("test", "val"):
            ranked = sorted(rest, key=lambda path: _rank(seed, split, path))
            taken = ranked[: max(0, lacking[split, name])]
            split_of.update(dict.fromkeys(taken, split))
            rest.difference_update(taken)
        split_of.update(dict.fromkeys(rest, "train"))
    return split_of


def _wanted(size: int, shares: Mapping[str, float]) -> dict[str, int]:
    """How many of the pictures of a class each split should have: one at least, if there are enough for all.

    >>> _wanted(10, {"val": 0.1, "test": 0.25})
    {'train': 7, 'val': 1, 'test': 2}
    """
    asked = {split: share for split, share in shares.items() if share > 0}
    enough = size > len(asked)
    taken = {split: max(1, round(size * asked[split])) if enough and split in asked else 0 for split in SPLITS[1:]}
    while enough and sum(taken.values()) >= size:  # something is left for train
        taken[max(taken, key=lambda split: taken[split])] -= 1
    return {"train": size - sum(taken.values()), **taken}


def _rank(seed: int, name: str, path: str) -> bytes:
    return hashlib.sha256(f"{seed}/{name}/{path}".encode("utf-8", "surrogateescape")).digest()
