"""`python -m dogbreed.data download|summary|audit|split`: a data set fetched, looked at, checked and divided."""

from __future__ import annotations

import argparse
import re
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

from omegaconf import DictConfig, OmegaConf

from dogbreed.app import build, compose
from dogbreed.arguments import Parser
from dogbreed.commands import ends_well
from dogbreed.errors import ConfigError
from dogbreed.help import Help, help_of
from dogbreed.sweeps.dimensions import override_line

# The rooms are imported where a command enters them: fetching an archive needs no torch.

_OVERRIDE = re.compile(r"~\w|\+{0,2}[A-Za-z_][\w./@]*=")


def _download(config: DictConfig) -> None:
    from dogbreed.download.dataset import download_dataset
    from dogbreed.download.guard import ArchiveLimits

    settings = _plain(config)
    download_dataset(
        settings.pop("url"), settings.pop("root"), limits=ArchiveLimits(**settings.pop("limits")), **settings
    )


def _summary(config: DictConfig) -> None:
    from dogbreed.data.summary import summarize
    from dogbreed.reports.summary_files import tell_summary, write_summary

    pictures = build(config, "data")
    pictures.prepare_data()
    out = _out(config, "summary")
    found = summarize(pictures)
    write_summary(out, found, **_plain(config)["grid"], seed=config.seed)
    tell_summary(found, out)


def _audit(config: DictConfig) -> None:
    from dogbreed.audit.audit import audit_folder
    from dogbreed.audit.features import kept_features
    from dogbreed.audit.structure import Limits
    from dogbreed.features.cache import FeatureCache
    from dogbreed.reports.audit_files import tell, write_audit

    pictures = build(config, "data")
    pictures.prepare_data()
    out = _out(config, "audit")
    found = audit_folder(
        pictures.root,
        limits=Limits(**_plain(config)["limits"]),
        exclude=pictures.exclude,
        val_fraction=pictures.fractions["val"],
        test_fraction=pictures.fractions["test"],
        seed=pictures.seed,
        features=partial(kept_features, cache_root=FeatureCache(config.features_root).root),
        workers=config.workers,
    )
    write_audit(out, found)
    tell(found, out)


def _split(config: DictConfig) -> None:
    from dogbreed.audit.choosing import groups_of
    from dogbreed.audit.duplicates import find_duplicates
    from dogbreed.audit.looking import look_at, tints_of
    from dogbreed.audit.walking import walk_classes
    from dogbreed.data.splitting import split_folder

    settings = _plain(config)
    source, root = Path(settings.pop("source")), Path(settings.pop("root"))
    workers = settings.pop("workers")

    def find_groups() -> list[set[str]]:
        looks, thumbnails = look_at(source, walk_classes(source).files, workers)
        return groups_of(find_duplicates([look.digest for look in looks], thumbnails, tints_of(looks)), looks)

    split_folder(source, root, find_groups=find_groups, say=print, **settings)


class _Command(NamedTuple):
    """What a command is for, the settings that its arguments without a key are, in turn, and what does it."""

    text: str
    keys: Sequence[str]
    run: Callable[[DictConfig], None]
    examples: Mapping[str, str]


_COMMANDS = {
    "download": _Command(
        "an archive becomes a data set folder, whole or not at all",
        ("url", "root"),
        _download,
        {
            "": "the 133 breeds, to data/dogImages",
            "photos.zip PHOTOS": "of a file, zip or tar, or of http://, https:// or file://",
            "URL#sha256=DIGITS PHOTOS limits.max_gb=100": "only if its content is that; larger than usual",
        },
    ),
    "summary": _Command(
        "counts, sizes, formats and a picture grid of a data set",
        ("data.root",),
        _summary,
        {
            "PHOTOS": "to PHOTOS-summary",
            "PHOTOS out=seen grid.classes=100 grid.pictures=3": "to seen, with a larger grid",
            "data=sample": "of the drawn sample",
        },
    ),
    "audit": _Command(
        "what is wrong with a data set, and a list of what to leave out",
        ("data.root",),
        _audit,
        {
            "PHOTOS": "to PHOTOS-audit: audit.html, audit.json and exclude.csv",
            "PHOTOS limits.min_side=200 limits.min_per_class=20": "with more asked of the pictures",
            "PHOTOS data.exclude=PHOTOS-audit/exclude.csv out=again": "what is left, once that is left out",
        },
    ),
    "split": _Command(
        "a folder of class folders becomes train, valid and test",
        ("source", "root"),
        _split,
        {
            "FLAT PHOTOS": "copies of a picture together in one split",
            "FLAT PHOTOS val_fraction=0.2 test_fraction=0.2 files=link": "larger splits, of hard links",
            "FLAT PHOTOS seed=1": "another choice",
        },
    ),
}


@ends_well("nothing half done was left; the same command goes on, or begins again")
def main(arguments: Sequence[str] | None = None) -> int:
    """Do what is asked; 0 if it could be done, 1 otherwise."""
    options = make_parser().parse_args(arguments)
    command = _COMMANDS[options.command]
    config = compose(options.command, _overrides(command.keys, options.settings))
    missing = sorted(OmegaConf.missing_keys(config))
    if missing:
        line = " ".join(["python -m dogbreed.data", options.command, *_names(command)])
        raise ConfigError(f"{missing[0]} is not set", "a value for it", line)
    known = OmegaConf.load(str(resources.files("dogbreed.conf") / f"{options.command}.yaml"))
    _check_keys(config, OmegaConf.to_container(known))
    command.run(config)
    return 0


def _check_keys(given: Any, known: Any, group: str = "") -> None:
    """Compare the settings with those of a command's own file; the group of the data has its own checks.

    Raises:
        ConfigError: one is missing, there is another one, or a group is none.
    """
    names = [name for name in known if name != "defaults"]
    if not isinstance(given, DictConfig):
        raise ConfigError(f"{group[:-1]}={given}", f"a group of {', '.join(names)}", f"set {group}{names[0]}=VALUE")
    if odd := sorted(map(str, (set(given) ^ set(names)) - {"data"})):
        what = "is no setting" if odd[0] not in names else "was removed"
        raise ConfigError(f"{group}{odd[0]} {what}", ", ".join(group + name for name in names), "see --help")
    for name in names:
        if isinstance(known[name], dict):
            _check_keys(given[name], known[name], f"{group}{name}.")


def _names(command: _Command) -> list[str]:
    """What its arguments without a key are called in help."""
    return [key.rsplit(".")[-1].upper() for key in command.keys]


def _overrides(keys: Sequence[str], given: Sequence[str]) -> list[str]:
    """Overrides of Hydra: those given, and the rest as values of `keys`.

    Raises:
        ConfigError: there is more than there are keys.
    """
    plain = [argument for argument in given if not _OVERRIDE.match(argument)]
    if len(plain) > len(keys):
        raise ConfigError(
            got=f"{plain[len(keys)]!r}, one argument too many",
            allowed=f"{' '.join(keys)}, and key=value",
            hint="quote what is one argument: " + shlex.quote(" ".join(plain[-2:])),
        )
    named = [override_line(key, value) for key, value in zip(keys, plain, strict=False)]
    return [*named, *(argument for argument in given if _OVERRIDE.match(argument))]


def _plain(config: DictConfig) -> dict[str, Any]:
    values: dict[str, Any] = OmegaConf.to_container(config, resolve=True)  # type: ignore[assignment]
    return values


def _out(config: DictConfig, name: str) -> Path:
    """Where the files of a command go: where it was told to, or beside the data set.

    Raises:
        ConfigError: there is nothing beside it.
    """
    if config.out:
        return Path(config.out)
    root = Path(config.data.root)
    if root.name in ("", ".."):  # of ., .., / and what ends so: it has another name where it stands
        root = root.resolve()
    if not root.name:
        raise ConfigError(f"out=null, and nothing is beside {root}", "a folder for the files", "set out=FOLDER")
    return root.with_name(f"{root.name}-{name}")


def make_parser() -> Parser:
    """What this command's arguments may be."""
    parser = Parser(prog="python -m dogbreed.data", description="Fetch a data set, look at it, check it, divide it.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=_Told)
    for name, command in _COMMANDS.items():
        added = commands.add_parser(name, help=command.text)
        added.about = _help(name)
        added.usage = f"{added.prog} {' '.join(f'[{name}]' for name in _names(command))} [KEY=VALUE ...]"
        added.add_argument("settings", nargs="*", help=argparse.SUPPRESS)
    return parser


class _Told(Parser):
    """The parser of a command whose settings stand in conf/."""

    about: Help

    def format_help(self) -> str:
        """What every command that takes settings tells of them."""
        return help_of(self.about) + "\n"


def _help(name: str) -> Help:
    command = _COMMANDS[name]
    return Help(
        command=f"python -m dogbreed.data {name}",
        config=name,
        text=f"{command.text[0].upper()}{command.text[1:]}.",
        examples=command.examples,
        see="python -m dogbreed.data --help for what goes before and comes after; dogbreed.train for a head on it.",
        shown=("data",),
        plain=_names(command),
    )


if __name__ == "__main__":
    sys.exit(main())
