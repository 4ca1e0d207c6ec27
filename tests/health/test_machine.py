"""The machine as the system tells it: real processes, real work."""

from __future__ import annotations

import gc
import multiprocessing
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator

import numpy as np
import psutil
import pytest
from torch.utils.data import DataLoader

from dogbreed.health.machine import MachineSampler, count_loaders, process_started
from dogbreed.health.samples import MachineSample
from dogbreed.health.usage import Thinned, spread, usage


def until(sampler: MachineSampler, count: int) -> list[MachineSample]:
    """Wait for so many samples."""
    assert happens(lambda: len(sampler.samples) >= count)
    return sampler.samples


def happens(wanted: Callable[[], bool]) -> bool:
    """Whether something is so within a minute."""
    end = time.monotonic() + 60
    while not wanted() and time.monotonic() < end:
        time.sleep(0.01)
    return wanted()


def test_sampler__times_are_since_the_start_and_evenly_spaced() -> None:
    every_s, started = 0.05, time.monotonic() - 100

    def is_even() -> bool:
        """As the last ones are, once nobody else takes the cores."""
        gaps = np.diff([sample.seconds for sample in sampler.samples][-6:])
        return len(gaps) == 5 and float(np.median(gaps)) == pytest.approx(every_s, rel=0.2)

    with MachineSampler(every_s, started) as sampler:
        samples = until(sampler, 1)
        until_first = time.monotonic() - started
        assert happens(is_even)
    assert 100 + every_s - 0.001 <= samples[0].seconds <= until_first + 0.001  # it is rounded


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="the system cannot bind a thread to a core")
def test_sampler__sees_the_core_that_works() -> None:
    own = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, own[:1])  # of this thread, and of those it starts
    try:
        with MachineSampler(0.2, time.monotonic()) as sampler:
            end = time.monotonic() + 0.7
            while time.monotonic() < end:
                pass
    finally:
        os.sched_setaffinity(0, own)
    for sample in sampler.samples:
        assert len(sample.cores) == 1
        assert sample.cores[0] > 85
        assert sample.io_wait == pytest.approx((0.0,), abs=15)


def test_sampler__shares_stay_within_0_and_100() -> None:
    with MachineSampler(0.01, time.monotonic()) as sampler:
        samples = until(sampler, 20)
    shares = [share for sample in samples for share in (*sample.cores, *sample.io_wait)]
    assert shares
    assert 0 <= min(shares) <= max(shares) <= 100


def test_sampler__memory_is_that_of_this_process_and_of_what_it_started() -> None:
    code = "import sys, numpy; kept = numpy.ones(2**25); print(flush=True); sys.stdin.read()"  # 256 MiB
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdout.readline()
        gc.collect()  # it ends what other tests have left behind; what stays is in both sums
        with MachineSampler(0.02, time.monotonic()) as sampler:
            until(sampler, 1)
        family = [psutil.Process(), *psutil.Process().children(recursive=True)]
        expected = sum(process.memory_info().rss for process in family) / 2**30
        child.stdin.close()
    assert child.pid in [process.pid for process in family]
    assert sampler.samples[0].memory == pytest.approx(expected, abs=0.1)


def test_sampler__has_no_gpus_where_there_is_no_driver() -> None:
    if os.path.exists("/dev/nvidia0"):
        pytest.skip("there is one here")
    with MachineSampler(0.02, time.monotonic()) as sampler:
        assert [sample.gpus for sample in until(sampler, 2)][:2] == [(), ()]


@pytest.fixture
def two_workers() -> Iterator[int]:
    """A loader with two processes that stay; how many others there are, which other tests have left behind."""
    gc.collect()
    others = count_loaders()
    loading = iter(DataLoader(list(range(8)), num_workers=2, persistent_workers=True))  # type: ignore[arg-type]
    next(loading), next(loading)  # one of each: both have begun
    yield others
    del loading


def test_sampler__counts_loaders_alone(two_workers: int) -> None:
    with (
        subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE),
        MachineSampler(0.02, time.monotonic()) as sampler,
    ):
        assert count_loaders() == two_workers + 2
        assert until(sampler, 1)[0].loaders == two_workers + 2
        sampler.evaluators = 1
        sampler.training = True
        before = len(sampler.samples)
        last = until(sampler, before + 2)[-1]
    assert (last.loaders, last.training) == (two_workers + 1, True)


def test_sampler__survives_processes_that_come_and_go() -> None:
    with MachineSampler(0.001, time.monotonic()) as sampler:
        for _ in range(40):
            subprocess.run(["true"], check=True)
        before = len(sampler.samples)
        assert len(until(sampler, before + 3)) > before + 2


def test_sampler__takes_each_sample_once() -> None:
    with MachineSampler(0.01, time.monotonic()) as sampler:
        until(sampler, 3)
        taken = sampler.take()
        until(sampler, len(taken) + 3)
    taken += sampler.take()
    assert taken == sampler.samples
    assert sampler.take() == []


def test_sampler__a_run_of_no_time_has_one_sample() -> None:
    with MachineSampler(60.0, time.monotonic()) as sampler:
        pass
    assert len(sampler.samples) == 1


def test_sampler__stops() -> None:
    before = set(threading.enumerate())
    sampler = MachineSampler(0.01, time.monotonic())
    sampler.start()
    sampler.start()
    [thread] = set(threading.enumerate()) - before
    sampler.stop()
    sampler.stop()
    assert happens(lambda: not thread.is_alive())


@pytest.mark.skipif(not hasattr(time, "pthread_getcpuclockid"), reason="the system does not tell a thread's time")
@pytest.mark.usefixtures("two_workers")
def test_sampler__a_sample_costs_little_more_than_what_it_must_read() -> None:
    """Of processor time of the thread's own, and of this one's for the same readings at the same pace."""
    before = set(threading.enumerate())
    with MachineSampler(0.01, time.monotonic()) as sampler:
        [thread] = set(threading.enumerate()) - before
        assert thread.ident is not None
        its_clock = time.pthread_getcpuclockid(thread.ident)
        until(sampler, 3)
        count, spent = len(sampler.samples), time.clock_gettime(its_clock)
        samples = until(sampler, count + 50)
        spent = time.clock_gettime(its_clock) - spent
    family = [psutil.Process(), *psutil.Process().children()]
    needed = 0.0
    for _ in range(20):
        time.sleep(0.01)
        started = time.thread_time()
        psutil.cpu_times(percpu=True)
        for process in family:
            process.memory_info()
            process.name()
        needed += time.thread_time() - started
    assert spent / (len(samples) - count) < 4 * needed / 20  # measured: 2


def test_process_started__is_what_psutil_says() -> None:
    """Which is up to a second too early on Linux."""
    age, known = time.monotonic() - process_started(), time.time() - psutil.Process().create_time()
    assert age == pytest.approx(known, abs=1.1)


def test_process_started__is_exact_to_a_tenth_of_a_second() -> None:
    context = multiprocessing.get_context("fork")
    answers = context.SimpleQueue()
    before = time.monotonic()
    child = context.Process(target=lambda: answers.put(process_started()))
    child.start()
    after = time.monotonic()
    started = answers.get()
    child.join()
    assert before - 0.1 < started < after + 0.1


def test_thinned__keeps_the_first_and_even_gaps_within_its_limit() -> None:
    kept = Thinned[int](limit=100)
    for number in range(12_345):
        kept.add(number)
    assert kept.items[0] == 0
    assert len(set(np.diff(kept.items))) == 1
    assert 50 <= len(kept.items) <= 100
    assert kept.items[-1] > 12_000


def test_usage__is_of_the_mean_over_the_cores_and_of_each_gpu() -> None:
    rng = np.random.default_rng(0)
    cores, gpus = rng.uniform(0, 100, (40, 4)), rng.uniform(0, 100, (40, 2))
    found = usage(
        MachineSample(0.0, tuple(core), gpus=tuple(gpu), memory=1.5) for core, gpu in zip(cores, gpus, strict=True)
    )
    assert found["cores"] == spread(cores.mean(axis=1).tolist())
    assert found["gpus"] == [spread(gpus[:, gpu].tolist()) for gpu in (0, 1)]
    assert found["io_wait"] is None
    assert found["memory_gib"]["max"] == 1.5
