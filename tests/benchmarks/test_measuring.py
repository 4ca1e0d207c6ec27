"""What the benchmarks measure by."""

from __future__ import annotations

import multiprocessing
import sys
import time

import pytest

from benchmarks.measuring import Stopwatch, describe_machine, peak_memory, print_table


def burn(seconds: float) -> None:
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


def burn_and_sleep() -> None:
    burn(0.2)
    time.sleep(60)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_stopwatch__counts_children_alive_and_ended() -> None:
    watch = Stopwatch()
    context = multiprocessing.get_context("fork")
    ended = context.Process(target=burn, args=(0.2,))
    ended.start()
    ended.join()
    alive = context.Process(target=burn_and_sleep)
    alive.start()
    end = time.monotonic() + 30
    while watch.read()[1] < 0.4 and time.monotonic() < end:
        time.sleep(0.05)
    alive.kill()
    alive.join()
    wall, cpu = watch.read()
    assert 0.35 < cpu < 2
    assert wall > 0.2


HOLD = "held = bytearray(b'x') * ({} << 20); import time; time.sleep(1.5)"


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_peak_memory__sees_what_a_process_held() -> None:
    little, much = peak_memory(exec, HOLD.format(1)), peak_memory(exec, HOLD.format(300))
    assert little is not None
    assert much is not None
    assert 250 << 20 < much - little < 350 << 20


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_peak_memory__says_that_the_work_failed() -> None:
    with pytest.raises(RuntimeError, match="exec"):
        peak_memory(exec, "1 / 0")


def test_machine__names_cores_and_versions() -> None:
    machine = describe_machine()
    assert machine["cores"] >= 1
    assert machine["torch"]


def test_table__aligns_its_columns(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(["", "ms"], [["old way", "100.0"], ["ours", "1.0"]])
    assert capsys.readouterr().out.splitlines() == [
        "            ms",
        "-------  -----",
        "old way  100.0",
        "ours       1.0",
    ]
