"""`python -m dogbreed.completion`: prints what bash or zsh needs to complete this library's commands at the Tab key."""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from dogbreed.arguments import Parser
from dogbreed.choices import Group, also_in, read_page, settings_of
from dogbreed.commands import ends_well
from dogbreed.help import FLAGS, MULTIRUN, VALUES, Help, all_groups, without_flags

#: How a module shows that it is a command, and what it takes.
_COMMAND = re.compile(r"^(HELP = Help|def make_parser)\(", re.MULTILINE)

#: Asks the python that is typed, and only for our commands; what completed python before does so for all others.
_BASH = r"""
_dogbreed_complete() {
    local line=${COMP_LINE:0:COMP_POINT} ours='[[:space:]]-m[[:space:]]+(PACKAGES)\.'
    COMPREPLY=()
    if [[ $line =~ $ours ]]; then
        local IFS=$'\n'
        COMPREPLY=($("${COMP_WORDS[0]/#\~/$HOME}" -m dogbreed.completion \
            --line "$line" --breaks "$COMP_WORDBREAKS" 2>/dev/null))
    else
        [[ -z $_dogbreed_before ]] || $_dogbreed_before "$@"
        [[ $line =~ [[:space:]]-m[[:space:]]+[a-z]*$ ]] && COMPREPLY+=($(compgen -W "PREFIXES" -- "$2"))
    fi
    [[ ${COMPREPLY[0]} != *[=.] ]] || compopt -o nospace
}
_dogbreed_function() { complete -p "$1" 2>/dev/null | sed -n 's/.* -F \([^ ]*\).*/\1/p'; }
if [[ $(_dogbreed_function python) != _dogbreed_complete ]]; then
    _dogbreed_before=$(_dogbreed_function -D)  # of bash-completion, which loads others when they are first wanted
    [[ -z $_dogbreed_before ]] || $_dogbreed_before python
    _dogbreed_before=$(_dogbreed_function python)
fi
complete -o bashdefault -o default -F _dogbreed_complete python python3
"""

#: The same for zsh, whose words do not end at a = or a colon.
_ZSH = r"""
_dogbreed_complete() {
    local line="${(j: :)words[1,CURRENT-1]} $PREFIX" ours='[[:space:]]-m[[:space:]]+(PACKAGES)\.'
    if [[ ! $line =~ $ours ]]; then
        [[ ! $line =~ '[[:space:]]-m[[:space:]]+[a-z]*$' ]] || compadd -S '' -- ${=:-PREFIXES}
        $_dogbreed_before "$@"
        return
    fi
    local -a found=("${(@f)$("${words[1]/#\~/$HOME}" -m dogbreed.completion --line "$line" 2>/dev/null)}")
    if [[ -z $found ]]; then
        compset -P '*='
        _files
        return
    fi
    compadd -Q -S '' -- ${(M)found:#*[=.]}
    compadd -Q -- ${found:#*[=.]}
}
(( $+functions[compdef] )) || { autoload -Uz compinit && compinit; }
[[ ${_comps[python]} == _dogbreed_complete ]] || _dogbreed_before=${_comps[python]:-_default}
compdef _dogbreed_complete python python3
"""
_SHELLS = {"bash": _BASH, "zsh": _ZSH}


@ends_well("nothing was changed; run it again")
def main(arguments: Sequence[str] | None = None) -> int:
    """Print the function for the shell, or what could stand at the end of a line; 0."""
    options = make_parser().parse_args(arguments)
    if options.line is None:
        found = packages()
        script = (
            _SHELLS[options.shell]
            .replace("PACKAGES", "|".join(found))
            .replace("PREFIXES", " ".join(f"{name}." for name in found))
        )
        print(script.strip())
        return 0
    current = "" if options.line[-1:].isspace() else options.line.split()[-1]
    # Bash begins a new word at each of these; what stands before it is not to be repeated.
    begun = max((current.rfind(mark) + 1 for mark in "=:" if mark in options.breaks), default=0)
    for candidate in candidates(options.line):
        print(candidate[begun:])
    return 0


def make_parser() -> Parser:
    """What this command's arguments may be."""
    parser = Parser(
        prog="python -m dogbreed.completion",
        description="Print the function by which a shell completes commands, options, groups, keys and files of "
        "dogbreed, and of what is installed with it.",
        epilog='in this shell: eval "$(python -m dogbreed.completion)"; in all that come: '
        "python -m dogbreed.completion >> ~/.bashrc. For zsh: python -m dogbreed.completion zsh, and ~/.zshrc",
    )
    parser.add_argument("shell", nargs="?", choices=list(_SHELLS), default="bash", help="default: bash")
    parser.add_argument("--line", help=argparse.SUPPRESS)
    parser.add_argument("--breaks", default="", help=argparse.SUPPRESS)
    return parser


def candidates(line: str) -> list[str]:
    """What the last word of a line may be, in order; none where a file is wanted."""
    words = line.split() + ([""] if line[-1:].isspace() else [])
    at = words.index("-m") + 1
    name, given = words[at], words[at + 1 :]
    if not given:
        return sorted(command for command in commands() if command.startswith(name))
    if name not in commands():
        return []
    path = importlib.util.find_spec(name)
    module = importlib.import_module(f"{name}.__main__" if path and path.submodule_search_locations else name)
    with also_in(without_flags(given[:-1])[1]):
        found = _of_help(module.HELP, given) if hasattr(module, "HELP") else _of_parser(module.make_parser(), given)
        return sorted({candidate for candidate in found if candidate.startswith(given[-1])})


def packages() -> list[str]:
    """The packages whose commands are completed: this one, and those of the same distribution, whatever they are."""
    try:
        listed = distribution("dogbreed").read_text("top_level.txt") or ""
    except PackageNotFoundError:  # a checkout that is not installed
        listed = ""
    found = {name: importlib.util.find_spec(name) for name in {"dogbreed", *listed.split()}}
    return sorted(name for name, spec in found.items() if spec and spec.origin)  # no namespaces: Hydra's has plugins


def commands() -> Iterator[str]:
    """Every command, as it stands behind python -m."""
    for spec in filter(None, map(importlib.util.find_spec, packages())):
        root = Path(str(spec.origin)).parent
        for path in root.rglob("*.py"):
            if _COMMAND.search(path.read_text(encoding="utf-8")):
                parts = path.relative_to(root.parent).with_suffix("").parts
                yield ".".join(part for part in parts if part != "__main__")


def _of_parser(parser: Parser, given: Sequence[str]) -> Iterable[str]:
    """What a command takes that is not Hydra's."""
    *words, current = given
    for word in words:
        parser = parser.commands().get(word, parser)
    options = parser.options()
    if words and words[-1] in options and options[words[-1]].nargs != 0:  # its value
        return options[words[-1]].choices or ()
    if current.startswith("-"):
        return [option for option in options if option.startswith("--")]
    if isinstance(about := getattr(parser, "about", None), Help):
        return _of_help(about, given[1:]) if current else ()
    return parser.commands()


def _of_help(about: Help, given: Sequence[str]) -> Iterator[str]:
    """Flags, groups, their options, and keys as far as the next dot."""
    *words, current = given
    if words and words[-1] in VALUES:
        yield from VALUES[words[-1]]
        return
    if current.startswith("-"):
        flags = [MULTIRUN, *FLAGS] if about.sweeps else FLAGS
        yield from (flag for row in flags for text in row for flag in re.findall(r"--[a-z-]+", text))
        return
    mark = next((mark for mark in ("++", "+", "~") if current.startswith(mark)), "")
    key, is_set, value = current[len(mark) :].partition("=")
    groups = {group.name: group for group in all_groups(about)}
    if is_set:
        before = value.rpartition(",")[0]  # of a sweep over several
        listed = f"{before}," if before else ""
        yield from (f"{mark}{key}={listed}{option}" for option in groups[key].options) if key in groups else ()
        return
    ending = "" if mark == "~" else "="
    yield from (f"{mark}{name}{ending}" for name in groups)
    for setting in _settings(about, groups, words):
        if setting.startswith(key):
            end = setting.find(".", len(key))
            yield f"{mark}{setting}{ending}" if end < 0 else f"{mark}{setting[: end + 1]}"
            if mark == "~" and end >= 0:
                yield f"~{setting[:end]}"


def _settings(about: Help, groups: Mapping[str, Group], words: Sequence[str]) -> Iterator[str]:
    """The keys of a config in which the words have chosen."""
    chosen = {name: group.chosen for name, group in groups.items()}
    said = {key.lstrip("+"): option for key, is_set, option in (word.partition("=") for word in words) if is_set}
    for name, option in said.items():
        if name in groups and option in groups[name].options:
            chosen |= {entry.key: entry.value for entry in read_page(f"{name}/{option}").chosen}
    chosen |= {name: option for name, option in said.items() if name in groups}
    files = [f"{name}/{option}" for name, option in chosen.items() if option in groups[name].options]
    for file in [about.config, *files]:
        yield from (entry.key for entry in settings_of(file) if not entry.key.endswith(".*"))
    if not about.plain:
        yield "hydra.run.dir"
    if about.sweeps:
        yield "hydra.sweep.dir"


if __name__ == "__main__":
    sys.exit(main())
