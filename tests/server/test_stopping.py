"""SIGTERM: what was begun is answered, nothing new is taken, and the process ends well."""

from __future__ import annotations

import signal
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.server.asking import Running, serving

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT])
def test_stop__answers_all_that_was_accepted(
    sign: signal.Signals, trained_run: Path, tmp_path: Path, photos: list[bytes]
) -> None:
    log = tmp_path / "log.jsonl"
    with serving(trained_run / "artifact", log) as running:

        def ask_on(number: int) -> Counter[int | str]:
            """Until the server is gone: each answer's status, or that there was none."""
            found: Counter[int | str] = Counter()
            for _ in range(10_000):
                try:
                    answer = running.ask(body=photos[number % len(photos)])
                except ConnectionRefusedError:
                    return found
                except OSError as error:
                    found[type(error).__name__] += 1
                else:
                    found[answer.status] += 1
            return found

        with ThreadPoolExecutor(16) as pool:
            counts = [pool.submit(ask_on, number) for number in range(16)]
            time.sleep(1)
            running.process.send_signal(sign)
            total = sum((count.result() for count in counts), Counter[int | str]())
        assert running.process.wait(30) == 0

    events = running.lines()
    answered = [line for line in events if line["event"] == "request"]
    assert (events[0]["event"], events[-1]["event"]) == ("start", "stop")
    assert total[200] == sum(line["status"] == 200 for line in answered) > 0
    assert {line["status"] for line in answered} <= {200, 503}
    # A connection that the kernel had taken, and the server had not seen, may be reset: no answer of ours was lost.
    assert set(total) <= {200, 503, "ConnectionResetError", "RemoteDisconnected"}


def test_stop__is_said_by_ping_while_work_is_under_way(trained_run: Path, tmp_path: Path, photos: list[bytes]) -> None:
    with serving(trained_run / "artifact", tmp_path / "log.jsonl") as running, ThreadPoolExecutor(1) as pool:
        slow = pool.submit(_send_slowly, running, photos[0])
        time.sleep(0.5)
        running.process.terminate()
        time.sleep(0.5)
        assert running.ask("/ping").status == 503
        assert running.ask(body=photos[0]).status == 503
        assert slow.result().startswith(b"HTTP/1.1 200 OK")
        assert running.process.wait(30) == 0


def _send_slowly(running: Running, photo: bytes) -> bytes:
    head = b"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n"
    return running.send(head % len(photo), photo[:100], photo[100:200], photo[200:], pause_s=1)
