"""What a page of the documentation asks a reader to do: its commands, its files, its outputs."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from textwrap import dedent

from docs_build.reference import commands

ROOT = Path(__file__).parents[2]

_FENCE = re.compile(
    r"(?:^<!-- not run: (?P<reason>[^\n]+) -->\n\s*)?"
    r"^(?P<indent> *)```(?P<language>\w*)(?P<options>[^\n`]*)\n(?P<body>.*?)^(?P=indent)```[ ]*$",
    re.MULTILINE | re.DOTALL,
)
_INLINE = re.compile(r"(?<!`)`(?P<command>(?:[A-Z_]+=\S+ )*(?:python -m|make|pip install) [^`]+)`(?!`)")
_NAMED = re.compile(r"(?<!`)`(?P<module>(?:dogbreed|launch)\.\w+)(?: [^`]*)?`(?!`)")
_RUNS = {"bash", "python"}
_SHELLS = {"", "sh", "shell", "console", "zsh"}


@dataclass(frozen=True)
class Step:
    """One thing to do: a command, or a script of Python, or a file to save.

    `fence` is the line in which its fence begins; `output`, in the last step of a fence, is what the page shows of what
    the whole fence says.
    """

    fence: int
    line: int
    command: str = ""
    script: str = ""
    file: str = ""
    text: str = ""
    output: str = ""


@dataclass(frozen=True)
class Page:
    """A page: its steps in order, the fences that are not run, and the commands in its prose, also by name alone."""

    path: Path
    steps: tuple[Step, ...]
    not_run: tuple[tuple[int, str], ...]
    inline: tuple[tuple[int, str], ...]

    @property
    def name(self) -> str:
        """Where it stands in the repository."""
        return str(self.path.relative_to(ROOT))

    @property
    def commands(self) -> list[str]:
        """The commands of its bash fences, each on one line."""
        return [step.command for step in self.steps if step.command]


class NotRun(AssertionError):
    """Something on a page looks like a command, and nothing would run it."""


def pages() -> list[Page]:
    """Every page that is written by hand: README.md, SECURITY.md and those under docs/."""
    return [read_page(path) for path in (ROOT / "README.md", ROOT / "SECURITY.md", *sorted(ROOT.glob("docs/**/*.md")))]


def read_page(path: Path) -> Page:
    """The page at `path`.

    Raises:
        NotRun: a fence with a command in it has a language that is not run.
    """
    text = path.read_text()
    steps: list[Step] = []
    not_run: list[tuple[int, str]] = []
    end = None  # of a fence that ran, where its output may follow
    for fence in _FENCE.finditer(text):
        line = text.count("\n", 0, fence.start("indent")) + 1
        body = dedent(fence["body"])
        language, title = fence["language"], re.search(r'title="([^"]+)"', fence["options"])
        follows, end = end is not None and not text[end : fence.start()].strip(), None
        if fence["reason"]:
            not_run.append((line, fence["reason"]))
        elif title:
            steps.append(Step(line, line, file=title[1], text=body))
        elif language == "text" and follows:
            steps[-1] = Step(**{**vars(steps[-1]), "output": body})
        elif language in _RUNS:
            steps += _steps(language, body, line)
            end = fence.end()
        elif language in _SHELLS and re.search(r"^\$? ?(python|make|pip|curl|git) ", body, re.MULTILINE):
            raise NotRun(f"{path}:{line}: a command in a fence that is not run; make it ```bash")
    prose = _FENCE.sub(lambda fence: "\n" * fence[0].count("\n"), text)
    inline = [(found.start(), " ".join(found["command"].split())) for found in _INLINE.finditer(prose)]
    named = ((found.start(), found["module"]) for found in _NAMED.finditer(prose))
    inline += [(start, f"python -m {module}") for start, module in named if module in _modules()]
    lines = tuple((prose.count("\n", 0, start) + 1, command) for start, command in sorted(inline))
    return Page(path, tuple(steps), tuple(not_run), lines)


@cache
def _modules() -> frozenset[str]:
    return frozenset(commands())


def _steps(language: str, body: str, line: int) -> list[Step]:
    if language == "python":
        return [Step(line, line + 1, script=body)]
    steps = []
    for command in re.finditer(r"^(?![ \t]*(?:#|$))(?:.*\\\n)*.*$", body, re.MULTILINE):
        number = line + 1 + body.count("\n", 0, command.start())
        steps.append(Step(line, number, command=re.sub(r"\\\n\s*", "", command[0]).strip()))
    return steps


def words(command: str) -> list[str]:
    """The words of a command as a shell splits them, without its comment."""
    return shlex.split(command, comments=True)


def differs(shown: str, real: str) -> str:
    """The first line of `shown` that `real` does not say in that place; "" where it says all of them.

    Lines follow one another unless a line `...` stands between them; ` ...` at the end of a line stands for the rest of
    it, a number for any number, a space for any spaces.

    >>> differs("wrote 3 files\\n...\\ntook 2.5 s", "first\\nwrote 12 files\\nmore\\ntook 1e-3 s\\n")
    ''
    >>> differs("wrote 3 files\\ntook 2.5 s", "wrote 12 files\\nmore\\ntook 1e-3 s\\n")
    'took 2.5 s'
    """
    real = re.sub(r"\x1b\[[\d;]*m", "", real).replace("\r\n", "\n")
    printed = [line.rsplit("\r", 1)[-1].strip() for line in real.split("\n")]
    at = 0
    for block in re.split(r"^ *\.\.\. *$", shown, flags=re.MULTILINE):
        lines = block.strip("\n").splitlines()
        agreed = [_agree(lines, printed[start:]) for start in range(at, len(printed) + 1)]
        if max(agreed, default=0) < len(lines):
            return lines[max(agreed, default=0)]
        at += agreed.index(len(lines)) + len(lines)
    return ""


def _agree(lines: list[str], printed: list[str]) -> int:
    """How many of the lines stand there, one after the other."""
    pairs = enumerate(zip(lines, printed, strict=False))
    return next((n for n, (line, real) in pairs if not _pattern(line).fullmatch(real)), min(len(lines), len(printed)))


@cache
def _pattern(line: str) -> re.Pattern[str]:
    line, cut = (line[:-4], r"\b.*|\W.*|") if line.rstrip().endswith(" ...") else (line, "")
    number = r"[-+]?\d[\d,]*(?:\.\d+)?(?:e[-+]?\d+)?"
    parts = filter(None, re.split(rf"({number}|\s+)", line.strip()))
    known = [r"\s+" if part.isspace() else number if re.fullmatch(number, part) else re.escape(part) for part in parts]
    return re.compile(f"{''.join(known)}(?:{cut})")
