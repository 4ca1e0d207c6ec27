"""Hooks of mkdocs: the pages that are made while the site is built, and links that leave it.

`DOGBREED_NOTEBOOKS=FOLDER` adds the pages that `python -m docs_build.notebooks FOLDER` has written.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.plugins import get_plugin_logger
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from docs_build.reference import reference_pages

ROOT = Path(__file__).parents[1]

_LINK = re.compile(r"(?<!!)\[(?P<text>[^\]]+)\]\((?P<target>(?:\.\./)+[^)#\s]*)(?:#[^)]*)?\)")
_log = get_plugin_logger("docs_build")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put the pages that are made into the navigation."""
    assert config.nav is not None
    if notebooks := _notebooks():
        config.nav.insert(1, {"Tutorials": [f"tutorials/{page.name}" for page in notebooks]})
    config.nav.insert(-1, {"Reference": list(reference_pages())})
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the reference, and the executed notebooks with their pictures."""
    for path, make in reference_pages().items():
        files.append(File.generated(config, path, content=make()))
    for page in _notebooks():
        for source in (page, *sorted(page.parent.glob(f"{page.stem}_files/*"))):
            path = f"tutorials/{source.relative_to(page.parent)}"
            files.append(File.generated(config, path, abs_src_path=str(source)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Say the path of what stands in the repository and not on the site, where the page links to it."""
    source = page.file.abs_src_path
    if source is None or not Path(source).is_relative_to(config.docs_dir):
        return markdown

    def resolved(link: re.Match[str]) -> str:
        target = (Path(source).parent / link["target"]).resolve()
        if target.is_relative_to(config.docs_dir):
            return link[0]
        if target.suffix == ".ipynb" and target.stem in {notebook.stem for notebook in _notebooks()}:
            there = os.path.relpath(f"tutorials/{target.stem}.md", os.path.dirname(page.file.src_uri))
            return f"[{link['text']}]({there})"
        if not target.is_relative_to(ROOT) or not target.exists():
            _log.warning(f"{page.file.src_path} links to {link['target']}, which the repository does not have")
        path = str(target.relative_to(ROOT))
        return f"`{path}`" if link["text"].strip("`/") in path else f"{link['text']} (`{path}`)"

    return _LINK.sub(resolved, markdown)


def on_post_build(config: MkDocsConfig) -> None:
    """Leave out the page that a server shows for others that it does not have; its links begin at the server's root."""
    (Path(config.site_dir) / "404.html").unlink()


def _notebooks() -> list[Path]:
    folder = os.environ.get("DOGBREED_NOTEBOOKS")
    return sorted(Path(folder).glob("[0-9]*.md")) if folder else []
