"""What an audit can find, how bad it is, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass

#: From the worst: what stops or falsifies a run, what makes it worse, what is good to know.
SEVERITIES = ("error", "warning", "note")


@dataclass(frozen=True)
class Kind:
    """One kind of fault.

    Attributes:
        name: its key in tables and JSON.
        severity: one of `SEVERITIES`.
        meaning: what it is, in a few words.
        advice: what to do about it.
        excludes: files of this kind go on the exclusion list; of duplicates all but the one that is kept.
    """

    name: str
    severity: str
    meaning: str
    advice: str
    excludes: bool = False


_FRACTION = "add pictures, or split them off train: python -m dogbreed.data split"

KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        # Files that no run can use.
        Kind("unreadable", "error", "no picture in a known format, or damaged", "replace or exclude it", True),
        Kind("truncated", "error", "ends before its picture does", "fetch it again, or exclude it", True),
        Kind("empty", "warning", "holds nothing; training skips it", "fetch it again, or remove it"),
        Kind("broken_link", "error", "a link to nothing", "mend or remove the link, or exclude it", True),
        Kind("too_large", "error", "takes too much memory to decode", "scale it down, or exclude it", True),
        Kind("too_narrow", "error", "a strip, not a photograph", "crop it, or exclude it", True),
        # Folders.
        Kind("closed", "error", "a folder that may not be listed; training sees nothing in it", "open it to yourself"),
        Kind("link_loop", "warning", "a link to a folder that it stands in; it is not followed", "remove the link"),
        Kind("one_class", "error", "fewer than two classes in train", "one folder for each class below train/"),
        Kind("missing_split", "error", "a split without a folder", _FRACTION),
        Kind("double_split", "error", "both valid/ and val/", "merge them, or remove one"),
        Kind("unknown_class", "error", "a class that train does not have", "rename or remove the folder"),
        Kind("missing_class", "warning", "a class without a picture in a split", _FRACTION),
        Kind("similar_names", "warning", "classes whose names are alike but for case, spaces or signs", "merge them"),
        Kind("few_pictures", "warning", "a class with few pictures in train", "add pictures, or drop the class"),
        Kind("imbalance", "warning", "some classes have far more pictures than others", "set class_weights=balanced"),
        # Files that a run reads, but not as one might think.
        Kind("wrong_extension", "warning", "its name says another format than it holds", "rename it"),
        Kind("unknown_extension", "warning", "a picture whose name training does not read", "rename it"),
        Kind("odd_mode", "note", "not plain colour or grey of 8 bits; it is converted", "nothing, if it looks right"),
        Kind("animated", "note", "several frames, of which the first is read", "nothing, if the first one shows it"),
        Kind("turned", "note", "EXIF says to turn it; this library does, other tools may not", "save it upright"),
        Kind("tiny", "warning", "smaller than a backbone can see much in", "replace it by a larger one"),
        Kind("huge", "note", "so large that decoding it takes long", "scale it down"),
        Kind("blank", "warning", "one colour and nothing else", "replace or exclude it", True),
        # Files that no run reads.
        Kind("hidden", "note", "left by an operating system or an editor; training skips it", "remove it"),
        Kind("not_a_picture", "note", "something else than a picture; training skips it", "remove it"),
        Kind("stray", "warning", "a picture outside of every class folder; training skips it", "move it to its class"),
        Kind("outside_link", "warning", "a link that leads out of the data set", "copy what it leads to"),
        Kind("odd_name", "note", "a name that other systems may not be able to store", "rename it"),
        # Pictures that are there twice: the same bytes, or the same photograph saved anew.
        Kind("duplicate", "warning", "the same file twice in a class of a split", "keep one of them", True),
        Kind(
            "duplicate_leak", "error", "the same file in two splits: it is judged on what it learned", "keep one", True
        ),
        Kind("duplicate_label", "error", "the same file in two classes", "decide which is right", True),
        Kind("near_duplicate", "warning", "the same photograph twice in a class of a split", "keep one of them", True),
        Kind("near_leak", "error", "the same photograph in two splits: judged on what it learned", "keep one", True),
        Kind("near_label", "error", "the same photograph in two classes", "decide which is right", True),
    )
}


@dataclass(frozen=True)
class Finding:
    """One fault.

    Attributes:
        kind: a key of `KINDS`.
        paths: the files or folders that it is about, below the data set's folder, with "/"; of duplicates the
            two. Empty for what concerns the whole.
        detail: what was found, for a person.
    """

    kind: str
    paths: tuple[str, ...]
    detail: str
