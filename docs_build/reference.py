"""The reference: pages made of docstrings, of conf/'s comments and of what the commands say of themselves."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import inspect
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from pathlib import Path

import dogbreed
import launch
from dogbreed import choices
from dogbreed.health import rules

ROOT = Path(__file__).parents[1]

#: What to build upon, beside the names of `dogbreed` and `launch` themselves.
BASES = (
    "dogbreed.models.heads.Head",
    "dogbreed.models.backbones.Backbone",
    "dogbreed.data.transforms.TransformSpec",
    "dogbreed.serving.answer.Prediction",
    "dogbreed.health.rules.Rule",
    "dogbreed.health.findings.Finding",
    "dogbreed.health.samples.Sample",
    "dogbreed.health.samples.Facts",
    "dogbreed.errors.DogbreedError",
)

_INSIDE = ("launch.entry", "launch.process.supervisor", "launch.process.tuner")  # started by no person
_COLUMNS = "100"
_CONFIGS = ("train", "evaluate", "launch", "deploy", "transform", "audit", "download", "split", "summary")
_RULE_SETS = ("default", "aws", "aws_guide")

_COMMANDS = """# Commands

What each says with `--help`.
"""
_SETTINGS = """# Settings

Every group of `conf/` with its options, `GROUP=OPTION`, and their settings, `KEY=VALUE`. What an option begins with is
shown with it.
"""
_RULES = """# Rules

What judges a run while it trains, and again by `python -m dogbreed.health replay`. `health=default` has thresholds for
a head on a frozen backbone, `health=aws` those of SageMaker's documentation, `health=aws_guide` what its guide
recommends instead. A parameter is set by `health.rules.RULE.PARAMETER=VALUE`.

[What each rule means](../explanations/what_each_rule_means.md) tells what to do about it.
"""
_LIBRARY = """# Library

The names of `dogbreed` and `launch`, loaded when they are first used, and what to build upon.
"""


def reference_pages() -> Mapping[str, Callable[[], str]]:
    """Path in the site -> what makes the page."""
    return {
        "reference/commands.md": _commands_page,
        "reference/configs.md": _configs_page,
        "reference/rules.md": _rules_page,
        "reference/library.md": _library_page,
    }


def commands() -> list[str]:
    """The commands that people type, by their modules: those whose docstring begins with how to."""
    found = []
    for package in ("dogbreed", "launch"):
        for path in sorted((ROOT / package).rglob("*.py")):
            said = re.match(r"`python -m ([\w.]+)", ast.get_docstring(ast.parse(path.read_text())) or "")
            if said and said[1] not in _INSIDE:
                found.append(said[1])
    return found


def commands_within(module: str) -> list[str]:
    """The commands of a command, as `cost` is one of `launch.jobs`; those that take Hydra's settings have none."""
    spec = importlib.util.find_spec(module)
    is_package = spec is not None and spec.submodule_search_locations is not None
    loaded = importlib.import_module(f"{module}.__main__" if is_package else module)
    return [] if hasattr(loaded, "HELP") else list(loaded.make_parser().commands())


def _commands_page() -> str:
    parts = [_COMMANDS]
    modules = commands()
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        helps = dict(zip(modules, threads.map(_help, ((module,) for module in modules)), strict=True))
        ways = [(module, way) for module in modules for way in commands_within(module)]
        details = dict(zip(ways, threads.map(_help, ways), strict=True))
    for module, said in helps.items():
        parts.append(f"## {module}\n\n```text\n{said}```\n")
        parts += [f"### {module} {way}\n\n```text\n{told}```\n" for (of, way), told in details.items() if of == module]
    return "\n".join(parts)


def _help(words: Iterable[str]) -> str:
    command = [sys.executable, "-m", *words, "--help"]
    environment = {**os.environ, "COLUMNS": _COLUMNS, "NO_COLOR": "1", "HOME": "/home/you"}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True).stdout


def _configs_page() -> str:
    parts = [_SETTINGS]
    for config in _CONFIGS:
        page = choices.read_page(config)
        parts.append(f"## {config}.yaml\n\n{_paragraphs(page.header)}\n\n{_table(page.settings)}")
    for group in _groups():
        parts.append(f"## {group}\n")
        for option in choices.options_of(group):
            file = f"{group}/{option}"
            said = _paragraphs(choices.read_page(file).header)
            parts.append(f"### {group}={option}\n\n{said}\n\n{_table(choices.settings_of(file))}")
    return "\n".join(parts)


def _groups() -> Iterator[str]:
    for folder in sorted(path for path in (ROOT / "conf").rglob("*") if path.is_dir()):
        if any(folder.glob("*.yaml")):
            yield str(folder.relative_to(ROOT / "conf"))


def _paragraphs(header: list[str]) -> str:
    """A comment as Markdown: what is indented in it is code."""
    lines = [f"    {line.strip()}" if line.startswith("  ") else _escaped(line) for line in header]
    return re.sub(r"(?m)^(?!    )(.+)\n(?=    )", r"\1\n\n", "\n".join(lines))


def _table(entries: Iterable[choices.Entry]) -> str:
    rows = [f"| `{entry.key}` | {_code(entry.value)} | {_cell(entry.text)} |" for entry in entries]
    return "\n".join(["| setting | default | |", "|---|---|---|", *rows, ""]) if rows else ""


def _code(value: object) -> str:
    return f"`{_bars(value)}`" if str(value) else ""


def _cell(text: str) -> str:
    return _bars(_escaped(text))


def _escaped(text: str) -> str:
    """Plain text, of which Markdown makes nothing else."""
    return re.sub(r"([<*\[\]_])", r"\\\1", text)


def _bars(text: object) -> str:
    return str(text).replace("|", "\\|")


def _rules_page() -> str:
    parts = [_RULES]
    told = {name: _rule_settings(name) for name in _RULE_SETS}
    for name in rules.__all__:
        rule = getattr(rules, name)
        if rule is rules.Rule:
            continue
        about, _, attributes = inspect.cleandoc(rule.__doc__).partition("\n\nAttributes:\n")
        meanings = dict(re.findall(r"^    (\w+): (.+(?:\n {8}.+)*)", attributes, re.MULTILINE))
        parts.append(f"## {name}\n\n{about}\n\nJudged by: {rule.needs}.\n")
        rows = []
        for entry in fields(rule):
            found = {health: told[health].get((name, entry.name)) for health in _RULE_SETS}
            values = [_code(setting.value) if setting else "" for setting in found.values()]
            comments = [setting.text for setting in found.values() if setting and setting.text]
            text = " ".join(meanings.get(entry.name, comments[-1] if comments else "").split())
            rows.append(f"| `{entry.name}` | {' | '.join(values)} | {_cell(text)} |")
        if rows:
            head = " | ".join(f"health={health}" for health in _RULE_SETS)
            parts.append("\n".join([f"| parameter | {head} | |", "|---|---|---|---|---|", *rows, ""]))
    return "\n".join(parts)


def _rule_settings(health: str) -> dict[tuple[str, str], choices.Entry]:
    """(rule, parameter) -> what a file of conf/health sets."""
    found = {}
    for entry in choices.settings_of(f"health/{health}"):
        if match := re.fullmatch(r"health\.rules\.(\w+)\.(\w+)", entry.key):
            found[match[1], match[2]] = entry
    return found


def _library_page() -> str:
    parts = [_LIBRARY]
    parts += [f"::: dogbreed.{name}\n" for name in dogbreed.__all__]
    parts += [f"::: launch.{name}\n" for name in launch.__all__]
    parts += [f"::: {name}\n" for name in BASES]
    return "\n".join(parts)
