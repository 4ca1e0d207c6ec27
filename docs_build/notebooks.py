"""`python -m docs_build.notebooks FOLDER`: every notebook executed, and as a page with its pictures beside it."""

from __future__ import annotations

import argparse
import os
import re
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbconvert import MarkdownExporter
from traitlets.config import Config

#: The notebooks, in their order.
NOTEBOOKS = tuple(sorted(Path(__file__).parents[1].glob("notebooks/*.ipynb")))

_CELL_S = 1200  # a cell that takes longer hangs, on however busy a machine
_COLUMNS = "110"  # of the terminal that commands are shown
_TEMPLATE = r"""
{%- extends 'markdown/index.md.j2' -%}
{%- block input %}
```ipython3
{{ cell.source }}
```
{% endblock input -%}
{%- block stream %}
```text
{{ output.text | strip_ansi | trim('\n') }}
```
{% endblock stream -%}
{%- block data_text %}
```text
{{ output.data['text/plain'] | strip_ansi }}
```
{% endblock data_text -%}
{%- block data_png %}
![what the cell shows]({{ output.metadata.filenames['image/png'] | path2url }})
{% endblock data_png -%}
{%- block data_jpg %}
![what the cell shows]({{ output.metadata.filenames['image/jpeg'] | path2url }})
{% endblock data_jpg -%}
{%- block data_html %}
{{ output.data['text/html'] }}
{% endblock data_html -%}
"""


def execute(notebook: Path, folder: Path) -> Path:
    """The path of the notebook with its outputs, in `folder`, run by a fresh kernel in an empty folder of its own.

    Raises:
        CellExecutionError: a cell fails.
    """
    content = nbformat.read(notebook, as_version=4)
    workplace = folder / notebook.stem
    workplace.mkdir(parents=True)
    # `!python` is the Python that runs this, as in an environment that was activated.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    with tempfile.TemporaryDirectory() as sockets:  # not ports, which others could take or listen to
        client = NotebookClient(
            content,
            timeout=_CELL_S,
            kernel_name="python3",
            coalesce_streams=True,  # of a progress bar its last state
            resources={"metadata": {"path": str(workplace)}},
            config=Config(KernelManager={"transport": "ipc", "ip": f"{sockets}/kernel"}),
        )
        client.execute(env={**os.environ, "PATH": path, "COLUMNS": _COLUMNS})
    executed = folder / notebook.name
    nbformat.write(content, executed)
    return executed


def render(executed: Path, folder: Path) -> Path:
    """The Markdown page of an executed notebook, in `folder`; its pictures lie in a folder beside it."""
    exporter = MarkdownExporter(raw_template=_TEMPLATE)
    name = executed.stem
    naming = {"unique_key": name, "output_files_dir": f"{name}_files"}
    page, resources = exporter.from_notebook_node(nbformat.read(executed, as_version=4), naming)
    page = page.replace(f"{executed.with_suffix('')}{os.sep}", "")  # where it ran is nobody's concern
    page = re.sub(r"(\]\(\w+)\.ipynb\)", r"\1.md)", page)  # notebooks name each other
    for file, data in resources["outputs"].items():
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_bytes(data)
    path = folder / f"{name}.md"
    path.write_text(page, encoding="utf-8")
    return path


def main(arguments: Sequence[str] | None = None) -> None:
    """Execute the notebooks and write their pages."""
    parser = argparse.ArgumentParser(prog="python -m docs_build.notebooks", description=__doc__)
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="for notebooks, pages and pictures: new, or empty")
    folder: Path = parser.parse_args(arguments).folder.absolute()
    if folder.is_dir() and any(folder.iterdir()):
        parser.error(f"{folder} is not empty")
    for notebook in NOTEBOOKS:
        started = time.monotonic()
        page = render(execute(notebook, folder), folder)
        print(f"{page} ({time.monotonic() - started:.0f} s)", flush=True)


if __name__ == "__main__":
    main()
