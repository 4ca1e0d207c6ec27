"""No command unpickles anything but what its own processes tell each other."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from dogbreed.serving.exchange import MEDIA_TYPES

ROOT = Path(__file__).parents[2]
WATCHING = Path(__file__).parent / "watching"

#: Where Python's own multiprocessing, and torch's over it, receive what another process of the same command sent.
BETWEEN_PROCESSES = ("multiprocessing.", "torch.multiprocessing.", "concurrent.futures.")

PICKLED = b"cbuiltins\nprint\n."

#: Calls that could run what a file holds, and what makes each of them harmless.
UNSAFE = {
    "torch.load": "weights_only=True",
    "hub.load_state_dict_from_url": "weights_only=True",
    **dict.fromkeys(("pickle.load", "pickle.loads", "pickle.Unpickler", "marshal.loads", "marshal.load"), None),
    **dict.fromkeys(("shelve.open", "joblib.load", "np.load", "numpy.load", "eval", "exec", "torch.jit.load"), None),
    **dict.fromkeys(("yaml.load", "yaml.unsafe_load", "yaml.full_load", "os.system", "pd.read_pickle"), None),
    **dict.fromkeys(("np.fromfile", "pickle_module.load", "jsonpickle.decode", "dill.load", "cloudpickle.load"), None),
}


def calls(path: Path) -> Iterator[ast.Call]:
    yield from (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call))


@pytest.mark.parametrize("package", ["dogbreed", "launch"])
def test_source__calls_nothing_that_runs_what_a_file_holds(package: str) -> None:
    for path in (ROOT / package).rglob("*.py"):
        for call in calls(path):
            name = ast.unparse(call.func)
            for unsafe, harmless in UNSAFE.items():
                if name == unsafe or (name.endswith(f".{unsafe}") and "." in unsafe):
                    given = [ast.unparse(keyword) for keyword in call.keywords]
                    assert harmless in given, f"{path.relative_to(ROOT)}:{call.lineno}: {ast.unparse(call)}"
            assert "shell=True" not in map(ast.unparse, call.keywords), f"{path.relative_to(ROOT)}:{call.lineno}"


def ask(address: str, media_type: str, body: bytes) -> int:
    """The status with which a server answers."""
    request = urllib.request.Request(f"{address.rstrip('/')}/invocations", body, {"Content-Type": media_type})
    try:
        return int(urllib.request.urlopen(request, timeout=120).status)
    except urllib.error.HTTPError as error:
        return error.code


class Watched:
    """Real commands, whose every look-up of a class by an unpickler is written down."""

    def __init__(self, folder: Path) -> None:
        self.folder, self._file = folder, folder / "watched.jsonl"
        self.environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(WATCHING), str(ROOT)]),
            "DOGBREED_WATCHED": str(self._file),
            "DOGBREED_FEATURES": str(folder / "features"),
            "DOGBREED_JOBS": str(folder / "jobs"),
            "OMP_NUM_THREADS": "1",
        }

    def run(self, module: str, *arguments: object, code: int = 0) -> str:
        """What the command printed; the exit code must be this one."""
        line = [sys.executable, *(("-m", module) if module else ()), *map(str, arguments)]
        ran = subprocess.run(line, cwd=self.folder, env=self.environment, capture_output=True, text=True, timeout=900)
        assert ran.returncode == code, f"{line}: {ran.returncode}\n{ran.stdout[-3000:]}\n{ran.stderr[-3000:]}"
        return ran.stdout

    def seen(self) -> list[dict[str, object]]:
        """The look-ups since the last time, and none kept for the next."""
        lines = self._file.read_text().splitlines() if self._file.exists() else []
        self._file.unlink(missing_ok=True)
        return [json.loads(line) for line in lines]

    def check(self) -> int:
        """How many there were; all of them between processes of one command."""
        seen = self.seen()
        foreign = [entry for entry in seen if not str(entry["stack"][0]).startswith(BETWEEN_PROCESSES)]  # type: ignore[index]
        assert not foreign, json.dumps(foreign[:3], indent=2)
        return len(seen)


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Watched:
    return Watched(tmp_path_factory.mktemp("watched"))


@pytest.fixture(scope="module")
def settings(small_run: list[str], shared_folder: Path) -> list[str]:
    fast = ["trainer.max_epochs=1", "data.batch_size=8", "optimizer.lr=3"]
    return [line for line in small_run if "num_workers" not in line] + [f"data.root={shared_folder}", *fast]


@pytest.fixture(scope="module")
def run(watched: Watched, settings: list[str]) -> Path:
    """A run on features by two processes, watched."""
    watched.run("dogbreed.train", *settings, "data.num_workers=1", "logger=all", "hydra.run.dir=run")
    assert watched.check() > 0, "the processes that read pictures are watched too"
    return watched.folder / "run"


def test_hook__sees_every_unpickler_also_in_children(watched: Watched, tmp_path: Path) -> None:
    (tmp_path / "content").write_bytes(PICKLED)
    file = f"open({str(tmp_path / 'content')!r}, 'rb')"
    plain = f"import pickle; pickle.load({file})"
    for program in (
        plain,
        f"import pickle; pickle._Unpickler({file}).load()",  # the one in Python
        f"import torch; torch.load({file}, weights_only=False)",
        f"import subprocess, sys; subprocess.run([sys.executable, '-c', {plain!r}])",
        f"import os, pickle; os.fork() or pickle.load({file})",
    ):
        subprocess.run([sys.executable, "-c", program], env=watched.environment, capture_output=True, timeout=120)
        assert [entry["class"] for entry in watched.seen()] == ["builtins.print"], program


@pytest.mark.slow
def test_training__unpickles_nothing(watched: Watched, settings: list[str], run: Path) -> None:
    again = [*settings, "hydra.run.dir=run", "trainer.max_epochs=2", "resume=true"]
    watched.run("dogbreed.train", *again, "data.num_workers=0")
    assert watched.check() == 0, "without processes that read pictures there is nothing to unpickle"
    watched.run("dogbreed.train", *settings, "data.num_workers=1", "augmentation=crop_flip", "hydra.run.dir=pixels")
    watched.run(
        "dogbreed.evaluate", "artifact=run/artifact", f"data.root={settings[-4].split('=')[1]}", "hydra.run.dir=judged"
    )
    assert watched.check() > 0


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["fleet", "optuna"])
def test_sweep__unpickles_nothing(engine: str, watched: Watched, settings: list[str], run: Path) -> None:
    if engine == "optuna":
        pytest.importorskip("optuna")
    chosen = [f"hydra/sweeper={engine}", f"hydra.sweep.dir={engine}", "hydra.sweeper.n_trials=3"]
    space = ["optimizer.lr=tag(log,interval(0.1,10))", "data.num_workers=0", "trainer.max_epochs=2"]
    for again in ([], ["resume=true"]):
        watched.run("dogbreed.train", "-m", *settings[:-3], *chosen, *space, *again)
    watched.check()
    watched.run("dogbreed.report", engine)
    assert watched.check() == 0


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["torch", "torch_export", "openvino", "onnx"])
def test_answers__unpickle_nothing(engine: str, watched: Watched, run: Path, shared_folder: Path) -> None:
    for package in {"openvino": ("openvino",), "onnx": ("onnx", "onnxruntime", "onnxscript")}.get(engine, ()):
        pytest.importorskip(package)
    if engine != "torch":
        watched.run(
            "dogbreed.export", "--artifact", run / "artifact", "--format", engine, "--pictures", shared_folder / "test"
        )
        watched.seen()  # making an export trusts nobody's file; loading it is what counts
    watched.run("dogbreed.predict", "--artifact", run / "artifact", "--engine", engine, shared_folder / "test")
    assert watched.check() == 0


@pytest.mark.slow
def test_reading_a_run__unpickles_nothing(watched: Watched, run: Path) -> None:
    watched.run("dogbreed.report", run)
    watched.run("dogbreed.health", "replay", run)
    watched.run("dogbreed.features", "list")
    watched.run("dogbreed.features", "verify")
    watched.run("launch.package", "--artifact", run / "artifact")
    assert watched.check() == 0


@pytest.mark.slow
def test_smdebug__unpickles_nothing(watched: Watched, settings: list[str]) -> None:
    pytest.importorskip("smdebug")
    watched.run("dogbreed.train", *settings, "data.num_workers=0", "hook=smdebug", "hydra.run.dir=debugged")
    trial = next(path.parent for path in (watched.folder / "debugged").rglob("index"))
    watched.run("dogbreed.health", "tensors", trial)
    watched.run("dogbreed.health", "replay", trial)
    assert watched.check() == 0


@pytest.mark.slow
def test_process_backend__unpickles_nothing(watched: Watched, settings: list[str], tmp_path: Path) -> None:
    rehearsed = [*settings, "data.num_workers=0", "sagemaker.backend=process"]
    watched.run("launch.plan", *rehearsed)
    watched.run("launch.train", *rehearsed)
    watched.run("launch.jobs", "list", "--backend", "process")
    assert watched.check() == 0


@pytest.mark.slow
def test_server__unpickles_nothing(watched: Watched, run: Path, shared_folder: Path) -> None:
    pytest.importorskip("uvicorn")
    picture = next((shared_folder / "test").glob("*/*.jpg")).read_bytes()
    line = [sys.executable, "-m", "dogbreed.serve", "--artifact", str(run / "artifact"), "--port", "0"]
    server = subprocess.Popen(
        line, env=watched.environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        assert server.stdout is not None
        address = next(word for line in server.stdout for word in line.split() if word.startswith("http://"))
        threading.Thread(target=server.stdout.read, daemon=True).start()
        refused = (*MEDIA_TYPES, "application/python-pickle", "text/csv")
        for media_type, body in [("image/jpeg", picture), *((each, PICKLED) for each in refused)]:
            assert ask(address, media_type, body) in ((200,) if body is picture else (400, 415)), media_type
    finally:
        server.terminate()
        server.wait(60)
    assert watched.check() == 0
