"""Whatever ends a command, it ends well: real processes, signals, pipes, disks and deaths."""

from __future__ import annotations

import errno
import json
import mmap
import os
import pty
import re
import resource
import select
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from multiprocessing import resource_sharer
from pathlib import Path

import psutil
import pytest
import torch

from dogbreed.commands import READER_GONE, ends_well, explain
from dogbreed.errors import ConfigError, DataError, OutputError, WorkerError
from dogbreed.interrupts import CtrlC

PATIENCE_S = 300  # no test waits so long, unless something hangs


class Process:
    """A command of ours in a process group of its own, as a terminal starts it, and all that it prints."""

    def __init__(self, module: str, *arguments: object) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", module, *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"},
        )
        self.lines: list[str] = []
        self._changed = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._changed:
                self.lines.append(line)
                self._changed.notify_all()
        with self._changed:
            self._changed.notify_all()

    @property
    def output(self) -> str:
        return "".join(self.lines)

    def wait_for(self, text: str) -> None:
        """Until it has printed this."""
        with self._changed:
            self._changed.wait_for(lambda: text in self.output or self.process.poll() is not None, PATIENCE_S)
        assert text in self.output, self.output

    def until(self, happened: Callable[[], object]) -> None:
        """Until something is so."""
        end = time.monotonic() + PATIENCE_S
        while not happened():
            assert self.process.poll() is None, self.output
            assert time.monotonic() < end, self.output
            time.sleep(0.01)

    def interrupt(self) -> None:
        """Ctrl-C: the terminal sends it to the whole group."""
        os.killpg(self.process.pid, signal.SIGINT)

    def workers(self) -> list[psutil.Process]:
        """The processes that it has forked."""
        return psutil.Process(self.process.pid).children(recursive=True)

    def end(self) -> int:
        """Its exit code; all that it printed is in `output` then, and no traceback among it."""
        code = self.process.wait(PATIENCE_S)
        self._reader.join(PATIENCE_S)
        assert "Traceback" not in self.output, self.output
        return code


@pytest.fixture
def start() -> Iterator[Callable[..., Process]]:
    """Starts commands, and ends what is left of them: start(module, *arguments)."""
    started: list[Process] = []

    def run(module: str, *arguments: object) -> Process:
        started.append(Process(module, *arguments))
        return started[-1]

    yield run
    for one in started:
        if one.process.poll() is None:
            os.killpg(one.process.pid, signal.SIGKILL)
            one.process.wait()


Start = Callable[..., Process]


@pytest.fixture
def long_run(small_run: list[str], shared_folder: Path, tmp_path: Path) -> list[str]:
    """A run of thousands of epochs; nobody waits for its end."""
    settings = [f"data.root={shared_folder}", f"hydra.run.dir={tmp_path / 'run'}", "data.batch_size=8"]
    return [*small_run, *settings, "trainer.max_epochs=5000", "health=none", "report=false", "scheduler=none"]


def continuing(output: str) -> list[str]:
    """The command that goes on, as a shell would take it apart."""
    offered = re.search(r"(?:continue with:|Go on with:)\s+(.+)", output)
    assert offered, output
    return shlex.split(offered[1])[2:]


# --- what a main ends by, in this process


def ended(main: Callable[[], int | None]) -> int:
    return ends_well("run it again")(main)()


def raising(error: BaseException) -> Callable[[], int | None]:
    def main() -> int | None:
        raise error

    return main


def test_ends_well__tells_a_mistake_and_returns_1(capsys: pytest.CaptureFixture[str]) -> None:
    assert ended(raising(ConfigError("a", "b", "c"))) == 1
    assert capsys.readouterr().err == "error: a\n  allowed: b\n  what to do: c\n"


def test_ends_well__lets_a_defect_through() -> None:
    with pytest.raises(ZeroDivisionError):
        ended(raising(ZeroDivisionError()))


def test_ends_well__after_ctrl_c(capsys: pytest.CaptureFixture[str]) -> None:
    def main() -> int:
        before = signal.getsignal(signal.SIGINT)
        assert before is not signal.default_int_handler
        signal.raise_signal(signal.SIGINT)
        return 0

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    in_order = signal.signal(signal.SIGTERM, signal.SIG_DFL)  # another test may have left a handler
    try:
        assert ended(main) == 130
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)
        signal.signal(signal.SIGTERM, in_order)
    assert capsys.readouterr().err == "stopped; run it again\n"


@pytest.mark.parametrize("where", ["__del__", "at a fork", "Cython"])
def test_ends_well__hears_ctrl_c_where_no_exception_gets_out(where: str) -> None:
    program = f"""
import os, signal, sys, time, zipfile
from dogbreed.commands import ends_well
signal.signal(signal.SIGINT, signal.default_int_handler)  # whatever these tests were started by
class Careless:
    def __del__(self):
        signal.raise_signal(signal.SIGINT)
def read(file, length):
    zipfile.ZipExtFile.read = unwrapped
    signal.raise_signal(signal.SIGINT)
    return unwrapped(file, length)
@ends_well("run it again")
def main():
    global unwrapped
    if {where!r} == "__del__":
        Careless()
    elif {where!r} == "Cython":  # SciPy reads its Sobol numbers in a function that no exception leaves
        from scipy.stats import qmc
        unwrapped, zipfile.ZipExtFile.read = zipfile.ZipExtFile.read, read
        qmc.Sobol(2)
    else:
        os.register_at_fork(before=lambda: signal.raise_signal(signal.SIGINT))
        os.fork() or os._exit(0)
    time.sleep({PATIENCE_S})
sys.exit(main())
"""
    # Python 3.12 warns of any fork beside a thread.
    line = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", program]
    done = subprocess.run(line, capture_output=True, text=True, timeout=PATIENCE_S)
    assert (done.returncode, done.stderr) == (130, "stopped; run it again\n")


def test_ends_well__does_not_stop_who_comes_after() -> None:
    class Careless:
        def __del__(self) -> None:
            signal.raise_signal(signal.SIGINT)

    def main() -> int:
        Careless()
        return 3

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    in_order = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        assert ended(main) == 3
        time.sleep(0.2)
    finally:
        signal.signal(signal.SIGINT, before)
        signal.signal(signal.SIGTERM, in_order)


@pytest.mark.parametrize(
    ("asked", "is_command"),
    [
        ("-m dogbreed.train seed=3", True),
        ("-mdogbreed.train -m", True),
        ("-X importtime -W ignore -um dogbreed.train", True),
        ("-Bm dogbreed", True),
        ("-m cProfile -m dogbreed.train", False),
        ("-m dogbreeder.train", False),
        ("-m pytest dogbreed", False),
        ("-m", False),
    ],
)
def test_ctrl_c__knows_a_command_of_ours(asked: str, is_command: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "orig_argv", ["python", *asked.split()])
    monkeypatch.setattr(sys, "argv", ["-m"])
    found, before = CtrlC(), signal.getsignal(signal.SIGINT)
    try:
        found.hear_early("dogbreed")
    finally:
        signal.signal(signal.SIGINT, before)
    assert found.is_command is is_command
    monkeypatch.setattr(sys, "argv", ["a.py"])  # Python is no longer looking: an import as any other
    found = CtrlC()
    found.hear_early("dogbreed")
    assert not found.is_command


def test_ends_well__hands_ctrl_c_to_what_stops_in_order() -> None:
    heard: list[int] = []

    def main() -> int:
        signal.raise_signal(signal.SIGINT)
        return 3

    before = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: lambda number, frame: heard.append(number)}
    kept = {number: signal.signal(number, handler) for number, handler in before.items()}
    try:
        assert ended(main) == 3
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)
    assert heard == [signal.SIGINT]


def test_ends_well__leaves_sigint_ignored_behind_an_ampersand() -> None:
    def main() -> int:
        signal.raise_signal(signal.SIGINT)
        return 0

    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        assert ended(main) == 0
    finally:
        signal.signal(signal.SIGINT, before)


class Loader(torch.utils.data.Dataset[int]):
    """Whose process ends as it reads."""

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> int:
        os.kill(os.getpid(), signal.SIGKILL)
        return index


def test_explain__a_dead_loader() -> None:
    with pytest.raises(RuntimeError) as died:
        list(torch.utils.data.DataLoader(Loader(), num_workers=1))
    found = explain(died.value)
    assert isinstance(found, WorkerError)
    assert "data.num_workers" in found.hint


def test_ends_well__nothing_is_said_where_a_hand_over_is_cut(capfd: pytest.CaptureFixture[str]) -> None:
    read, write = os.pipe()

    def main() -> None:
        shared = resource_sharer.DupFd(write)
        address, _ = shared._id  # type: ignore[attr-defined]  # of the socket where it waits for who takes it
        for _ in range(3):
            with socket.socket(socket.AF_UNIX) as taker:
                taker.connect(address)
        os.close(shared.detach())  # it still serves those who stay

    assert ended(main) == 0
    resource_sharer.stop(PATIENCE_S)
    os.close(read)
    os.close(write)
    assert capfd.readouterr().err == ""


def test_explain__no_memory() -> None:
    for allocate in (
        lambda: bytearray(2**62),
        lambda: torch.empty(2**61, dtype=torch.uint8),
        lambda: mmap.mmap(-1, 2**46),  # an OSError, as where no process can be forked
    ):
        with pytest.raises((MemoryError, RuntimeError, OSError)) as refused:
            allocate()
        found = explain(refused.value)
        assert isinstance(found, ConfigError), refused.value
        assert "not enough memory" in found.got


def test_explain__a_folder_that_is_gone(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as gone:
        (tmp_path / "photos" / "dog.jpg").read_bytes()
    assert isinstance(found := explain(gone.value), DataError)
    assert str(tmp_path / "photos") in found.got


def test_explain__a_file_that_is_missing_is_a_defect(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as missing:
        (tmp_path / "dog.jpg").read_bytes()
    assert explain(missing.value) is None


def test_explain__a_file_that_its_disk_does_not_give() -> None:
    with pytest.raises(OSError, match="Input/output") as refused:
        Path("/proc/self/mem").read_bytes()  # where nothing is at its beginning
    assert isinstance(found := explain(refused.value), OutputError)
    assert "cannot be read or written: Input/output error" in found.got


def test_explain__the_limits_of_the_system(tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, before[1]))
    try:
        with pytest.raises(OSError, match="Too many open files") as refused:
            (tmp_path / "dog.jpg").write_bytes(b"")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    for error in (refused.value, BlockingIOError(errno.EAGAIN, "no process"), RuntimeError("can't start new thread")):
        assert isinstance(found := explain(error), ConfigError)
        assert "ulimit -n" in found.allowed


def test_explain__a_full_disk(tiny_disk: Path) -> None:
    with pytest.raises(OSError, match="No space") as full:
        (tiny_disk / "large").write_bytes(bytes(100_000))
    assert isinstance(found := explain(full.value), OutputError)
    assert "No space left on device" in found.got


# --- pipes and full outputs: the quickest of the commands


def shell(line: str) -> subprocess.CompletedProcess[str]:
    """What bash says: the exit code is that of the first command of the pipe."""
    code = f"set -o pipefail; {sys.executable} -m {line}"
    return subprocess.run(["bash", "-c", code], capture_output=True, text=True, timeout=PATIENCE_S)


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_pipe__closed_at_once(unbuffered: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONUNBUFFERED", unbuffered)
    # The reader is gone before the first line is printed, for the command begins when it is.
    code = f"exec 3> >(true); wait $!; exec {sys.executable} -m dogbreed.data.sample --help >&3"
    done = subprocess.run(["bash", "-c", code], capture_output=True, text=True, timeout=PATIENCE_S)
    # Where nothing is buffered, argparse itself passes over what its help cannot be printed to.
    assert done.returncode in ((0, READER_GONE) if unbuffered else (READER_GONE,))
    assert done.stderr == ""


def test_pipe__closed_before_a_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)
    code = f"exec 3> >(true); wait $!; exec {sys.executable} -m launch.prices show >&3"
    done = subprocess.run(["bash", "-c", code], capture_output=True, text=True, timeout=PATIENCE_S)
    assert (done.returncode, done.stderr) == (READER_GONE, "")


def test_pipe__full_output(shared_folder: Path) -> None:
    done = shell("launch.prices show > /dev/full")
    assert done.returncode == 1
    assert re.match(r"error: stdout cannot be written: No space left on device\n", done.stderr), done.stderr


@pytest.mark.parametrize("output", ["full", "closed"])
@pytest.mark.parametrize(
    ("end", "code", "told"),
    [
        ("raise ConfigError('a', 'b', 'go on so')", 1, "go on so"),
        ("raise ZeroDivisionError", 1, "Traceback"),
        ("raise SystemExit(143)", 143, ""),
        ("raise KeyboardInterrupt", 130, "stopped; run it again"),
    ],
)
def test_pipe__what_ended_the_command_goes_before_what_cannot_be_printed(
    end: str, code: int, told: str, output: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)
    program = f"""
import sys
from dogbreed.commands import ends_well
from dogbreed.errors import ConfigError
@ends_well("run it again")
def main():
    print("a line that waits to be printed")
    {end}
sys.exit(main())
"""
    where = {"full": "> /dev/full", "closed": ">&3"}[output]
    line = f"exec 3> >(true); wait $!; exec {shlex.join([sys.executable, '-c', program])} {where}"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=PATIENCE_S)
    assert done.returncode == code, done.stderr
    assert told in done.stderr if told else done.stderr == ""
    assert "stdout" not in done.stderr
    assert "Exception ignored" not in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("command", ["train", "evaluate", "predict"])
def test_pipe__head_takes_a_line(
    command: str, small_run: list[str], trained_run: Path, shared_folder: Path, tmp_path: Path
) -> None:
    out, artifact = tmp_path / "run", trained_run / "artifact"
    run = shlex.join([*small_run, f"data.root={shared_folder}", f"hydra.run.dir={out}", "trainer.max_epochs=3"])
    test = f"artifact={artifact} data.root={shared_folder} hydra.run.dir={out} trainer.accelerator=cpu"
    line = {
        "train": f"dogbreed.train {run}",
        "evaluate": f"dogbreed.evaluate {test} data.num_workers=0",
        "predict": f"dogbreed.predict --artifact {artifact} --format jsonl --batch-size 1 {shared_folder}/test",
    }[command]
    done = shell(f"{line} | head -0")
    assert done.returncode == READER_GONE
    assert done.stderr == ""
    for file in out.rglob("*.json") if out.exists() else ():
        json.loads(file.read_text())
    for file in out.rglob("*.ckpt") if out.exists() else ():
        torch.load(file, weights_only=True)


# --- Ctrl-C


@pytest.mark.slow
def test_ctrl_c__in_the_fit_leaves_a_checkpoint_and_the_command_that_goes_on(start: Start, long_run: list[str]) -> None:
    run = start("dogbreed.train", *long_run)
    run.wait_for("epoch=1 ")
    run.interrupt()
    assert run.end() == 130
    assert "stopped by SIGINT in epoch" in run.output
    (epoch,) = re.findall(r"stopped by SIGINT in epoch (\d+)", run.output)
    again = start("dogbreed.train", *continuing(run.output)[1:], f"trainer.max_epochs={int(epoch) + 2}")
    assert again.end() == 0
    assert "continuing from" in again.output


@pytest.mark.slow
def test_ctrl_c__twice_ends_at_once(start: Start, long_run: list[str], tmp_path: Path) -> None:
    run = start("dogbreed.train", *long_run, "trainer.max_epochs=5000")
    run.wait_for("epoch=1 ")
    for _ in range(2):
        os.kill(run.process.pid, signal.SIGINT)
    assert run.end() == 130
    torch.load(tmp_path / "run/checkpoints/last.ckpt", weights_only=True)


@pytest.mark.slow
def test_ctrl_c__in_the_feature_pass_keeps_its_chunks(
    start: Start, small_run: list[str], shared_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures = tmp_path / "photos"
    shutil.copytree(shared_folder, pictures)
    for number, file in enumerate(sorted((pictures / "train").glob("*/*.jpg"))):
        content = file.read_bytes()
        for copy in range(60):  # enough for a pass that takes a while; each is another picture
            file.with_name(f"{number}_{copy}.jpg").write_bytes(content + bytes([copy + 1]))
    monkeypatch.setenv("DOGBREED_FEATURES", str(tmp_path / "features"))
    settings = [*small_run, f"data.root={pictures}", f"hydra.run.dir={tmp_path / 'run'}", "trainer.max_epochs=1"]
    run = start("dogbreed.train", *settings, "data.num_workers=2", "features.batch_size=1")
    run.until(lambda: len(run.workers()) >= 2)
    workers = run.workers()
    run.interrupt()
    assert run.end() == 130
    assert "stopped by SIGINT; continue with:" in run.output
    assert not psutil.wait_procs(workers, timeout=PATIENCE_S)[1]
    assert start("dogbreed.train", *continuing(run.output)[1:], "features.batch_size=16").end() == 0


@pytest.mark.slow
def test_ctrl_c__in_a_sweep_keeps_its_trials(start: Start, long_run: list[str], tmp_path: Path) -> None:
    sweep = [f"hydra.sweep.dir={tmp_path / 'sweep'}", "hydra/sweeper=fleet", "optimizer.lr=0.1,0.2,0.3"]
    run = start("dogbreed.train", "-m", *long_run, *sweep)
    run.wait_for("if it is interrupted")
    run.interrupt()
    assert run.end() == 130
    assert "every trial that finished is kept" in run.output


@pytest.mark.slow
@pytest.mark.parametrize(
    ("module", "arguments"),
    [
        ("dogbreed.train", ["data=folder", "data.root=missing"]),
        ("dogbreed.predict", ["--artifact", "missing", "missing"]),
        ("dogbreed.export", ["--artifact", "missing", "--format", "torch_export", "--pictures", "missing"]),
    ],
)
def test_ctrl_c__while_torch_is_imported(module: str, arguments: list[str], start: Start, tmp_path: Path) -> None:
    run = start(module, *arguments)
    run.until(lambda: any("libtorch" in one.path for one in psutil.Process(run.process.pid).memory_maps()))
    run.interrupt()
    assert run.end() == 130
    assert run.output == "stopped before it began\n" or "stopped; " in run.output


def test_ctrl_c__as_the_process_ends_does_not_say_that_nothing_began(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    late = f"import atexit, time\natexit.register(lambda: (print('ending', flush=True), time.sleep({PATIENCE_S})))\n"
    (tmp_path / "sitecustomize.py").write_text(late)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    run = start("dogbreed.data.sample", tmp_path / "photos", "--train", 1, "--val", 1, "--test", 1)
    run.wait_for("ending")
    run.interrupt()
    assert run.end() == -signal.SIGINT  # 130 in a shell
    assert run.output.endswith("ending\n")
    assert (tmp_path / "photos/train").is_dir()


@pytest.mark.slow
def test_ctrl_c__in_an_evaluation(start: Start, trained_run: Path, folder: Path, tmp_path: Path) -> None:
    for file in sorted((folder / "test").glob("*/*.jpg")):
        for copy in range(200):
            file.with_name(f"{copy}_{file.name}").write_bytes(file.read_bytes())
    settings = ["data.num_workers=1", "data.batch_size=1", "trainer.accelerator=cpu"]
    where = [f"artifact={trained_run / 'artifact'}", f"data.root={folder}", f"hydra.run.dir={tmp_path / 'run'}"]
    run = start("dogbreed.evaluate", *where, *settings)
    run.until(lambda: run.workers())
    run.interrupt()
    assert run.end() == 130
    assert "stopped" in run.output


@pytest.mark.slow
def test_ctrl_c__to_a_server_lets_it_finish(start: Start, trained_run: Path) -> None:
    run = start("dogbreed.serve", "--artifact", trained_run / "artifact", "--port", 0)
    run.wait_for("dogbreed serves")
    run.wait_for('"event": "start"')
    address = re.search(r"http://127\.0\.0\.1:\d+", run.output)
    assert address

    def answers() -> bool:
        with suppress(OSError), urllib.request.urlopen(f"{address[0]}/ping") as answer:
            return answer.status == 200
        return False

    run.until(answers)
    run.interrupt()
    assert run.end() == 0


def test_ctrl_c__at_the_question_after_ctrl_c_is_an_answer() -> None:
    program = """
import sys, time
from dogbreed.commands import ends_well
from launch.views.watching import Detached, Screen, _attend
class Job:
    def look(self): return False
    def end(self): return None
    def block(self): return "it runs"
class Polling:
    def wait(self, changed, show):
        print("waiting", flush=True)
        time.sleep(300)
@ends_well("nothing was started")
def main():
    try:
        _attend(Job(), "a-job", Polling(), Screen(print), [])
    except Detached:
        return 7
sys.exit(main())
"""
    process, terminal = pty.fork()
    if process == 0:
        os.execv(sys.executable, [sys.executable, "-c", program])
    output = ""

    def read_until(text: str, seconds: float = PATIENCE_S) -> bool:
        nonlocal output
        end = time.monotonic() + seconds
        while text not in output and select.select([terminal], [], [], max(0, end - time.monotonic()))[0]:
            try:
                output += os.read(terminal, 4096).decode()
            except OSError:  # so Linux says that the other side is closed
                break
        return text in output

    def press_ctrl_c_until(text: str) -> bool:
        """Again where it came just before a call that waits, which then waits on, and nothing was printed since."""
        for _ in range(30):
            before = output.replace("^C", "").strip()  # the terminal's echo
            os.write(terminal, b"\x03")
            if read_until(text, PATIENCE_S / 30) or output.replace("^C", "").strip() != before:
                return read_until(text)
        return False

    try:
        told = read_until("waiting") and press_ctrl_c_until("detach (d)") and press_ctrl_c_until("launch.jobs fetch")
        assert told, output
    finally:
        if "launch.jobs fetch" not in output:
            os.kill(process, signal.SIGKILL)
        code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
        os.close(terminal)
    assert code == 7, output


# --- folders that vanish, workers that die


@pytest.mark.slow
def test_vanished__the_pictures(start: Start, long_run: list[str], folder: Path) -> None:
    run = start("dogbreed.train", *long_run, f"data.root={folder}", "features=pixels", "data.on_error=skip")
    run.wait_for("epoch=1 ")
    folder.rename(folder.with_name("elsewhere"))
    assert run.end() == 1
    assert re.search(rf"error: {folder}\S* is gone", run.output), run.output
    assert run.output.count("error:") == 1


@pytest.mark.slow
def test_vanished__the_run(start: Start, long_run: list[str], tmp_path: Path) -> None:
    run = start("dogbreed.train", *long_run)
    run.wait_for("epoch=1 ")
    shutil.rmtree(tmp_path / "run", ignore_errors=True)
    shutil.rmtree(tmp_path / "run", ignore_errors=True)
    assert run.end() == 1
    assert run.output.count("error:") == 1
    assert f"{tmp_path}/run" in run.output.partition("error:")[2]


@pytest.mark.slow
def test_dead_worker__of_the_pictures(start: Start, long_run: list[str]) -> None:
    run = start("dogbreed.train", *long_run, "features=pixels", "data.num_workers=1")
    run.wait_for("epoch=1 ")
    run.workers()[0].kill()
    assert run.end() == 1
    assert "data.num_workers" in run.output
    assert run.output.count("error:") == 1
    assert "continue with: python -m dogbreed.train" in run.output


@pytest.mark.slow
def test_dead_worker__of_a_fleet(start: Start, long_run: list[str], tmp_path: Path) -> None:
    sweep = [f"hydra.sweep.dir={tmp_path / 'sweep'}", "hydra/sweeper=fleet", "data.batch_size=4,8"]  # two stacks
    run = start("dogbreed.train", "-m", *(one for one in long_run if "batch_size" not in one), *sweep)
    run.wait_for("computed")  # before that it asks git and others
    run.until(run.workers)
    run.workers()[0].kill()
    assert run.end() == 1
    assert run.output.count("error:") == 1
