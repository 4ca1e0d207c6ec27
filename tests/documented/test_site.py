"""The site builds without a warning, has no dead link, needs no network, and is found by what people look for."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import pytest

import dogbreed
import launch
from docs_build.reference import BASES, commands
from dogbreed.health import rules
from tests.documented.links import dead_links, read_links
from tests.documented.pages import ROOT

README_LINK = re.compile(r"\]\(([^)\s]+)\)")


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site as `make docs` builds it; with the notebooks if DOGBREED_NOTEBOOKS says where they were executed."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    return folder


@pytest.fixture(scope="session")
def found(site: Path) -> list[dict[str, str]]:
    """What the search knows: location, title and text of every section."""
    index = (site / "search/search_index.js").read_text()
    return list(json.loads(index[index.index("{") : index.rindex("}") + 1])["docs"])


@pytest.mark.slow
def test_site__has_no_dead_link(site: Path) -> None:
    assert dead_links(site) == []


@pytest.mark.slow
def test_site__loads_nothing_from_elsewhere(site: Path) -> None:
    for page in site.rglob("*.html"):
        assert not [target for target in read_links(page).loaded if re.match(r"(https?:)?//", target)], page


@pytest.mark.slow
@pytest.mark.parametrize(
    ("asked", "page"),
    [
        ("halving", "how-to/sweeps.html"),
        ("exclude", "how-to/own_data.html"),
        ("Overfit", "reference/rules.html"),
        ("save_artifact", "reference/library.html"),
        ("crop_pct", "reference/configs.html"),
        ("--calibrate", "reference/commands.html"),
        ("systemd", "how-to/serving.html"),
    ],
)
def test_search__finds(found: list[dict[str, str]], asked: str, page: str) -> None:
    places = {entry["location"].split("#")[0] for entry in found if asked in entry["title"] + entry["text"]}
    assert page in places


@pytest.mark.slow
def test_reference__has_every_public_name(site: Path) -> None:
    lines = (site / "objects.inv").read_bytes().split(b"\n", 4)
    names = {line.split(" ")[0] for line in zlib.decompress(lines[4]).decode().splitlines()}
    public = {f"{package.__name__}.{name}" for package in (dogbreed, launch) for name in package.__all__}
    assert {*public, *BASES} <= names


@pytest.mark.slow
def test_reference__has_every_command_rule_and_option(site: Path) -> None:
    ids = {name: read_links(site / f"reference/{name}.html").names for name in ("commands", "rules", "configs")}
    assert {command.replace(".", "") for command in commands()} <= ids["commands"]
    assert {name.lower() for name in rules.__all__ if name != "Rule"} <= ids["rules"]
    pages = (ROOT / "conf").glob("*/*.yaml")
    assert {f"{page.parent.name}{page.stem}".lower() for page in pages} <= ids["configs"]


@pytest.mark.slow
@pytest.mark.parametrize("width", [390, 1400])
def test_site__fits_the_screen_and_is_searched_without_a_network(site: Path, chromium: Any, width: int) -> None:
    context = chromium.new_context(viewport={"width": width, "height": 900}, offline=True)
    page = context.new_page()
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    for file in sorted(site.rglob("*.html")):
        page.goto(file.as_uri())
        overflow = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
        assert overflow <= 0, f"{file.relative_to(site)} is {overflow} pixels too wide"
    page.goto((site / "index.html").as_uri())
    if width < 1000:
        page.locator("label.md-header__button[for=__search]").click()
    page.locator("input[name=query]").press_sequentially("halving")
    page.locator(".md-search-result__item a", has_text="Fewer trials").first.wait_for(state="attached")
    assert complaints == []


@pytest.mark.parametrize("name", ["README.md", "SECURITY.md"])
def test_page_of_the_repository__links_to_what_is_there(name: str) -> None:
    for target in README_LINK.findall((ROOT / name).read_text()):
        if "://" not in target and not target.startswith("#"):
            assert (ROOT / target.split("#")[0]).exists(), target


def test_dead_links__are_found(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text('<p id="here"><a href="#here"><a href="#gone"><a href="b.html">')
    (tmp_path / "a.html").write_text('<a href="index.html#here"><a href="index.html#no"><img src="https://a.org/x">')
    assert dead_links(tmp_path) == ["a.html: index.html#no", "index.html: #gone", "index.html: b.html"]
