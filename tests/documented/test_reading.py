"""The reader of pages finds what is wrong with one; the `python` it uses is Python."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.documented import pages
from tests.documented.pages import NotRun, differs, read_page
from tests.documented.reader import Misled, follow
from tests.documented.substitutions import as_run, runs_elsewhere

PYTHON = Path(sys.executable).parent


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(pages, "ROOT", tmp_path)

    def written(text: str):
        (tmp_path / "page.md").write_text(text.replace("'''", "```"))
        return read_page(tmp_path / "page.md")

    return written


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "empty").mkdir()
    return tmp_path / "empty"


def test_reader__runs_a_page_in_one_shell_in_order(page, place) -> None:
    asked = page("""
'''yaml title="deep/saved.yaml"
key: value
'''
'''bash
export NAME=reader   # kept for later
cd deep
printf "no line end"
echo hello \\
  $NAME; cat saved.yaml
'''
'''text
no line end
hello reader
key: value
'''
'''python
print(6 * 7)
'''
'''text
1
'''
""")
    assert [said for _, said in follow(asked, place, PYTHON)] == [
        "",
        "",
        "no line end",
        "hello reader\nkey: value\n",
        "42\n",
    ]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("'''bash\ntrue\nfalse\ntrue\n'''\n", "page.md:3: exit code 1 of\n  false"),
        ("'''python\nimport nothing_of_this_name\n'''\n", "No module named"),
        ("'''bash\necho one\necho two\n'''\n\n'''text\none\nthree\n'''\n", "shows\n  three\nit says\none\ntwo"),
    ],
)
def test_reader__finds_what_misleads(page, place, text, says) -> None:
    with pytest.raises(Misled) as caught:
        follow(page(text), place, PYTHON)
    assert says in str(caught.value)


def test_reader__stops_at_the_end_what_runs_in_the_background(page, place) -> None:
    asked = page("'''bash\npython -u -m http.server 8080 &\ncurl --silent http://127.0.0.1:8080/\n'''\n")
    (_, server), (_, listing) = follow(asked, place, PYTHON)
    assert "Directory listing" in listing
    port = int(re.findall(r"port (\d+)", server)[0])
    with socket.socket() as asking:
        assert asking.connect_ex(("127.0.0.1", port)) != 0


def test_page__refuses_commands_in_other_fences(page) -> None:
    with pytest.raises(NotRun, match="make it ```bash"):
        page("'''console\n$ python -m dogbreed.train\n'''\n")


def test_page__knows_what_is_not_run_and_what_stands_in_prose(page) -> None:
    prose = "Try `python -m dogbreed.train x=1`, `launch.jobs list`, `dogbreed.Head`.\n\n"
    asked = page(prose + "<!-- not run: asks -->\n'''bash\nread NAME\n'''\n")
    assert (asked.steps, asked.not_run) == ((), ((4, "asks"),))
    assert asked.inline == ((1, "python -m dogbreed.train x=1"), (1, "python -m launch.jobs"))


@pytest.mark.parametrize(
    ("shown", "real", "wrong"),
    [
        ("a 1\nb", "a 2.5\nb", ""),
        ("a\nb", "a\nmore\nb", "b"),
        ("a\n...\nb", "a\nmore\nb", ""),
        ("b\n...\na", "a\nb", "a"),
        ("a\n...", "a", ""),
        ("a\n...\nb", "a", "b"),
        ("epoch=0 ...", "epoch=3 step=4", ""),
        ("epoch=0 ...", "epochs", "epoch=0 ..."),
        ("a  b", "a    b", ""),
        ("done", "10%\r50%\rdone", ""),
        ("red", "\x1b[31mred\x1b[0m", ""),
    ],
)
def test_differs__finds_the_first_line_that_nothing_says(shown, real, wrong) -> None:
    assert differs(shown, real) == wrong


@pytest.mark.parametrize(
    ("command", "run"),
    [
        (
            "python -m dogbreed.train data.root=PHOTOS",
            "python -m dogbreed.train data.root=PHOTOS backbone.weights=none backbone.image_size=64",
        ),
        ("python -m dogbreed.train experiment=quickstart", "python -m dogbreed.train experiment=quickstart"),
        (
            "python -m dogbreed.serve --artifact DIR &",
            "python -m dogbreed.serve --artifact DIR --port 1 &",
        ),
        ("curl http://127.0.0.1:8080/ping", "curl --fail-with-body http://127.0.0.1:1/ping"),
        ("launch s3://BUCKET/PREFIX", "launch s3://dogbreed-of-a-reader/photos"),
        (
            "python -m launch.train experiment=quickstart  # a job",
            "python -m launch.train experiment=quickstart sagemaker.backend=process  # a job",
        ),
    ],
)
def test_as_run__adds_what_a_test_needs(command, run) -> None:
    assert as_run(command, 1) == run


def test_runs_elsewhere__only_what_stands_there() -> None:
    assert runs_elsewhere("make train   # sets up")
    assert runs_elsewhere('pip install -e ".[serving]"')
    assert not runs_elsewhere("make coffee")
    with pytest.raises(AssertionError, match=r"setup\.cfg has no"):
        runs_elsewhere('pip install -e ".[coffee]"')


@pytest.mark.slow
@pytest.mark.parametrize(
    "ending", ["", "raise SystemExit(3)", "raise SystemExit('no')", "1 / 0", "os.kill(os.getpid(), 15)"]
)
def test_quick_python__does_what_python_does(tmp_path: Path, python: Path, ending: str) -> None:
    package = tmp_path / "dogbreed"  # the name that is run by forks
    package.mkdir()
    (package / "__init__.py").write_text("import sys\nearly = list(sys.argv), sys.orig_argv[1:]\n")
    (package / "__main__.py").write_text(
        "import os, sys, atexit, dogbreed\n"
        "atexit.register(print, 'at the end')\n"
        "print(dogbreed.early, sys.argv, __name__, __spec__.name, os.getcwd(), sys.path[0], os.environ['SAID'])\n"
        "print(sys.executable, 'torch' in dir(), file=sys.stderr)\n"
        f"{ending}\n"
    )
    said = []
    for interpreter in (python / "python", sys.executable):
        command = [interpreter, "-m", "dogbreed", "a b", "--c"]
        ran = subprocess.run(command, cwd=tmp_path, env={**os.environ, "SAID": "x"}, capture_output=True)
        said.append((ran.returncode, ran.stdout, ran.stderr.splitlines()[-1:]))
    assert said[0] == said[1]
