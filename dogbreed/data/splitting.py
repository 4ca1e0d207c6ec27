"""A folder of class folders becomes a data set with train, valid and test, whole or not at all."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import shlex
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tqdm import tqdm

from dogbreed.data.exclusions import place_of
from dogbreed.data.folder import SPLIT_FOLDERS, SPLITS, describe_skipped, list_class_names, scan_split
from dogbreed.data.stratifying import stratify
from dogbreed.errors import ConfigError, DataError
from dogbreed.files import is_inside, write_json, write_synced, writing

#: In the new data set: what it was made of, and how.
RECORD = "split.json"


def split_folder(
    source: str | Path,
    root: str | Path,
    *,
    val_fraction: float,
    test_fraction: float,
    seed: int,
    files: str,
    find_groups: Callable[[], Sequence[set[str]]] = tuple,
    say: Callable[[str], None],
) -> dict[str, Counter[str]]:
    """Make `root` with train/, valid/ and test/ of the class folders in `source`: the pictures of each split and class.

    `source` stays as it is. Files that training would skip are left out and told; pictures that cannot be decoded
    are taken along, for the audit to find. Where `root` is the same split of the same files already, nothing is
    done. A process that is killed leaves no `root`, and what it began is removed by the next one.

    Args:
        source: a folder with a folder per class.
        root: the new data set, beside `source`.
        val_fraction: share of each class for valid; 0 for none.
        test_fraction: the same for test.
        seed: of the choice.
        files: "copy", or "link" for hard links, which take no room.
        find_groups: gives paths below `source`, with "/", of pictures that must not be parted, no picture in two;
            called once the settings are found to work, for it takes long.
        say: told of each result, a line at a time.

    Raises:
        ConfigError: a setting cannot work.
        DataError: `source` cannot be split, or `root` holds something else.
        OutputError: the disk is full, or cannot be written.
    """
    source, root = Path(source), Path(root)
    shares = {"val": val_fraction, "test": test_fraction}
    settings = {"val_fraction": val_fraction, "test_fraction": test_fraction, "seed": seed, "files": files}
    _check(source, root, shares, files)
    class_of = _scan(source, say)
    _is_there(root, settings)  # or is something else, which is better said before the looking
    groups = find_groups()
    split_of = stratify(class_of, groups, shares, seed)
    counts = {split: Counter(class_of[path] for path in class_of if split_of[path] == split) for split in SPLITS}
    if lost := sorted(set(class_of.values()) - counts["train"].keys()):
        raise DataError(
            got=f"all pictures of {lost[0]} belong together, and would go to another split than train",
            allowed="classes with pictures for train",
            hint="add pictures of it, or take less for valid and test",
        )
    record = {**settings, "pictures": len(split_of), "digest": _digest(source, split_of)}
    if _is_there(root, record):
        say(f"{root} is there already: the same split of the same files")
    else:
        with _draft_of(root) as draft:
            _place_all(source, draft, split_of, files)
            write_json(draft / RECORD, record)
    _tell(root, counts, split_of, groups, say)
    return counts


def _check(source: Path, root: Path, shares: Mapping[str, float], files: str) -> None:
    for name, share in shares.items():
        if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share < 1:
            raise ConfigError(f"{name}_fraction={share!r}", "0 for none, up to below 1", f"{name}_fraction=0.1")
    if not 0 < sum(shares.values()) < 1:
        raise ConfigError(
            f"val_fraction and test_fraction of {sum(shares.values()):g} together", "above 0, below 1", "0.1 each"
        )
    if files not in ("copy", "link"):
        raise ConfigError(f"files={files!r}", "copy, or link for hard links", "files=copy")
    if is_inside(root, source) or is_inside(source, root):
        raise ConfigError(f"root={root} and source={source}, one inside the other", "two folders", "root=ANOTHER")


def _scan(source: Path, say: Callable[[str], None]) -> dict[str, str]:
    """The class of each picture, by its path below `source`."""
    if not source.is_dir():
        raise DataError(f"no folder {source}", "a folder with a folder per class", "set source=FOLDER")
    class_names = list_class_names(source)
    if set(class_names) <= {name for names in SPLIT_FOLDERS.values() for name in names}:
        raise DataError(
            got=f"{source} is split already: it holds {', '.join(class_names)}",
            allowed="a folder with a folder per class",
            hint=f"source={source / class_names[0]} for one of them; to check them: python -m dogbreed.data audit",
        )
    found = scan_split("source", source, class_names)
    if found.skipped:
        say(describe_skipped(found.skipped))
    open_ones = {
        place_of(path, source): class_names[target]
        for path, target in zip(found.paths, found.targets, strict=True)
        if os.access(path, os.R_OK)
    }
    if closed := [path for path in found.paths if place_of(path, source) not in open_ones]:
        say(f"left out: {len(closed)} that cannot be opened, such as {closed[0]}")
    return open_ones


def _digest(source: Path, split_of: Mapping[str, str]) -> str:
    """What tells whether a split is the same: where each file goes, and its size and time of change."""
    digest = hashlib.blake2b(digest_size=16)
    for path, split in sorted(split_of.items()):
        try:
            status = os.stat(source / path)
        except OSError as error:
            raise _lost(source / path, error) from error
        line = json.dumps([split, path, status.st_size, status.st_mtime_ns])
        digest.update(line.encode())
    return digest.hexdigest()


def _is_there(root: Path, record: Mapping[str, Any]) -> bool:
    """Whether `root` is the split that is asked for.

    Raises:
        DataError: it is something else.
    """
    if not os.path.lexists(root) or (root.is_dir() and not any(root.iterdir())):
        return False
    found: Any = None
    with suppress(OSError, ValueError):
        found = json.loads((root / RECORD).read_text(encoding="utf-8"))
    if not isinstance(found, dict):
        raise DataError(f"{root} is there, and no split", "a folder that is not there yet", "set root=ANOTHER")
    differ = [key for key in record if found.get(key) != record[key]]
    if differ:
        what = "other files" if differ[0] in ("pictures", "digest") else f"{differ[0]}={found.get(differ[0])}"
        raise DataError(f"{root} is a split with {what}", "the same split, or none", "set root=ANOTHER, or remove it")
    return True


@contextmanager
def _draft_of(root: Path) -> Iterator[Path]:
    """An empty folder that becomes `root` when the block ends well; what a killed process left of it is removed.

    Raises:
        DataError: another process makes it now.
        OutputError: it cannot be written.
    """
    root = Path(os.path.abspath(root))  # which has a name, also where it is "."
    draft = root.with_name(f".{root.name}.draft")
    with writing(root):
        draft.mkdir(parents=True, exist_ok=True)
        held = os.open(draft, os.O_RDONLY | os.O_DIRECTORY)
        try:
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)  # ends with the process
            except BlockingIOError as error:
                raise DataError(f"another process makes {root} now", "one at a time", "wait for it") from error
            for entry in draft.iterdir():
                shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
            try:
                yield draft
                os.rename(draft, root)  # over an empty folder too
            except BaseException:
                shutil.rmtree(draft, ignore_errors=True)
                raise
        finally:
            os.close(held)


def _place_all(source: Path, draft: Path, split_of: Mapping[str, str], files: str) -> None:
    targets = {path: draft / SPLIT_FOLDERS[split][0] / path for path, split in split_of.items()}
    for folder in {target.parent for target in targets.values()}:
        folder.mkdir(parents=True, exist_ok=True)
    place = _link if files == "link" else _copy
    # Waiting for the disk lets other threads run.
    with ThreadPoolExecutor(8) as pool:
        done = pool.map(lambda path: place(source / path, targets[path]), targets)
        for _ in tqdm(done, "placing pictures", len(targets), unit="picture", disable=None):
            pass


def _copy(file: Path, target: Path) -> None:
    try:
        content = file.read_bytes()
    except OSError as error:
        raise _lost(file, error) from error
    write_synced(target, content)


def _link(file: Path, target: Path) -> None:
    try:
        os.link(os.path.realpath(file), target)  # of what a symbolic link leads to
    except OSError as error:
        if error.errno not in (errno.EXDEV, errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK):
            raise
        raise ConfigError(f"files=link: {error.strerror}", "source and root on one disk", "files=copy") from error


def _lost(file: Path, error: OSError) -> DataError:
    return DataError(
        got=f"{file} cannot be read: {error.strerror or error}",
        allowed="files that stay while the folder is split",
        hint="run the same command again",
    )


def _tell(
    root: Path,
    counts: Mapping[str, Counter[str]],
    split_of: Mapping[str, str],
    groups: Sequence[set[str]],
    say: Callable[[str], None],
) -> None:
    shown = [f"{SPLIT_FOLDERS[split][0]} {sum(counts[split].values()):,}" for split in SPLITS if counts[split]]
    kept = [len(group & split_of.keys()) for group in groups]
    together = f"; kept together: {len(kept)} groups of {sum(kept)} pictures that are one" if kept else ""
    say(f"{root}: {', '.join(shown)} pictures in {len(counts['train'])} classes{together}")
    asked = [split for split in SPLITS if counts[split]]
    few = sorted(name for name in counts["train"] if any(not counts[split][name] for split in asked))
    if few:
        more = ", ..." if len(few) > 5 else ""
        say(f"not in every split, for want of pictures: {', '.join(few[:5])}{more}")
    say(f"next: python -m dogbreed.data audit {shlex.quote(str(root))}")
