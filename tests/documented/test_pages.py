"""Every page is followed from top to bottom: no command fails, and what a page shows is what it says."""

from __future__ import annotations

import re
from collections import Counter
from functools import cache
from pathlib import Path

import pytest

from tests.documented.pages import ROOT, Page, pages, words
from tests.documented.reader import follow
from tests.documented.substitutions import runs_elsewhere

PAGES = pages()


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in PAGES if page.steps], ids=lambda page: page.name)
def test_page__does_what_it_says(page: Page, tmp_path: Path, python: Path) -> None:
    follow(page, tmp_path, python)


@pytest.mark.parametrize("page", [page for page in PAGES if page.inline], ids=lambda page: page.name)
def test_page__speaks_of_no_command_that_nothing_runs(page: Page) -> None:
    for line, command in page.inline:
        assert is_run(command), f"{page.name}:{line}: {command} runs in no fence: put it into one, on any page"


def test_pages__each_names_folders_of_its_own() -> None:
    """For a run refuses a folder that holds one, and a reader goes from page to page."""
    named = [name for page in PAGES for name in set(re.findall(r"\.dir=(\S+)", " ".join(page.commands)))]
    assert [name for name, times in Counter(named).items() if times > 1] == []


def is_run(command: str) -> bool:
    """Whether a fence runs it, or a command that begins with it, or it is a test or a benchmark, which others run."""
    said = [word for word in words(command) if "=" not in word or not word.split("=")[0].isupper()]
    if said[-1] == "...":
        said.pop()
    module = said[2] if said[1:2] == ["-m"] and len(said) > 2 else ""
    if module == "pytest":
        return all((ROOT / word).exists() for word in said if word.startswith("tests/"))
    if module.startswith("benchmarks."):
        options = {word for word in said[3:] if word.startswith("--")}
        return options <= options_of(module)
    begins = re.sub(r"\b[A-Z]{2,}\b", r"\\S+", re.escape(" ".join(said)))  # RUN, DIR, FILE: any
    runs = (" ".join(words(run)) for page in PAGES for run in page.commands)
    return runs_elsewhere(" ".join(said)) or any(re.match(rf"{begins}(\s|$)", run) for run in runs)


@cache
def options_of(module: str) -> set[str]:
    """The options that a benchmark takes, as its source names them, and Hydra's."""
    source = (ROOT / f"{module.replace('.', '/')}.py").read_text()
    return {*re.findall(r'"(--[a-z-]+)"', source), "--multirun"}
