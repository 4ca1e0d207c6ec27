"""The machine while a run goes on: its cores, its disk, its memory and its GPUs, twice a second."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from dogbreed.health.samples import MachineSample
from dogbreed.health.usage import KEPT, Thinned

if TYPE_CHECKING:
    import psutil

_CHILDREN = "/proc/{0}/task/{0}/children"  # Linux
LOADER = "pt_data_worker"  # what torch calls a DataLoader's process


class MachineSampler:
    """Samples of the machine from a thread of its own, between `start` and `stop` or inside `with`.

    It is in nobody's way: a sample takes a fraction of a millisecond, a process that has gone is left out, and
    a machine without an NVIDIA driver has no GPUs. What is kept is bounded, however long the run.

    Args:
        every_s: seconds between two samples.
        started: of the run, by time.monotonic().
        gpus: the numbers of those that the run uses, of the visible ones; None for all.

    Attributes:
        training: whether the training loop runs now; set by who knows it.
        evaluators: loader processes that only serve evaluations: they are not counted.
    """

    def __init__(self, every_s: float, started: float, gpus: Sequence[int] | None = None) -> None:
        self.every_s, self.started, self._gpus = every_s, started, gpus
        self.training = False
        self.evaluators = 0
        self._kept: Thinned[MachineSample] = Thinned(KEPT)
        self._new: deque[MachineSample] = deque(maxlen=KEPT)
        self._end = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def samples(self) -> list[MachineSample]:
        """The samples so far, oldest first, at most KEPT."""
        return list(self._kept.items)

    def take(self) -> list[MachineSample]:
        """The samples since the last call; the newest KEPT where these are more."""
        return [self._new.popleft() for _ in range(len(self._new))]

    def start(self) -> None:
        """Begin to sample."""
        if self._thread is None:
            self._end.clear()
            # It imports psutil, in this thread: a fork while another one imports would leave a lock.
            probe = _Probe(self._gpus)
            self._thread = threading.Thread(target=self._run, args=(probe,), name="machine", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """End it; every run has one sample at least."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._end.set()
            thread.join(timeout=10 * self.every_s)

    def __enter__(self) -> MachineSampler:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _run(self, probe: _Probe) -> None:
        due = time.monotonic()
        ended = False
        while not ended:
            due = max(due + self.every_s, time.monotonic())
            ended = self._end.wait(due - time.monotonic())
            if not ended or not self._kept.items:
                sample = probe.sample(time.monotonic() - self.started, self.training, self.evaluators)
                self._kept.add(sample)
                self._new.append(sample)


class _Probe:
    """Reads the machine once each time that it is asked; shares are of the time since it was asked last."""

    def __init__(self, gpus: Sequence[int] | None) -> None:
        import psutil

        self._psutil = psutil
        self._gpus = _Gpus(gpus)
        self._times = self._core_times()

    def sample(self, seconds: float, training: bool, evaluators: int) -> MachineSample:
        cores, io_wait = self._cores()
        memory, loaders = _processes()
        gpus, gpu_memory = self._gpus.use()
        return MachineSample(
            seconds=round(seconds, 3),
            cores=cores,
            io_wait=io_wait,
            memory=memory,
            gpus=gpus,
            gpu_memory=gpu_memory,
            loaders=max(0, loaders - evaluators),
            training=training,
        )

    def _core_times(self) -> list[Any]:
        """Seconds by kind of each core that this process may use: a container often has but a few of a machine's."""
        times = self._psutil.cpu_times(percpu=True)
        if not hasattr(os, "sched_getaffinity"):
            return list(times)
        return [times[core] for core in sorted(os.sched_getaffinity(0)) if core < len(times)]

    def _cores(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Use and disk wait of each core in percent.

        Not by psutil.cpu_times_percent: over less than a second it gives too little (7.2.2, measured: a half over
        half a second).
        """
        before, self._times = self._times, self._core_times()
        busy, waiting = [], []
        for old, new in zip(before, self._times, strict=False):
            spent = {kind: max(0.0, getattr(new, kind) - getattr(old, kind)) for kind in new._fields}
            # A guest's time is counted in user and nice too.
            total = sum(spent.values()) - spent.get("guest", 0.0) - spent.get("guest_nice", 0.0)
            wait = spent.get("iowait", 0.0)
            busy.append(_percent(total - spent["idle"] - wait, total))
            if "iowait" in spent:
                waiting.append(_percent(wait, total))
        return tuple(busy), tuple(waiting)


class _Gpus:
    """The GPUs that this process uses, where there is an NVIDIA driver."""

    def __init__(self, used: Sequence[int] | None) -> None:
        import pynvml

        self._nvml = pynvml
        self._handles: list[Any] = []
        try:
            pynvml.nvmlInit()
            names = self._names()
            self._handles = [self._handle(names[number]) for number in (range(len(names)) if used is None else used)]
        except pynvml.NVMLError:  # no driver, or none that can be asked
            return

    def use(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Use of each GPU, and of each GPU's memory, in percent; empty where the driver gives none."""
        try:
            use = [float(self._nvml.nvmlDeviceGetUtilizationRates(handle).gpu) for handle in self._handles]
            memory = [self._nvml.nvmlDeviceGetMemoryInfo(handle) for handle in self._handles]
        except self._nvml.NVMLError:
            return (), ()
        return tuple(use), tuple(_percent(entry.used, entry.total) for entry in memory)

    def _names(self) -> list[str]:
        chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
        if chosen is None:
            return [str(number) for number in range(self._nvml.nvmlDeviceGetCount())]
        return [name.strip() for name in chosen.split(",") if name.strip() not in ("", "-1", "NoDevFiles")]

    def _handle(self, name: str) -> Any:
        if name.isdecimal():
            return self._nvml.nvmlDeviceGetHandleByIndex(int(name))
        return self._nvml.nvmlDeviceGetHandleByUUID(name)


def process_started() -> float:
    """When this process was started, by time.monotonic()."""
    import psutil

    if sys.platform == "linux":
        # psutil adds the time of the boot, which Linux gives in whole seconds, and would be up to one too early.
        with open("/proc/self/stat") as file:
            ticks = int(file.read().rpartition(")")[2].split()[19])
        age = time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
    else:
        age = time.time() - psutil.Process().create_time()
    return time.monotonic() - age


def count_loaders() -> int:
    """The loader processes of this process that are alive."""
    return _processes()[1]


def _processes() -> tuple[float, int]:
    """GiB of this process and those that it started, and how many of these are loaders.

    It is the resident memory (RSS), which counts a page for each process that shares it: what is exact (PSS, USS)
    makes the system walk through every page.
    """
    import psutil

    memory = loaders = 0
    for process in _family():
        try:
            with process.oneshot():
                memory += process.memory_info().rss
                loaders += process.name() == LOADER
        except psutil.Error:  # it has ended meanwhile
            continue
    return round(memory / 2**30, 3), loaders


def _family() -> list[psutil.Process]:
    """This process and those that it started, and they in turn."""
    import psutil

    own = psutil.Process()
    if not os.path.exists(_CHILDREN.format(own.pid)):
        return [own, *own.children(recursive=True)]
    found = [own]
    for pid in _descendants(own.pid):
        try:
            found.append(psutil.Process(pid))
        except psutil.NoSuchProcess:
            continue
    return found


def _descendants(pid: int) -> Iterator[int]:
    """What the main threads started, which is one file a process; psutil reads those of the whole machine."""
    try:
        with open(_CHILDREN.format(pid)) as file:
            children = file.read().split()
    except (FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
        return
    for child in children:
        yield int(child)
        yield from _descendants(int(child))


def _percent(part: float, whole: float) -> float:
    return round(min(100.0, max(0.0, 100 * part / whole)), 1) if whole > 0 else 0.0
