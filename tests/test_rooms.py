"""Who may import whom, read off the source."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

#: From the ground up: a room may import from those on lower floors, and from its own.
FLOORS: list[tuple[str, ...]] = [
    (
        "errors",
        "commands",
        "interrupts",
        "streams",
        "tables",
        "kinds",
        "arguments",
        "choices",
        "help",
        "seeding",
        "files",
        "phases",
        "directions",
    ),
    ("data.images", "data.transforms", "models.heads", "models.metrics", "models.schedules"),
    ("models.weights", "models.backbones", "data", "download"),
    (
        "models.classifier",
        "serving.names",
        "serving.calibration",
        "serving.answer",
        "serving.own_head",
        "serving.card",
        "serving.artifact",
    ),
    ("features", "sweeps.ridge"),
    ("audit",),
    ("exports",),
    ("training", "health", "reports", "serving", "sweeps"),  # of serving: the Predictor and what it is asked by
    ("server",),
    ("app", "runs"),
    ("checking",),
    ("prepare",),
    ("sweeps.trials", "sweeps.engines", "sweeps.waves", "sweeps.winner", "sweeps.sweep"),  # from configs to runs
    ("explain", "stopping"),
    ("fitting", "evaluating"),
    ("train", "predict", "serve", "export", "evaluate", "report", "replay", "health.__main__", "data.__main__"),
    ("completion",),
]
HYDRA: tuple[str, ...] = (
    "app",
    "runs",
    "checking",
    "prepare",
    "explain",
    "stopping",
    "fitting",
    "evaluating",
    "train",
    "evaluate",
)
HYDRA += ("data.__main__",)
HYDRA += ("sweeps.dimensions", "sweeps.space", "sweeps.trials", "sweeps.engines", "sweeps.sweep")


def modules() -> list[Path]:
    return sorted(path for path in (ROOT / "dogbreed").rglob("*.py") if path != ROOT / "dogbreed/__init__.py")


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT / "dogbreed").with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


def floor_of(module: str) -> int:
    """The floor of the longest room name that `module` starts with."""
    fits = [
        (len(room), floor)
        for floor, rooms in enumerate(FLOORS)
        for room in rooms
        if f"{module}.".startswith(f"{room}.")
    ]
    assert fits, f"{module} stands on no floor: add its room to FLOORS"
    return max(fits)[1]


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield node.module or ""


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_rooms__import_downwards(path: Path) -> None:
    name = name_of(path)
    if "." not in name and path.name == "__init__.py":  # the rooms' own docstrings
        assert not list(imports(path))
        return
    for imported in imports(path):
        if imported.startswith("dogbreed."):
            below = imported.removeprefix("dogbreed.")
            assert floor_of(below) <= floor_of(name), f"{name} imports {below}"


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_rooms__know_nothing_of_aws_and_little_of_hydra(path: Path) -> None:
    for imported in imports(path):
        top = imported.split(".")[0]
        assert top not in ("launch", "boto3", "botocore", "sagemaker"), f"{path} imports {imported}"
        if top in ("hydra", "omegaconf"):
            assert name_of(path) in HYDRA, f"{path} imports {imported}"


def test_rooms__hold_no_preprocessing_constants() -> None:
    for path in [*ROOT.glob("dogbreed/**/*.py"), *ROOT.glob("conf/**/*.yaml")]:
        assert "0.485" not in path.read_text(), path


def test_rooms__are_all_installed() -> None:
    setup = (ROOT / "setup.cfg").read_text()
    for folder in {path.parent for path in modules()}:
        package = ".".join(folder.relative_to(ROOT).parts)
        assert f"\n    {package}\n" in setup, f"{package} is missing under packages in setup.cfg"


#: What launch/ can say without torch and without AWS's packages; the service model that ships with botocore is read
#: inside a function of preflight.
PURE: tuple[str, ...] = (
    "settings",
    "names",
    "overrides",
    "requests",
    "search_space",
    "debugger",
    "machines",
    "backends",
    "errors",
)
PURE += ("container", "failure", "preflight.checks", "pricing.compare", "pricing.bill", "views.leaderboard")
#: The commands: asking for their help takes no torch; nor does a plan, see tests/launch/test_without_aws.py.
PURE += ("train", "tune", "plan", "upload", "jobs", "prices", "sending.planning", "sending.tuning", "sending.multirun")
PURE += ("deploy", "update", "delete", "endpoints", "ask", "transform", "package")
PURE += ("fields", "hosting.settings", "hosting.requests", "hosting.costing", "hosting.reading", "hosting.undoing")
PURE += ("hosting.transforming", "hosting.gathering", "hosting.sources")


def test_rooms__of_launch_that_are_pure_load_neither_torch_nor_an_sdk() -> None:
    names = ", ".join(f"launch.{name}" for name in PURE)
    heavy = ("torch", "boto3", "botocore", "sagemaker", "s3fs")
    code = f"import sys, {names}\nprint([name for name in {heavy} if name in sys.modules])"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "[]\n"


def test_rooms__of_launch_import_aws_where_they_use_it() -> None:
    for path in (ROOT / "launch").rglob("*.py"):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.Import | ast.ImportFrom):
                found = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
                tops = {name.split(".")[0] for name in found}
                assert not tops & {"boto3", "botocore", "sagemaker", "smdebug", "optuna"}, path


def test_rooms__plugins_of_hydra_import_hydra_alone() -> None:
    for path in (ROOT / "launch/hydra_plugins").rglob("*.py"):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.Import | ast.ImportFrom):
                found = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
                allowed = ("__future__", "collections", "pathlib", "typing", "hydra", "omegaconf")
                assert {name.split(".")[0] for name in found} <= set(allowed), path
