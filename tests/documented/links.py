"""The links of built pages: where they lead, and whether that is there."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit


@dataclass
class Links(HTMLParser):
    """What a page of HTML refers to, what of it is loaded with the page, and the names that can be referred to."""

    targets: list[str] = field(default_factory=list)
    loaded: list[str] = field(default_factory=list)
    names: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take up what the tag refers to."""
        for key, value in attrs:
            if value is None:
                continue
            if key in ("id", "name"):
                self.names.add(value)
            elif key in ("href", "src"):
                self.targets.append(value)
                if key == "src" or (tag == "link" and dict(attrs).get("rel") != "canonical"):
                    self.loaded.append(value)


def read_links(page: Path) -> Links:
    """Those of an HTML file."""
    links = Links()
    links.feed(page.read_text(encoding="utf-8"))
    return links


def dead_links(site: Path) -> list[str]:
    """`page: target` of each link below `site` that leads nowhere; of other hosts only the form is looked at."""
    pages = {page: read_links(page) for page in sorted(site.rglob("*.html"))}
    dead = []
    for page, links in pages.items():
        for target in links.targets:
            parts = urlsplit(target)
            if parts.scheme in ("http", "https"):
                alive = "." in parts.netloc or parts.hostname in ("localhost", "127.0.0.1")
            elif parts.scheme:
                alive = parts.scheme in ("data", "mailto", "javascript")
            else:
                path = (page.parent / unquote(parts.path)).resolve() if parts.path else page
                path = path / "index.html" if path.is_dir() else path
                names = pages[path].names if path in pages else set()
                alive = path.exists() and (not parts.fragment or unquote(parts.fragment) in names)
            if not alive:
                dead.append(f"{page.relative_to(site)}: {target}")
    return dead
