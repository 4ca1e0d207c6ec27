"""What the benchmarks measure by: the machine, processor time and memory of a tree of processes, tables."""

from __future__ import annotations

import json
import multiprocessing
import os
import platform
import resource
import shlex
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import torch

from dogbreed.data.loading import available_cores

Rows = Sequence[Sequence[str]]


def describe_machine() -> dict[str, Any]:
    """Processor, cores, memory, accelerator and versions."""
    machine: dict[str, Any] = {
        "cpu": _first("/proc/cpuinfo", "model name") or platform.processor() or platform.machine(),
        "cores": available_cores(),
        "memory_gb": round(int((_first("/proc/meminfo", "MemTotal") or "0 kB").split()[0]) / 2**20, 1),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "isa": torch.backends.cpu.get_cpu_capability(),
    }
    if hasattr(os, "getloadavg"):
        machine["load_before"] = round(os.getloadavg()[0], 1)
    return machine


def print_machine(machine: dict[str, Any]) -> None:
    """One line; and a word where others are at work beside us, since times are then theirs too."""
    shown = f"{machine['cpu']} ({machine['isa']}), {machine['cores']} cores, {machine['memory_gb']} GB"
    print(f"{shown}, {machine['gpu'] or 'no GPU'}; torch {machine['torch']}, Python {machine['python']}")
    if machine.get("load_before", 0) > 0.5:
        print(f"the machine was not idle: load {machine['load_before']}; processor time tells more than wall time")


def print_table(header: Sequence[str], rows: Rows) -> None:
    """Columns as wide as they must be, the first to the left, the others to the right."""
    widths = [max(len(line[i]) for line in (header, *rows)) for i in range(len(header))]
    for line in (header, ["-" * width for width in widths], *rows):
        cells = [
            cell.ljust(w) if i == 0 else cell.rjust(w) for i, (cell, w) in enumerate(zip(line, widths, strict=True))
        ]
        print("  ".join(cells))


def finish(result: dict[str, Any], file: Path | None) -> None:
    """Write the figures, if asked, with the command that gave them."""
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps({"command": _command(), **result}, indent=2) + "\n")


def _command() -> str:
    """What was typed, without where the figures go."""
    module = sys.modules["__main__"].__spec__
    words, given = ["python", "-m", module.name if module else sys.argv[0]], iter(sys.argv[1:])
    for word in given:
        if word == "--json":
            next(given)
        elif not word.startswith("--json="):
            words.append(word)
    return shlex.join(words)


class Stopwatch:
    """Wall time and processor time of this process and its children, living and waited for, from its making on."""

    def __init__(self) -> None:
        self._wall, self._cpu = time.perf_counter(), cpu_seconds()

    def read(self) -> tuple[float, float]:
        """Seconds of wall time and of processor time."""
        return time.perf_counter() - self._wall, cpu_seconds() - self._cpu


def cpu_seconds() -> float:
    """Processor time of this process, of children that were waited for, and of those alive (Linux)."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    seconds = sum(part.ru_utime + part.ru_stime for part in used)
    for pid in _tree(os.getpid())[1:]:
        fields = _read(f"/proc/{pid}/stat").rpartition(")")[2].split()
        if fields:  # utime, stime, cutime, cstime, counted from the state
            seconds += sum(int(field) for field in fields[11:15]) / os.sysconf("SC_CLK_TCK")
    return seconds


def peak_memory(work: Callable[..., Any], *arguments: Any) -> float | None:
    """The largest sum of PSS in bytes over a fresh process that does `work` and its children; None without /proc.

    Pages that processes share count once. Read four times a second; a peak is what two readings in a row have
    reached, since one that falls on a fork counts pages in the parent and again in the child.

    Raises:
        RuntimeError: the process failed.
    """
    if not Path("/proc/self/smaps_rollup").exists():
        return None
    process = multiprocessing.get_context("spawn").Process(target=_as_by_itself, args=(work, *arguments))
    process.start()
    assert process.pid is not None
    before = peak = 0
    while process.is_alive():
        now = _pss_of_tree(process.pid)
        before, peak = now, max(peak, min(before, now))
        time.sleep(0.25)
    process.join()
    if process.exitcode:
        raise RuntimeError(f"{work.__name__} ended with exit code {process.exitcode}")
    return float(peak)


def _as_by_itself(work: Callable[..., Any], *arguments: Any) -> None:
    # A spawned process would spawn its own children too, where a program by itself takes the system's default.
    multiprocessing.set_start_method(multiprocessing.get_all_start_methods()[0], force=True)
    work(*arguments)


class Sampled:
    """The largest PSS in bytes of this process and its children while the block runs, as `peak_memory` reads it."""

    def __enter__(self) -> Sampled:
        self.peak, self._done = 0, threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        before = 0
        while not self._done.wait(0.25):
            now = _pss_of_tree(os.getpid())
            before, self.peak = now, max(self.peak, min(before, now))


def median(values: Iterable[float]) -> float:
    """The middle one."""
    return statistics.median(values)


def _tree(pid: int) -> list[int]:
    found = [pid]
    for task in Path(f"/proc/{pid}/task").glob("*/children") if sys.platform == "linux" else ():
        for child in _read(str(task)).split():
            found += _tree(int(child))
    return found


def _pss_of_tree(root: int) -> int:
    return sum(int((_first(f"/proc/{pid}/smaps_rollup", "Pss") or "0").split()[0]) * 1024 for pid in _tree(root))


def _first(file: str, key: str) -> str | None:
    for line in _read(file).splitlines():
        name, _, value = line.partition(":")
        if name.strip() == key:
            return value.strip()
    return None


def _read(file: str) -> str:
    try:
        return Path(file).read_text()
    except OSError:  # the process has ended, or this is no Linux
        return ""
