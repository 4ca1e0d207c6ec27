"""How what stands on a page becomes what runs in a test: everything that is replaced, added or run elsewhere."""

from __future__ import annotations

import atexit
import re
import shutil
import tempfile
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

from dogbreed.data.sample import draw_sample
from tests.documented.pages import ROOT, words

#: Names that a page uses for what its reader has. Folders and files of these names are put beside the page's commands.
BELONGINGS = ("PHOTOS", "FLAT", "RUN", "SWEEP", "WEIGHTS")

#: Names that cannot stand for themselves.
VALUES = {"BUCKET": "dogbreed-of-a-reader", "PREFIX": "photos", "ACCOUNT": "123456789012"}

#: The port that pages speak of; each page that is run has one of its own.
PORT = "8080"


class Added(NamedTuple):
    """Words put behind a command when it is run by a test, and when."""

    words: str
    modules: str
    unless: str
    reason: str


ADDED = (
    Added(
        "backbone.weights=none backbone.image_size=64",
        r"dogbreed\.train|launch\.(train|tune|plan)",
        r"experiment=|backbone\.weights=|resume=true|--(help|cfg|shell-completion|hydra-help)|-[sh]c?\b",
        "pretrained weights come from a hub, and what is small is quick",
    ),
    Added(
        "sagemaker.backend=process",
        r"launch\.(train|tune)",
        r"sagemaker\.backend=|--(help|cfg|hydra-help)",
        "jobs run on this machine",
    ),
    Added(f"--port {PORT}", r"dogbreed\.serve", r"--port|--help", "pages are read side by side"),
)

#: Commands that set up an environment, each with what runs it for every change: a file, and what it has to say.
ELSEWHERE = {
    r"make (train|test|test-slow|docs|notebooks)": (".ci/run", r"^make {0[1]}\b"),
    r"make test-all": ("Makefile", r"^test-all: test test-slow"),
    r'pip install -e "?\.\[(\w+)\]"?': ("setup.cfg", r"^{0[1]} =$"),
    r"(source|\.) \.venv/bin/activate": (".ci/run", r"VENV="),
}


def runs_elsewhere(command: str) -> bool:
    """Whether what sets up an environment runs this command too, for every change.

    Raises:
        AssertionError: it should, and does not.
    """
    bare = " ".join(words(command))
    for pattern, (file, says) in ELSEWHERE.items():
        if found := re.fullmatch(pattern.replace('"?', ""), bare):
            assert re.search(says.format(found), (ROOT / file).read_text(), re.MULTILINE), f"{file} has no {bare}"
            return True
    return False


def as_run(command: str, port: int) -> str:
    """The command as a test runs it."""
    background = command.endswith("&")
    command = command.removesuffix("&").rstrip()
    for added in ADDED:
        if re.search(rf"python -m ({added.modules})\b", command) and not re.search(added.unless, command):
            comment = re.search(r"\s+#\s.*$", command)
            at = comment.start() if comment else len(command)
            command = f"{command[:at]} {added.words}{command[at:]}"
    command = filled_in(command).replace(PORT, str(port))
    command = re.sub(r"(^|[|(]\s*)curl ", r"\1curl --fail-with-body ", command)  # which ends well after any answer
    return f"{command} &" if background else command


def as_script(script: str) -> str:
    """The Python as a test runs it: no weights come from a hub."""
    return filled_in(script).replace('weights="pretrained"', 'weights="none", image_size=64')


def filled_in(text: str) -> str:
    """The text with the reader's bucket, prefix and account."""
    return re.sub(rf"\b({'|'.join(VALUES)})\b", lambda found: VALUES[found[0]], text)


def lay_out(folder: Path, texts: Sequence[str], run: Callable[[str], None]) -> None:
    """Put what the texts speak of into `folder`: photographs, a run, a sweep, weights.

    Args:
        folder: where a page's commands will work.
        texts: of these commands.
        run: runs a command there.
    """
    names = {name for name in BELONGINGS for text in texts if re.search(rf"\b{name}\b", text)}
    if any(re.search("quickstart|data/sample", text) for text in texts):  # which the first command would draw
        shutil.copytree(_drawn(40, 12, 12), folder / "data/sample")
    if names & {"PHOTOS", "RUN", "SWEEP"}:
        shutil.copytree(_drawn(12, 6, 6), folder / "PHOTOS", ignore=shutil.ignore_patterns("sample.json"))
    if "FLAT" in names:
        shutil.copytree(_drawn(12, 6, 6) / "train", folder / "FLAT")
    if "WEIGHTS" in names:
        import torch
        from torchvision.models import resnet18

        torch.manual_seed(0)
        torch.save(resnet18().state_dict(), folder / "WEIGHTS")
    small = "data=folder data.root=PHOTOS backbone=tv_resnet18 backbone.weights=none backbone.image_size=64"
    small += " optimizer=adamw optimizer.lr=0.02 trainer.max_epochs=15"
    if "RUN" in names:
        run(f"python -m dogbreed.train {small} hydra.run.dir=RUN")
    if "SWEEP" in names:
        sweep = "-m hydra/sweeper=fleet search_space=lr_batch hydra.sweeper.n_trials=6 hydra.sweep.dir=SWEEP"
        run(f"python -m dogbreed.train {sweep} {small}")


@cache
def _drawn(train: int, val: int, test: int) -> Path:
    """A sample of so many pictures a breed, drawn once."""
    folder = Path(tempfile.mkdtemp(prefix="drawn-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return draw_sample(folder / "sample", train=train, val=val, test=test)
