"""Reports inside notebooks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dogbreed import show_report
from dogbreed.errors import ConfigError
from dogbreed.reports.run_report import write_report

Look = Callable[..., Any]


@pytest.fixture(scope="module")
def run(explained_run: Path) -> Path:
    write_report(explained_run)
    return explained_run


def embedded(directory: Path, *frames: Any) -> Path:
    page = directory / "notebook.html"
    page.write_text("<!DOCTYPE html><meta charset=utf-8>" + "".join(frame._repr_html_() for frame in frames))
    return page


def test_show_report__shows_the_sections_that_are_named(run: Path, look: Look, tmp_path: Path) -> None:
    with look(embedded(tmp_path, show_report(run, "verdict", "curves")), 900) as seen:
        frame = seen.page.frames[1]
        assert frame.locator("section").evaluate_all("all => all.map(one => one.id)") == ["curves"]
        assert frame.locator(".verdict").is_visible()
        assert frame.locator("nav").count() == 0
        assert frame.locator("svg").first.is_visible()
        assert seen.messages == []


def test_show_report__is_as_high_as_what_it_shows(run: Path, look: Look, tmp_path: Path) -> None:
    with look(embedded(tmp_path, show_report(run, "verdict"), show_report(run, "confusion")), 390) as seen:
        seen.page.wait_for_function(
            "[...document.querySelectorAll('iframe')].every(frame =>"
            " Math.abs(frame.offsetHeight - frame.contentDocument.body.scrollHeight) < 2)"
        )
        low, high = seen.page.evaluate("[...document.querySelectorAll('iframe')].map(frame => frame.offsetHeight)")
        assert low < high
        assert seen.page.evaluate("document.scrollingElement.scrollWidth") <= 390


def test_show_report__shows_all_of_it(run: Path, look: Look, tmp_path: Path) -> None:
    frame = show_report(str(run))
    assert "\n" not in frame._repr_html_(), "an empty line would end it in Markdown"
    with look(embedded(tmp_path, frame), 900) as seen:
        inside = seen.page.frames[1]
        assert inside.locator("section").count() > 5
        inside.click("nav a[href='#confusion']")
        # Not wait_for_function: to look again it evaluates text, which the report's policy forbids.
        expect = pytest.importorskip("playwright.sync_api").expect
        expect(inside.locator("#confusion h2")).to_be_in_viewport()
        assert len(seen.page.frames) == 2, "the link leads within the report"
        assert seen.page.evaluate("document.querySelector('iframe').offsetHeight") < 700, "it scrolls inside"


def test_show_report__of_an_unknown_section_names_those_near(run: Path) -> None:
    with pytest.raises(ConfigError, match="did you mean curves") as caught:
        show_report(run, "curve")
    assert {"verdict", "curves", "confusion", "time"} < set(caught.value.allowed.split(", "))


def test_show_report__without_a_report_says_how_to_write_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"python -m dogbreed\.report"):
        show_report(tmp_path)


def test_show_report__takes_the_file_itself(run: Path) -> None:
    assert show_report(run / "report.html", "curves") == show_report(run, "curves")


def test_show_report__of_another_file_says_what_it_takes(tmp_path: Path) -> None:
    (tmp_path / "a file").touch()
    with pytest.raises(ConfigError, match="there is no ") as caught:
        show_report(tmp_path / "a file")
    assert caught.value.hint.endswith("/a file'"), "quoted for the shell"


def test_show_report__scrolls_inside_a_height_that_is_given(run: Path, look: Look, tmp_path: Path) -> None:
    with look(embedded(tmp_path, show_report(run, "confusion", height=300)), 900) as seen:
        assert seen.page.evaluate("document.querySelector('iframe').clientHeight") == 300
        assert seen.page.frames[1].evaluate("document.scrollingElement.scrollHeight") > 300
