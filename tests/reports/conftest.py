"""Runs and sweeps with everything that a report shows, and a browser to look at it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dogbreed.audit.audit import Audit, Limits, audit_folder
from dogbreed.files import write_csv, write_json
from dogbreed.health.findings import Finding, Outcome, Status
from dogbreed.reports.contents import Prediction
from dogbreed.reports.evaluation import write_evaluation
from dogbreed.reports.pictures import keep_pictures
from dogbreed.reports.run_files import read_run
from dogbreed.reports.scores import count_confusion
from dogbreed.sweeps.journal import Journal, make_record
from dogbreed.sweeps.leaderboard import rank, write_best
from tests.audit.dirty_tree import make_clean_tree, make_dirty_tree

OUTCOMES = (
    Outcome(
        rule="LossNotDecreasing",
        status=Status.ISSUES,
        reason="the loss rose",
        datapoints=41,
        violations=3,
        finding=Finding("loss rose", 4.12, 0.001, "the loss rose from 4.9 to 25.2", 20, "TRAIN",
                        "loss_0", ("optimizer.lr=0.005",)),
    ),
    Outcome(
        rule="Overfit",
        status=Status.ISSUES,
        reason="val far above train",
        finding=Finding("val above train", 0.6, 0.1, "val stands 60 % above train"),
        consequence_of="LossNotDecreasing",
        details={"worst": [{"epoch": 2, "ratio": 0.61}]},
    ),
    Outcome("VanishingGradient", Status.NO_ISSUES, "looked at 62 times, found nothing"),
    Outcome("DeadRelu", Status.NOT_APPLICABLE, "the head has no ReLU"),
    Outcome("StalledTraining", Status.NOT_ENOUGH, "3 of 10 steps"),
    Outcome("Confusion", Status.ERROR, "no predictions were recorded"),
)  # fmt: skip


def answers(photos: list[tuple[str, str]], names: list[str], seed: int = 0) -> list[dict[str, Any]]:
    """Rows of predictions.csv for (path, class name): right two times of three, a neighbour otherwise."""
    rng = np.random.default_rng(seed)
    rows = []
    for path, true in photos:
        right = rng.random() < 2 / 3
        predicted = true if right else names[(names.index(true) + 1) % len(names)]
        probability = float(rng.uniform(0.5, 1))
        rows.append(
            {
                "path": path,
                "true": true,
                "predicted": predicted,
                "probability": round(probability, 4),
                "probability_of_true": round(probability if right else 1 - probability, 4),
            }
        )
    return rows


def fill(directory: Path, rows: list[dict[str, Any]], names: list[str], example: Callable[[str], str | None]) -> Path:
    """Add to a run's folder what explains it."""
    write_csv(directory / "predictions.csv", rows, list(rows[0]))
    write_json(directory / "health.json", {"preset": "default", "rules": [one.to_json() for one in OUTCOMES]})
    write_json(directory / "profile.json", profile())
    test = [sum(row["true"] == name for row in rows) for name in names]
    counts = {"train": [8 + index % 5 for index in range(len(names))], "val": [4] * len(names), "test": test}
    write_json(directory / "data.json", {"root": "photos", "class_names": names, "pictures": counts})
    keep_pictures(directory, rows, example)
    return directory


def profile() -> dict[str, Any]:
    """A run of 100 s: 70 of them before its first step, 60 in the feature pass."""

    def phase(name: str, seconds: float, *parts: dict[str, Any]) -> dict[str, Any]:
        return {"name": name, "seconds": seconds, "count": 1, "parts": list(parts)}

    training = phase("training", 20.0, phase("waiting for data", 5.0), phase("forward", 15.0))
    parts = [phase("imports and set-up", 10.0), phase("feature pass", 60.0), training, phase("report", 10.0)]
    spread = {"max": 100.0, "p99": 99.0, "p95": 95.0, "p50": 50.0, "min": 1.0}
    return {
        "seconds": 100.0,
        "phases": phase("run", 100.0, *parts),
        "machine": {
            "every_s": 0.5,
            "samples": 200,
            "cores": spread,
            "io_wait": None,
            "memory_gib": spread,
            "gpus": [],
            "gpu_memory": [],
        },
        "series": {
            "seconds": [0.0, 50.0, 100.0],
            "cpu": [10.0, 90.0, 20.0],
            "io_wait": None,
            "memory_gib": [0.4, 1.2, 1.0],
            "gpu": None,
        },
    }


@pytest.fixture(scope="session")
def explained_run(trained_run: Path, shared_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real run of 4 classes with everything that explains it; not to be changed."""
    directory = Path(shutil.copytree(trained_run, tmp_path_factory.mktemp("explained") / "run"))
    photos = [(str(path), path.parent.name) for path in sorted((shared_folder / "test").rglob("*.jpg"))]
    names = sorted({name for _, name in photos})
    return fill(
        directory, answers(photos, names), names, lambda name: str(next((shared_folder / "train" / name).iterdir()))
    )


@pytest.fixture
def run(explained_run: Path, tmp_path: Path) -> Path:
    """A copy of that run, for one test to damage as it likes."""
    return Path(shutil.copytree(explained_run, tmp_path / "run"))


@pytest.fixture(scope="session")
def run_of_133(explained_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with 133 classes, 8 test pictures each, whose photographs are those of 4; not to be changed."""
    directory = Path(shutil.copytree(explained_run, tmp_path_factory.mktemp("large") / "run"))
    content = json.loads((directory / "pictures.json").read_text())
    paths = [shown["path"] for shown in content["mistakes"]]
    names = [f"{number:03d}.Breed_of_some_name_{number}" for number in range(1, 134)]
    photos = [(paths[number % len(paths)], name) for name in names for number in range(8)]
    rows = answers(photos, names)
    fill(directory, rows, names, lambda name: paths[0])
    confusion = count_confusion([Prediction(**row) for row in rows], names)
    write_json(directory / "metrics.json", {"test/acc": float(confusion.trace() / confusion.sum())})
    (directory / "artifact" / "artifact.json").unlink()
    return directory


@pytest.fixture(scope="session")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep of 12 trials, one of them failed and one stopped, as the journal writes it; not to be changed."""
    directory = tmp_path_factory.mktemp("swept") / "sweep"
    monitor = "val/acc"
    with Journal(directory, {"space": "of the test"}, resume=False) as journal:
        for number in range(12):
            rate = 10 ** (-4 + number / 3)
            top = 0.9 - 0.06 * abs(number - 7)
            epochs = 2 if number == 1 else 4
            curve = [{"epoch": e, monitor: top * (e + 1) / 4, "val/loss": 3.0 - e - top} for e in range(epochs)]
            params: dict[str, Any] = {"optimizer.lr": rate, "head": ("linear", "mlp")[number % 2]}
            record = make_record(number, params, curve, monitor, seconds=1.0 + number % 4, stopped=number == 1)
            if number == 3:
                record = type(record)(number, params, "failed", error="optimizer cannot be made")
            journal.add(record)
        journal.write_tables(monitor)
        places = rank(journal.last.values(), monitor)
    best = places[0].best(monitor)
    write_best(directory / "best.yaml", best, monitor, ["data=folder"], "python -m dogbreed.train optimizer.lr=0.02")
    ridge, winner = {"penalty": 1.0, "val/acc": 0.7, "test/acc": 0.69}, {"val/acc": 0.9, "test/acc": 0.88}
    about = {"monitor": monitor, "trial": best.number, "params": best.params, "sweep": best.metrics}
    write_json(directory / "summary.json", {**about, "ridge": ridge, "winner": winner})
    return directory


LIMITS = Limits(min_side=64, max_megapixels=25, min_per_class=5, max_imbalance=5.0)


def audited(root: Path, leaks: Mapping[str, str]) -> Audit:
    """A real audit of a clean tree, into whose test the first pictures of train were copied.

    Args:
        root: a new folder.
        leaks: the class folder for each copy's name.
    """
    make_clean_tree(root)
    photos = sorted((root / "train").rglob("*.jpg"))
    for photo, (name, class_name) in zip(photos, leaks.items(), strict=False):
        for split in ("train", "valid", "test"):
            (root / split / class_name).mkdir(exist_ok=True)
        shutil.copy(photo, root / "test" / class_name / name)
    return audit_folder(root, limits=LIMITS, workers=0)


@pytest.fixture(scope="session")
def dirty_audit(tmp_path_factory: pytest.TempPathFactory) -> Audit:
    """A real audit of a tree with every fault that is known."""
    root = tmp_path_factory.mktemp("dirty") / "photos"
    make_dirty_tree(root)
    return audit_folder(root, limits=LIMITS, workers=0)


class Look:
    """A page in a browser, and what it did beside showing itself."""

    def __init__(self, page: Any) -> None:
        self.page = page
        self.requests: list[str] = []
        self.messages: list[str] = []
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("console", lambda message: self.messages.append(message.text))
        page.on("pageerror", lambda error: self.messages.append(str(error)))


#: Each text's contrast with what lies behind it, by WCAG's formula: (contrast, text), the worst first.
CONTRASTS = """() => {
  const light = rgb => rgb.slice(0, 3).map(v => v / 255)
    .map(v => v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [.2126, .7152, .0722][i], 0);
  const parse = text => (text.match(/[\\d.]+/g) || []).map(Number);
  const behind = element => {
    for (; element; element = element.parentElement) {
      const colour = parse(getComputedStyle(element).backgroundColor);
      if (colour.length === 3 || colour[3] === 1) return colour;
    }
    return [255, 255, 255];
  };
  const found = [];
  for (const element of document.querySelectorAll("body *")) {
    const own = [...element.childNodes].filter(n => n.nodeType === 3).map(n => n.textContent.trim()).join("");
    if (!own || !element.getClientRects().length) continue;
    const style = getComputedStyle(element);
    const a = light(parse(element.closest("svg") ? style.fill : style.color)), b = light(behind(element));
    found.push([(Math.max(a, b) + .05) / (Math.min(a, b) + .05), own]);
  }
  return found.sort((x, y) => x[0] - y[0]);
}"""


@pytest.fixture
def look(chromium: Any) -> Callable[..., Any]:
    """Opens a report without network: `with look(path, width=390, scheme="dark") as seen`."""

    @contextmanager
    def looking(path: Path, width: int = 1400, scheme: str = "light") -> Iterator[Look]:
        context = chromium.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme, offline=True)
        seen = Look(context.new_page())
        seen.page.goto(path.resolve().as_uri())
        yield seen
        context.close()

    return looking


def evaluate_all(directory: Path) -> None:
    """Write the tables of an older run from its predictions."""
    predictions = read_run(directory).predictions
    names = sorted({answer.true for answer in predictions})
    write_evaluation(directory, count_confusion(predictions, names), names, "older")
