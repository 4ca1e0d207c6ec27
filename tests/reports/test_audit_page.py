"""The page of an audit, of a real one on a tree with every fault."""

from __future__ import annotations

import base64
import io
import os
import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dogbreed.audit.audit import Audit
from dogbreed.reports.audit_contents import PAIR_KINDS, leaked, rank_pairs
from dogbreed.reports.audit_page import write_audit_page
from dogbreed.reports.names import legible
from tests.reports.conftest import CONTRASTS, audited

Look = Callable[..., Any]
WIDTH = "document.scrollingElement.scrollWidth"


class Page(HTMLParser):
    """The elements of a page, and its text."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(path.read_text("utf-8"))
        self.text = re.sub(r"\s+", " ", " ".join(self.words))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def all(self, tag: str, attribute: str) -> list[str]:
        return [found[attribute] or "" for name, found in self.elements if name == tag and attribute in found]


@pytest.fixture(scope="module")
def page(dirty_audit: Audit, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_audit_page(tmp_path_factory.mktemp("page") / "audit.html", dirty_audit)


def test_write_audit_page__links_each_kind_to_its_section(page: Path, dirty_audit: Audit) -> None:
    read, kinds = Page(page), {finding.kind for finding in dirty_audit.findings}
    assert {link[1:] for link in read.all("a", "href")} >= kinds
    assert set(read.all("h3", "id")) == kinds


def test_write_audit_page__shows_all_of_a_small_audit(page: Path, dirty_audit: Audit) -> None:
    text = Page(page).text
    for path in {path for finding in dirty_audit.findings for path in finding.paths}:
        assert re.sub(r"\s+", " ", legible(path)) in text


def test_write_audit_page__shows_the_worst_pairs_first(page: Path, dirty_audit: Audit) -> None:
    shown = [kind for kind in Page(page).all("h3", "id") if kind in PAIR_KINDS]
    assert shown == [kind for kind in PAIR_KINDS if kind in {one.kind for one in rank_pairs(dirty_audit)}]
    assert shown[:2] == ["duplicate_leak", "near_leak"]


def test_write_audit_page__marks_what_is_left_out(page: Path, dirty_audit: Audit) -> None:
    excluded = {exclusion.path for exclusion in dirty_audit.exclusions}
    captions = re.findall(r"<figcaption>(.*?)</figcaption>", page.read_text(), re.S)
    marks = [re.search(r'fate (goes|stays)">.*<span class="path">(.*?)</span>', caption, re.S) for caption in captions]
    found = [mark.groups() for mark in marks if mark is not None]
    assert len(found) >= 2 * len(dirty_audit.pairs)
    for fate, path in found:
        assert (fate == "goes") == (path in excluded)


def test_write_audit_page__embeds_whole_pictures_upright(page: Path, dirty_audit: Audit) -> None:
    pictures = [uri for uri in Page(page).all("img", "src") if uri.startswith("data:image/jpeg;base64,")]
    assert len(pictures) == len(Page(page).all("img", "src")) >= 2 * len(dirty_audit.pairs)
    for uri in pictures:
        with Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))) as picture:
            picture.load()
            assert max(picture.size) <= 200


def test_write_audit_page__believes_no_name(tmp_path: Path) -> None:
    root = tmp_path / "photos"
    names = ['"><img src=x onerror=alert(1)>.jpg', "<script>alert(2)<!--.jpg", "two\nlines.jpg", "\u202egpj.jpg"]
    names += [os.fsdecode(b"\xff\xfe.jpg"), "{{ 7 * 7 }}.jpg"]
    audit = audited(root, dict.fromkeys(names, "<b>&'\"class"))
    read = Page(write_audit_page(tmp_path / "audit.html", audit))
    assert len(audit.pairs) == len(names)
    assert {name for name, _ in read.elements}.isdisjoint({"script", "b class"})
    assert all(uri.startswith("data:image/jpeg;base64,") for uri in read.all("img", "src"))
    assert not [key for _, attributes in read.elements for key in attributes if key.startswith("on")]
    for name in names:
        assert legible(name) in read.text


def test_write_audit_page__stays_small_however_much_was_found(dirty_audit: Audit, tmp_path: Path) -> None:
    root = tmp_path / "photos"
    pixels = np.random.default_rng(0).integers(0, 256, (256, 256, 3), dtype=np.uint8)  # noise: the largest JPEGs
    look = next(look for look in dirty_audit.looks if look.problem is None)
    (root / look.path).parent.mkdir(parents=True)
    Image.fromarray(pixels).save(root / look.path, quality=95)
    pair = replace(dirty_audit.pairs[0], first=0, second=1)
    findings = [replace(one, paths=(look.path, "long" * 1000)) for one in dirty_audit.findings for _ in range(60)]
    many = replace(dirty_audit, root=root, looks=[look, look], pairs=[pair] * 201, findings=findings)
    path = write_audit_page(tmp_path / "audit.html", many)
    assert path.stat().st_size < 5_000_000
    text = Page(path).text
    assert "The first 200 are shown; audit.json has all" in text
    assert "The first 50 are shown; audit.json has all" in text


def test_write_audit_page__outlives_its_pictures(dirty_audit: Audit, tmp_path: Path) -> None:
    path = write_audit_page(tmp_path / "audit.html", replace(dirty_audit, root=tmp_path / "gone"))
    assert Page(path).text.count("no thumbnail") >= 2 * len(dirty_audit.pairs)


def test_write_audit_page__of_a_clean_tree_finds_nothing(tmp_path: Path) -> None:
    audit = audited(tmp_path / "photos", {})
    assert not audit.findings
    text = Page(write_audit_page(tmp_path / "audit.html", audit)).text
    assert "No problem in photos" in text
    assert "No photograph of test stands in train or val" in text
    assert "No file has to be left out" in text
    assert "data.exclude" not in text


def test_write_audit_page__says_how_much_of_test_leaks(tmp_path: Path) -> None:
    audit = audited(tmp_path / "photos", {"seen.jpg": "001.Akita", "seen too.jpg": "002.Beagle"})
    assert leaked(rank_pairs(audit), "test") == 2
    text = Page(write_audit_page(tmp_path / "audit.html", audit)).text
    assert "Not as it stands: 2 pictures of test" in text.replace("\N{NO-BREAK SPACE}", " ")
    assert "2 make the test accuracy lie" in text


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_write_audit_page__asks_for_nothing_fits_and_can_be_read(
    page: Path, look: Look, width: int, scheme: str
) -> None:
    with look(page, width, scheme) as seen:
        assert [url for url in seen.requests if not url.startswith(("data:", "file:"))] == []
        assert seen.messages == []
        assert seen.page.evaluate(WIDTH) <= width
        contrast, text = seen.page.evaluate(CONTRASTS)[0]
        assert contrast >= 4.5, text
