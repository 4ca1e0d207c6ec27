"""What conf/ offers: its groups, their options and settings, each with its comment. No Hydra."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from dogbreed.errors import ConfigError

#: The flag of a folder of the user's own configs.
CONFIG_DIR = "--config-dir"
#: Where the settings of a search space stand; they are typed without it.
_TYPED_ALONE = ("_global_", "hydra.sweeper.params")

_MORE: ContextVar[Path | None] = ContextVar("_MORE", default=None)


class Entry(NamedTuple):
    """A line of a file with its comment: a setting and its value, or a group and what is chosen of it."""

    key: str
    value: str
    text: str


class Group(NamedTuple):
    """A role, and what can fill it.

    Attributes:
        name: such as "backbone".
        text: what it is for.
        chosen: the option where nothing is said; "null" for none.
        options: option -> what it is.
    """

    name: str
    text: str
    chosen: str
    options: Mapping[str, str]


class Page(NamedTuple):
    """A file of conf/.

    Attributes:
        prefix: of its settings where they are typed.
        header: the lines of the comment at its top.
        bases: the files that it begins with, such as "backbone/any", and the prefix of their settings here.
        chosen: the groups of which it chooses.
        settings: its own, but for what is made of them and for Hydra's.
    """

    prefix: str
    header: list[str]
    bases: list[tuple[str, str]]
    chosen: list[Entry]
    settings: list[Entry]


@contextmanager
def also_in(folder: Path | None) -> Iterator[None]:
    """Within the block the files of this folder are offered too, as --config-dir adds them; None for no such folder.

    Raises:
        ConfigError: it is no folder.
    """
    if folder is not None and not folder.is_dir():
        raise ConfigError(f"{CONFIG_DIR} {folder}, which is no folder", "a folder like conf/", f"correct {CONFIG_DIR}")
    token = _MORE.set(folder)
    try:
        yield
    finally:
        _MORE.reset(token)


def read_page(file: str, prefix: str | None = None) -> Page:
    """The file of this path in conf/, given without its suffix; `prefix` is told where its settings stand elsewhere.

    A page without anything for what has no file there, such as Hydra's own options.

    Raises:
        ConfigError: it is no YAML, or none that Hydra reads.
    """
    paths = [folder / f"{file}.yaml" for folder in _folders()]
    path = next((path for path in paths if path.is_file()), None)
    text = "" if path is None else _text(path)
    lines = text.splitlines()
    header = []
    for line in lines:
        if not line.startswith("#"):
            break
        header.append(line[1:].removeprefix(" "))
    folder = file.rpartition("/")[0]
    package = header.pop(0).split()[1] if header and header[0].startswith("@package") else folder.replace("/", ".")
    if prefix is None:
        prefix = "" if not package or package in _TYPED_ALONE else f"{package}."
    page = Page(prefix, header, [], [], [])
    for key, value in _compose(text, path):
        if key.value == "defaults":
            _read_defaults(page, value, folder, lines)
        elif key.value != "hydra":
            page.settings.extend(_entries(prefix + key.value, key, value, lines))
    return page


def _text(path: Any) -> str:
    try:
        return str(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is no text in UTF-8: {error}", "YAML in UTF-8", "save it so") from error


def _compose(text: str, path: Any) -> list[tuple[yaml.ScalarNode, yaml.Node]]:
    """What stands at the top of a file."""
    try:
        root = yaml.compose(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is no YAML: {' '.join(str(error).split())}", "key: value", "correct it") from error
    found = root.value if isinstance(root, yaml.MappingNode) else []
    for key, value in found:
        if not isinstance(key, yaml.ScalarNode):
            line = key.start_mark.line + 1
            raise ConfigError(f"line {line} of {path}: a key that is no word", "key: value", "correct it")
        if key.value == "defaults" and not isinstance(value, yaml.SequenceNode):
            raise ConfigError(f"defaults of {path}, which are no list", "defaults: [NAME, ...]", "correct it")
    return found


def settings_of(file: str, prefix: str | None = None, within: tuple[str, ...] = ()) -> list[Entry]:
    """What a file of conf/ sets, with what it takes over from those that it begins with, as it is typed.

    Raises:
        ConfigError: it cannot be read, or begins with itself; `within` are the files that begin with it.
    """
    if file in within:
        raise ConfigError(f"{file}, which begins with itself", "other files in its defaults", "correct them")
    page = read_page(file, prefix)
    found = {entry.key: entry for base in page.bases for entry in settings_of(*base, (*within, file))}
    for entry in page.settings:
        found[entry.key] = entry._replace(text=entry.text or found.get(entry.key, entry).text)
    return list(found.values())


def groups_of(file: str) -> Iterator[Group]:
    """The groups of which a file of conf/ chooses, and then those of the files that it begins with."""
    page = read_page(file)
    for name, chosen, text in page.chosen:
        yield Group(name, text, chosen, options_of(name))
    for base, _ in page.bases:
        yield from groups_of(base)


def options_of(group: str) -> dict[str, str]:
    """The options of a group, each with the first sentence of its file."""
    folders = [folder / group for folder in _folders()]
    files = {found.name for folder in folders if folder.is_dir() for found in folder.iterdir()}
    options = sorted(name.removesuffix(".yaml") for name in files if name.endswith(".yaml"))
    return {option: _first_sentence(read_page(f"{group}/{option}").header) for option in options}


def _folders() -> list[Any]:
    """Where files are looked for; the first that has one of a name is that of which Hydra reads it."""
    return [resources.files("dogbreed.conf"), *filter(None, [_MORE.get()])]


def _first_sentence(header: Sequence[str]) -> str:
    r"""The first sentence of a comment; a command in it begins with spaces.

    >>> _first_sentence(["Two hosts. Or", "more."]), _first_sentence(["For rates", "that rise:", "  python -m x"])
    ('Two hosts', 'For rates that rise')
    """
    told = header[: next((place for place, line in enumerate(header) if line.startswith(" ")), None)]
    return " ".join(told).split(". ")[0].rstrip(".:")


def _read_defaults(page: Page, node: yaml.Node, folder: str, lines: Sequence[str]) -> None:
    """Fill in what a file begins with, and of what it chooses."""
    for item in node.value:
        if isinstance(item, yaml.ScalarNode):
            if item.value != "_self_":
                base = item.value.split("@")[0]
                page.bases.append((f"{folder}/{base}" if folder else base, page.prefix))
            continue
        ((key, value),) = item.value
        if not isinstance(value, yaml.ScalarNode):  # several options at once
            continue
        group, _, place = key.value.removeprefix("override ").lstrip("/").partition("@")
        if place:  # the file of another group, read in here
            below = "" if place == "_here_" else f"{place}."
            page.bases.append((f"{group}/{value.value}", page.prefix + below))
        elif not group.startswith("hydra/"):
            page.chosen.append(Entry(group, value.value, _comment(value, lines)))


def _entries(key: str, name: yaml.Node, value: yaml.Node, lines: Sequence[str]) -> Iterator[Entry]:
    """A setting, or each of a section's; what makes a part (_target_, _partial_) is no setting."""
    if key.rpartition(".")[2].startswith("_"):
        return
    if isinstance(value, yaml.MappingNode) and not value.flow_style:
        if comment := _comment(name, lines):
            yield Entry(f"{key}.*", "", comment)
        for inner, content in value.value:
            yield from _entries(f"{key}.{inner.value}", inner, content, lines)
    elif isinstance(value, yaml.ScalarNode) or value.flow_style:
        first = lines[value.start_mark.line]
        source = first[value.start_mark.column : value.end_mark.column]
        yield Entry(key, source, _comment(value, lines))


def _comment(node: yaml.Node, lines: Sequence[str]) -> str:
    """What is said behind a node, and goes on below at the same column."""
    line, column = node.end_mark.line, node.end_mark.column
    place = lines[line].find(" #", column) if line < len(lines) else -1  # a block of text ends behind the last line
    if place < 0:
        return ""
    told = [lines[line][place + 2 :]]
    for following in lines[line + 1 :]:
        if following.find("#") != place + 1 or following.strip()[0] != "#":
            break
        told.append(following[place + 2 :])
    return " ".join(part.strip() for part in told)
