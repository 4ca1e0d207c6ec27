"""What a person is told of a command that takes settings: what it is for, and what conf/ says of its settings."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from dogbreed.choices import Entry, Group, also_in, groups_of, options_of, read_page, settings_of
from dogbreed.errors import ConfigError, did_you_mean

_WIDEST = 120  # columns: longer lines are hard to read
_LEFT = 28  # columns of what is explained

#: Groups of Hydra's own: what they are for, what is chosen where nothing is said, and what that is, having no file.
_HYDRA = {
    "hydra/sweeper": ("with -m: what is tried", "basic", "every combination of the values that are typed: seed=0,1"),
    "hydra/launcher": ("with -m: where it runs", "basic", "here, one after the other"),
}

FLAGS = [
    ("--help GROUP", "a group and its settings; GROUP=OPTION: with those of another option"),
    ("--cfg job", "the whole config that this would run with; --package KEY: a part of it; --resolve: each ${...} "
     "replaced by what it stands for"),
    ("--info", "how the config was put together, and from which files"),
    ("--config-dir DIR", "more files like those of conf/: DIR/head/mine.yaml becomes head=mine"),
    ("--hydra-help", "Hydra's own flags"),
]  # fmt: skip
#: Hydra's flags that a value follows, and what it is one of, if that is known.
VALUES: Mapping[str, Sequence[str]] = {
    **dict.fromkeys(("--config-dir", "-cd", "--config-path", "-cp", "--config-name", "-cn"), ()),
    **dict.fromkeys(("--package", "-p", "--experimental-rerun"), ()),
    **dict.fromkeys(("--cfg", "-c"), ("job", "hydra", "all")),
    **dict.fromkeys(("--info", "-i"), ("all", "config", "defaults", "defaults-tree", "plugins", "searchpath")),
}
MULTIRUN = ("-m, --multirun", "a sweep: over KEY=A,B,C, or over a search_space by a sweeper that is chosen")
_OVERRIDES = [
    ("KEY=VALUE", "null for none, [a,b] for a list; what holds marks of the shell or of Hydra's grammar in quotes: "
     "\"notes=['two words']\""),
    ("GROUP=OPTION", "another choice, whose settings may then be given"),
    ("+KEY=VALUE", "a setting that is not there yet"),
    ("~KEY", "leaves out a setting or a part"),
]  # fmt: skip


class Help(NamedTuple):
    """What a command is for.

    Attributes:
        command: as it is typed: "python -m dogbreed.train".
        config: its file in conf/, without the suffix.
        text: what it does, in a sentence or two.
        examples: arguments -> what they do.
        see: where else to look.
        shown: groups of which not only the options are told, but the settings too.
        sweeps: whether -m runs a sweep.
        plain: arguments that need no key, of a command that is not Hydra's own and has none of its flags.
    """

    command: str
    config: str
    text: str
    examples: Mapping[str, str]
    see: str
    shown: Sequence[str] = ()
    sweeps: bool = False
    plain: Sequence[str] = ()


def wants_help(arguments: Sequence[str]) -> bool:
    """Whether help is asked for."""
    return not {"-h", "--help"}.isdisjoint(arguments)


def help_of(about: Help, arguments: Sequence[str] = ()) -> str:
    """The help of a command; where the arguments name groups, of those alone: GROUP or GROUP=OPTION.

    Raises:
        ConfigError: there is no such group, option or --config-dir.
    """
    given, folder = without_flags(arguments)
    with also_in(folder):
        groups = {group.name: group for group in all_groups(about)}
        asked = [argument.partition("=") for argument in given]
        for name, is_override, _ in asked:
            if not is_override and name not in groups:
                near = did_you_mean(name, groups)
                raise ConfigError(f"help on {name}, which is no group{near}", ", ".join(groups), "--help alone")
        parts = [part for name, _, option in asked if name in groups for part in _of_group(groups[name], option)]
        return "\n\n".join(parts or _overview(about))


def without_flags(arguments: Iterable[str]) -> tuple[list[str], Path | None]:
    """What is set, without Hydra's flags and their values; and the folder of --config-dir, if there is one.

    >>> without_flags(["-m", "--config-dir", "mine", "--cfg=job", "head=mlp"])
    (['head=mlp'], PosixPath('mine'))
    """
    given, folder, words = [], None, iter(arguments)
    for word in words:
        flag, is_set, value = word.partition("=")
        if flag in VALUES and not is_set:
            value = next(words, "")
        if flag in ("--config-dir", "-cd"):
            folder = Path(value).expanduser()
        elif not word.startswith("-"):
            given.append(word)
    return given, folder


def all_groups(about: Help) -> Iterator[Group]:
    """Every group that a command chooses from, Hydra's own too where it sweeps."""
    yield from groups_of(about.config)
    for name, (text, chosen, what) in _HYDRA.items() if about.sweeps else ():
        yield Group(name, text, chosen, {chosen: what, **options_of(name)})


def _overview(about: Help) -> Iterator[str]:
    page = read_page(about.config)
    yield _wrapped(about.text)
    given = " ".join([f"[{name}]" for name in about.plain] or ["[GROUP=OPTION ...]"])
    yield f"usage: {about.command} {given} [KEY=VALUE ...]" + (" [-m]" if about.sweeps else "")
    examples = [
        f"  {about.command} {given}".rstrip() + f"\n{_wrapped(what, 6)}" for given, what in about.examples.items()
    ]
    yield "\n".join(["examples:", *examples])
    own = [entry.key for entry in page.chosen]
    groups = [group for group in all_groups(about) if group.name in own or group.name in _HYDRA]
    if groups:
        yield "groups, as GROUP=OPTION; * marks the default:"
    yield from (_options(group) for group in groups)
    for base, _ in page.bases:
        yield f"and all groups and settings of python -m dogbreed.{base}, see its --help"
    yield _rows("settings, as KEY=VALUE, here with their defaults:", _typed(page.settings))
    for group in groups:
        if group.name in about.shown:
            yield _rows(
                f"settings of {group.name}={group.chosen}:", _typed(settings_of(f"{group.name}/{group.chosen}"))
            )
    yield _rows("how settings are given:", _OVERRIDES[: 1 + bool(groups)] if about.plain else _OVERRIDES)
    if not about.plain:
        yield _rows("flags:", [MULTIRUN, *FLAGS] if about.sweeps else FLAGS)
    yield _wrapped(f"see also: {about.see}")


def _of_group(group: Group, option: str) -> Iterator[str]:
    """A group, and the settings of one of its options."""
    yield _options(group)
    option = option or group.chosen
    if option not in group.options:
        if option == "null":
            return
        listed = ", ".join(group.options)
        raise ConfigError(f"{group.name}={option}{did_you_mean(option, group.options)}", listed, f"set {group.name}")
    page = read_page(f"{group.name}/{option}")
    settings = [*page.chosen, *settings_of(f"{group.name}/{option}")]
    if not page.header and not settings:  # Hydra's own
        return
    paragraphs = groupby(page.header, key=lambda line: line.startswith(" "))  # a command stays as it is
    told = [
        part for is_command, lines in paragraphs for part in (lines if is_command else [_wrapped(" ".join(lines), 2)])
    ]
    yield "\n".join([f"{group.name}={option}:", *told])
    if settings:
        yield _rows("settings:", _typed(settings))


def _options(group: Group) -> str:
    marked = [("* " if option == group.chosen else "  ") + option for option in group.options]
    heading = f"{group.name}: {group.text}"
    return _rows(heading, zip(marked, group.options.values(), strict=True))


def _typed(entries: Iterable[Entry]) -> Iterator[tuple[str, str]]:
    """Settings as they are typed, with what is said of them."""
    for key, value, text in entries:
        if value == "???":
            yield f"{key}=...", f"must be given: {text}"
        else:
            yield f"{key}={value}" if value else key, text


def _rows(heading: str, rows: Iterable[tuple[str, str]]) -> str:
    """A heading, and below it two columns; what is too long on the left has a line of its own."""
    lines = [_wrapped(heading)]
    for left, right in rows:
        told = _wrapped(right, _LEFT)
        if len(left) > _LEFT - 4:
            lines.append(f"  {left}")
        else:
            told = f"  {left}".ljust(_LEFT) + told[_LEFT:]
        lines += [told] if told.strip() else []
    return "\n".join(line.rstrip() for line in lines)


def _wrapped(text: str, indent: int = 0) -> str:
    columns = min(shutil.get_terminal_size().columns, _WIDEST)
    margin = " " * indent
    return textwrap.fill(
        text,
        max(columns, indent + 30),
        initial_indent=margin,
        subsequent_indent=margin,
        break_on_hyphens=False,
        break_long_words=False,
    )
