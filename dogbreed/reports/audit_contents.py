"""What an audit found, in the order in which a person wants to see it."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dogbreed.audit.audit import Audit
from dogbreed.audit.choosing import kind_of
from dogbreed.audit.duplicates import Pair
from dogbreed.audit.findings import KINDS, SEVERITIES, Kind
from dogbreed.audit.looking import Look
from dogbreed.sweeps.dimensions import override_line

JSON, EXCLUDE, PAGE = "audit.json", "exclude.csv", "audit.html"

#: Kinds of pairs, the worst first: those that make the test accuracy lie, those that teach what is wrong, the rest.
PAIR_KINDS = ("duplicate_leak", "near_leak", "duplicate_label", "near_label", "duplicate", "near_duplicate")
#: Of these, the ones between two splits.
LEAKS = PAIR_KINDS[:2]


@dataclass(frozen=True)
class Twins:
    """Two files of the same photograph.

    Attributes:
        kind: one of `PAIR_KINDS`.
        pair: how alike they are.
        first: one.
        second: the other.
    """

    kind: str
    pair: Pair
    first: Look
    second: Look


def rank_pairs(audit: Audit) -> list[Twins]:
    """All pairs, the worst first: by their kind, those with a test picture, the more alike, the path."""
    found = [
        Twins(kind_of(pair, audit.looks), pair, audit.looks[pair.first], audit.looks[pair.second])
        for pair in audit.pairs
    ]
    return sorted(
        found,
        key=lambda one: (
            PAIR_KINDS.index(one.kind),
            "test" not in (one.first.split, one.second.split),
            -one.pair.score,
            one.first.path,
            one.second.path,
        ),
    )


def count_kinds(audit: Audit) -> list[tuple[Kind, int]]:
    """The kinds that were found and how often, from the worst severity, in the order of `KINDS`."""
    found = Counter(finding.kind for finding in audit.findings)
    order = sorted(KINDS.values(), key=lambda kind: SEVERITIES.index(kind.severity))
    return [(kind, found[kind.name]) for kind in order if found[kind.name]]


def count_severities(audit: Audit) -> dict[str, int]:
    """How many findings there are of each severity, with those of which there is none."""
    found = Counter(KINDS[finding.kind].severity for finding in audit.findings)
    return {severity: found[severity] for severity in SEVERITIES}


def leaked(twins: list[Twins], split: str) -> int:
    """How many pictures of a split stand in an earlier one too: of test in train or val, of val in train."""
    earlier = {"val": ("train",), "test": ("train", "val")}[split]
    sides = [(one.first, one.second) for one in twins if one.kind in LEAKS]
    return len(
        {
            look.path
            for first, second in sides
            for look, other in ((first, second), (second, first))
            if look.split == split and other.split in earlier
        }
    )


def total(counts: Mapping[str, int]) -> int:
    """The pictures of a split, from those of its classes."""
    return sum(counts.values())


def changed_classes(audit: Audit) -> list[tuple[str, dict[str, tuple[int, int]]]]:
    """The classes that lose pictures when the exclusions are left out, with (before, after) by split; most first."""
    rows = [
        (
            name,
            {split: (before.get(name, 0), audit.after[split].get(name, 0)) for split, before in audit.before.items()},
        )
        for name in audit.class_names
    ]
    lost = {name: sum(before - after for before, after in splits.values()) for name, splits in rows}
    return sorted([row for row in rows if lost[row[0]]], key=lambda row: (-lost[row[0]], row[0]))


def emptied(audit: Audit) -> list[tuple[str, str]]:
    """(split, class) of the classes that the exclusions leave without a picture."""
    return [
        (split, name)
        for name, splits in changed_classes(audit)
        for split, (before, after) in splits.items()
        if before and not after
    ]


def next_commands(audit: Audit, out: Path) -> dict[str, str]:
    """What to do after the audit, as commands for a shell: by what each is for, the first thing first.

    Args:
        audit: it.
        out: the folder that holds its exclusion list.
    """
    data = [override_line("data.root", str(audit.root))]
    data += [override_line("data.exclude", str(out / EXCLUDE))] if audit.exclusions else []
    fractions = {name: fraction for name, fraction in audit.fractions.items() if fraction is not None}
    data += [override_line(f"data.{name}_fraction", fraction) for name, fraction in fractions.items()]
    data += [override_line("data.seed", audit.seed)] if fractions else []
    return {
        "train": shlex.join(["python", "-m", "dogbreed.train", "data=folder", *data]),
        "evaluate": shlex.join(["python", "-m", "dogbreed.evaluate", "artifact=RUN/artifact", *data]),
    }
