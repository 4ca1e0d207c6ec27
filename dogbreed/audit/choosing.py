"""Which files a data set is better without: of pictures that are one, which stays."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from dogbreed.audit.duplicates import Pair
from dogbreed.audit.findings import KINDS, Finding
from dogbreed.audit.looking import Look
from dogbreed.data.exclusions import Exclusion

#: The kinds that are about two pictures, of which one may stay; all others are about one.
PAIR_KINDS = ("duplicate", "duplicate_leak", "duplicate_label", "near_duplicate", "near_leak", "near_label")

_KEPT_FIRST = {"test": 0, "val": 1, "train": 2}


def kind_of(pair: Pair, looks: Sequence[Look]) -> str:
    """The key in `KINDS` for two pictures that are one: that they are in two splits is worse than in two classes."""
    first, second = looks[pair.first], looks[pair.second]
    if first.split != second.split:
        return "duplicate_leak" if pair.exact else "near_leak"
    if first.class_name != second.class_name:
        return "duplicate_label" if pair.exact else "near_label"
    return "duplicate" if pair.exact else "near_duplicate"


def choose_exclusions(looks: Sequence[Look], pairs: Sequence[Pair], findings: Sequence[Finding]) -> list[Exclusion]:
    """The files to leave out, in the order of their paths: no two of those that stay are one picture.

    Files with a fault of their own go. Where a photograph stands in two classes of a split, both go with all files
    that are equal to them: nobody knows which class is right. The others are asked in turn, those of test first,
    then of val, then of train, the largest first: each stays unless it is the same as one that stays.

    Args:
        looks: at the pictures.
        pairs: of pictures that are one, with indices into `looks`.
        findings: faults; those about pairs are left to `pairs`.
    """
    reasons = {
        path: KINDS[finding.kind].meaning
        for finding in findings
        if KINDS[finding.kind].excludes and finding.kind not in PAIR_KINDS
        for path in finding.paths
    }
    usable = [index for index in range(len(looks)) if looks[index].path not in reasons]
    leader = {pair.second: pair.first for pair in pairs if pair.exact}
    near = _near_groups(pairs, leader)
    disputed = _disputed(looks, usable, leader, near)
    stays: dict[int, int] = {}  # by the leader of each group of equal files, the one of them that stays
    for index in sorted(usable, key=lambda index: _rank(looks[index])):
        group = leader.get(index, index)
        rivals = [stays[other] for other in (group, *sorted(near[group])) if other in stays]
        if group in disputed:
            reasons[looks[index].path] = disputed[group]
        elif rivals:
            reasons[looks[index].path] = f"the same photograph as {looks[rivals[0]].path}"
        else:
            stays[group] = index
    return [Exclusion(path, reason) for path, reason in sorted(reasons.items())]


def groups_of(pairs: Sequence[Pair], looks: Sequence[Look]) -> list[set[str]]:
    """The paths of pictures that hang together by pairs: groups of two and more, in the order of their first one."""
    group: dict[int, set[int]] = {}
    for pair in pairs:
        one, other = group.get(pair.first, {pair.first}), group.get(pair.second, {pair.second})
        if one is not other:
            small, large = sorted((one, other), key=len)
            large |= small
            group.update(dict.fromkeys(large if len(large) == 2 else small, large))
    unique = {id(members): members for members in group.values()}.values()
    return [{looks[index].path for index in members} for members in sorted(unique, key=min)]


def _rank(look: Look) -> tuple[int, int, str]:
    return _KEPT_FIRST.get(look.split, len(_KEPT_FIRST)), -look.width * look.height, look.path


def _near_groups(pairs: Sequence[Pair], leader: Mapping[int, int]) -> defaultdict[int, set[int]]:
    """The groups of equal files, by their leaders, that are near to each one."""
    near: defaultdict[int, set[int]] = defaultdict(set)
    for pair in pairs:
        one, other = leader.get(pair.first, pair.first), leader.get(pair.second, pair.second)
        if one != other:
            near[one].add(other)
            near[other].add(one)
    return near


def _disputed(
    looks: Sequence[Look], usable: Sequence[int], leader: Mapping[int, int], near: Mapping[int, set[int]]
) -> dict[int, str]:
    """Groups of equal files that stand, with those near to them, in two classes of a split: what to say of each."""
    places: defaultdict[int, dict[str, dict[str, str]]] = defaultdict(dict)  # by group, split and class, a path
    for index in usable:
        look = looks[index]
        places[leader.get(index, index)].setdefault(look.split, {})[look.class_name] = look.path
    found: dict[int, str] = {}
    for group, own in places.items():
        for other in (group, *sorted(near.get(group, ()))):
            for split in own.keys() & places.get(other, {}).keys():
                classes = own[split] | places[other][split]
                if len(classes) > 1:
                    one, another, *_ = sorted(classes.values())
                    found.setdefault(group, f"the same photograph in two classes: {one} and {another}")
    return found
