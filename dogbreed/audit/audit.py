"""A whole audit: from a folder of photographs to what is wrong with it and which files to leave out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

from numpy.typing import NDArray

from dogbreed.audit.choosing import choose_exclusions, kind_of
from dogbreed.audit.duplicates import Pair, find_duplicates
from dogbreed.audit.findings import KINDS, SEVERITIES, Finding
from dogbreed.audit.looking import Look, look_at, tints_of
from dogbreed.audit.structure import Limits, judge_folders, judge_pictures
from dogbreed.audit.walking import File, Tree, walk_splits
from dogbreed.data.exclusions import Exclusion, read_exclusions
from dogbreed.data.folder import SPLIT_FOLDERS, SPLITS, Split, split_off
from dogbreed.errors import DataError

__all__ = ["Audit", "Limits", "audit_folder"]

#: From the digests of pictures to their features, (N, D) with rows of NaN where there are none, and what they are
#: called; None and "" where there are none at all.
Features: TypeAlias = Callable[[Sequence[str]], tuple[NDArray[Any] | None, str]]


@dataclass(frozen=True)
class Audit:
    """What was found.

    Attributes:
        root: the data set's folder.
        looks: of every picture that training would read, in its order.
        findings: the faults, in the order of severity, kind and path.
        pairs: the duplicates, as indices into `looks`.
        exclusions: files to leave out: those that were left out already, and those of `findings`.
        class_names: of train.
        before: usable pictures of each split and class.
        after: the same without the exclusions.
        features: the name of what confirmed the near-duplicates; "" for the pictures alone.
        limits: from where on a picture or a class was worth a word.
        fractions: for "val" and "test", the share of train that was asked for; None for none.
        seed: of these shares.
    """

    root: Path
    looks: list[Look]
    findings: list[Finding]
    pairs: list[Pair]
    exclusions: list[Exclusion]
    class_names: tuple[str, ...]
    before: dict[str, dict[str, int]]
    after: dict[str, dict[str, int]]
    features: str
    limits: Limits
    fractions: dict[str, float | None]
    seed: int


def audit_folder(
    root: Path,
    *,
    limits: Limits,
    exclude: Path | None = None,
    val_fraction: float | None = None,
    test_fraction: float | None = None,
    seed: int = 0,
    features: Features | None = None,
    workers: int | None = None,
) -> Audit:
    """What is wrong with a data set; nothing that is in it raises.

    Args:
        root: the data set's folder.
        limits: from where on a picture or a class is worth a word.
        exclude: a list of files that are not looked at any more; None for none.
        val_fraction: share of train to use where `root` has no validation split, as training would.
        test_fraction: the same for test.
        seed: of the fractions split off.
        features: finds the backbone's features of pictures; None to judge by the pictures alone.
        workers: processes; 0 for this one; None for what suits the machine.

    Raises:
        DataError: `root` is no folder, has none of the splits, or the list is that of another one; a worker died.
        ConfigError: the list cannot be read.
    """
    excluded = read_exclusions(exclude, root) if exclude else {}
    tree = walk_splits(root, excluded)
    class_names = _class_names(tree)
    fractions = {"val": val_fraction, "test": test_fraction}
    splits = _Splits(tree, class_names, fractions, seed)
    looks, thumbnails = look_at(root, splits.files(), workers)
    readable = [index for index, look in enumerate(looks) if look.problem is None]
    usable = {looks[index].path for index in readable}
    before = splits.count(usable)

    digests = [looks[index].digest for index in readable]
    confirmed_by, name = features(digests) if features else (None, "")
    pairs = [
        replace(pair, first=readable[pair.first], second=readable[pair.second])
        for pair in find_duplicates(
            digests, thumbnails[readable], tints_of([looks[index] for index in readable]), confirmed_by
        )
    ]
    findings = _in_order(
        [
            *tree.findings,
            *judge_pictures(looks, limits),
            *judge_folders(tree, class_names, before, limits),
            *(_tell_pair(pair, looks) for pair in pairs),
        ]
    )
    chosen = {entry.path: entry for entry in choose_exclusions(looks, pairs, findings)}
    after = _Splits(tree, class_names, fractions, seed, chosen).count(usable)
    known = {path: Exclusion(path, reason) for path, reason in excluded.items()}
    return Audit(
        root=root,
        looks=looks,
        findings=findings,
        pairs=pairs,
        exclusions=[entry for _, entry in sorted({**chosen, **known}.items())],
        class_names=class_names,
        before=before,
        after={split: after.get(split, dict.fromkeys(class_names, 0)) for split in before},
        features=name,
        limits=limits,
        fractions=fractions,
        seed=seed,
    )


class _Splits:
    """Which picture is in which split, as BreedDataModule has it.

    Args:
        tree: what there is. A share of train that cannot be taken is noted among its findings.
        class_names: of train.
        fractions: for "val" and "test", the share of train to use where there is no folder.
        seed: of the fractions.
        without: pictures that are left out.
    """

    def __init__(
        self,
        tree: Tree,
        class_names: Sequence[str],
        fractions: Mapping[str, float | None],
        seed: int,
        without: Collection[str] = frozenset(),
    ) -> None:
        self._class_names = class_names
        self._files = [file for file in tree.files if file.path not in without]
        self._moved: dict[str, str] = {}
        self._names = [split for split in SPLITS if split in tree.folders]
        index_of = {name: index for index, name in enumerate(class_names)}
        train = [file for file in self._files if file.split == "train"]
        rest = Split("train", [file.path for file in train], [index_of[file.class_name] for file in train])
        for split, fraction in fractions.items():
            if fraction is None or split in tree.folders or not train:
                continue
            try:
                # A fraction is a share of the whole, whichever is split off first.
                rest, taken = split_off(rest, split, fraction, seed, len(train))
            except DataError as error:
                tree.find("missing_split", SPLIT_FOLDERS[split][0], error.got)
            else:
                self._moved.update(dict.fromkeys(taken.paths, split))
                self._names.append(split)

    def files(self) -> list[File]:
        """The pictures, each in its split."""
        return [replace(file, split=self._moved.get(file.path, file.split)) for file in self._files]

    def count(self, usable: Collection[str]) -> dict[str, dict[str, int]]:
        """The usable pictures of each class in each split."""
        found = Counter((file.split, file.class_name) for file in self.files() if file.path in usable)
        return {split: {name: found[split, name] for name in self._class_names} for split in self._names}


def _class_names(tree: Tree) -> tuple[str, ...]:
    """Those of train; without a train split, all that there are."""
    return tuple(tree.classes.get("train") or sorted({name for names in tree.classes.values() for name in names}))


def _tell_pair(pair: Pair, looks: Sequence[Look]) -> Finding:
    first, second = looks[pair.first], looks[pair.second]
    how = ["the same bytes"] if pair.exact else [f"score {pair.score:.2f}"]
    how += ["mirrored"] if pair.mirrored else []
    how += [f"cosine {pair.cosine:.2f}"] if pair.cosine is not None else []
    sides = " and ".join(f"{look.class_name} in {look.split}" for look in (first, second))
    return Finding(kind_of(pair, looks), (first.path, second.path), f"{sides}: {', '.join(how)}")


def _in_order(findings: Sequence[Finding]) -> list[Finding]:
    """Each fault once, the worst kinds first."""
    once = {(finding.kind, finding.paths): finding for finding in reversed(findings)}
    rank = {kind.name: (SEVERITIES.index(kind.severity), place) for place, kind in enumerate(KINDS.values())}
    return sorted(once.values(), key=lambda finding: (rank[finding.kind], finding.paths))
