"""What a server refuses, what clients that stall or lie cost it, and that it goes on answering."""

from __future__ import annotations

import io
import json
import socket
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dogbreed.server import bodies, protocol
from tests.server.asking import Running, read_all, serving

POST = b"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Type: image/jpeg\r\n"


def status_of(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1]) if answer else 0


@pytest.fixture(scope="module")
def slow_picture() -> bytes:
    """4 megapixels of noise, which take a while to decode."""
    pixels = np.random.default_rng(0).integers(0, 256, (2000, 2000, 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "JPEG", quality=90)
    return out.getvalue()


@pytest.fixture(scope="module")
def busy(trained_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server that is soon full."""
    log = tmp_path_factory.mktemp("busy") / "log.jsonl"
    limits = ["--threads", "1", "--max-waiting", "8", "--timeout-s", "20"]
    with serving(trained_run / "artifact", log, *limits) as running:
        yield running


def test_body__too_large_is_413_before_it_is_sent(server: Running) -> None:
    answer = server.send(POST + b"Content-Length: 99999999999\r\n\r\n")

    assert status_of(answer) == 413


def test_body__in_chunks_is_cut_at_the_limit(server: Running) -> None:
    chunk = b"10000\r\n" + bytes(0x10000) + b"\r\n"
    head = POST + b"Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
    answer = server.send(head, *[chunk] * 20, b"0\r\n\r\n")

    assert status_of(answer) == 413


def test_body__that_never_ends_is_no_longer_read(server: Running) -> None:
    before = server.metric("dogbreed_refused_total")
    chunk = b"10000\r\n" + bytes(0x10000) + b"\r\n"
    server.send(POST + b"Transfer-Encoding: chunked\r\n\r\n", *[chunk] * 200)

    assert server.metric("dogbreed_refused_total") == before + 1


def test_body__shorter_than_its_length_costs_nothing(server: Running, photos: list[bytes]) -> None:
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(POST + b"Content-Length: 5000\r\n\r\n" + photos[0][:100])
    assert server.ask(body=photos[0]).status == 200
    assert server.metric("dogbreed_body_bytes") == 0


def test_body__longer_than_its_length_is_answered_as_far_as_it_counts(server: Running, photos: list[bytes]) -> None:
    answer = server.send(POST + b"Content-Length: %d\r\n\r\n" % len(photos[0]) + photos[0] + b"\x00more")

    first, second = answer.split(b"HTTP/1.1 ")[1:]
    assert (first[:3], second[:3]) == (b"200", b"400")  # the rest is no request


@pytest.mark.parametrize(
    "request_",
    [
        b"\x16\x03\x01 no http at all\r\n\r\n",
        b"GET /ping HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 200_000 + b"\r\n\r\n",
        b"GET /ping HTTP/1.1\r\nHost: x\r\n" + b"X: y\r\n" * 50_000 + b"\r\n",
        b"GET /" + b"x" * 200_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        POST + b"Content-Length: -1\r\n\r\n",
        POST + b"Content-Length: 1e3\r\n\r\n",
        POST + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
        POST + b"Transfer-Encoding: chunked\r\n\r\nno chunk\r\n",
    ],
)
def test_request__that_is_no_http_is_400(request_: bytes, server: Running) -> None:
    assert status_of(server.send(request_)) in (400, 0)  # 0: it was still sending
    assert server.ask("/ping").status == 200


def test_bomb__is_refused_without_being_decoded(server: Running) -> None:
    out = io.BytesIO()
    Image.new("L", (9000, 9000)).save(out, "PNG")
    answer = server.ask(body=out.getvalue()[:100], media="image/png")  # decoding it would find that it is cut off

    assert (answer.status, "81,000,000 pixels" in answer.json["error"]) == (413, True)


@pytest.mark.slow
def test_clients__that_stall_are_let_go(server: Running, photos: list[bytes]) -> None:
    """In headers, in a body, and by the byte: each holds its own connection alone, and not for long."""

    def drip(sent: bytes, then: bytes) -> tuple[int, float]:
        start = time.monotonic()
        with socket.create_connection(("127.0.0.1", server.port), timeout=0.5) as connection:
            connection.sendall(sent)
            found = b""
            while time.monotonic() - start < 60:
                try:
                    if then:
                        connection.sendall(then)
                    found += (part := connection.recv(65536))
                    if not part:
                        break
                except TimeoutError:
                    continue
                except OSError:
                    break
            return status_of(found), time.monotonic() - start

    half = POST + b"Content-Length: 50000\r\n\r\n" + photos[0][:100]
    burst = POST + b"Content-Length: 1000000\r\n\r\n" + bytes(900_000)  # which buys no silence
    stalled = [(b"", b""), (POST, b""), (POST, b"x"), (half, b""), (half, b"x")]
    with ThreadPoolExecutor(52) as pool:
        waiting = [pool.submit(drip, *kind) for kind in [*stalled * 10, (burst, b""), (burst, b"x")]]
        time.sleep(2)
        assert server.ask(body=photos[0]).status == 200
        assert not any(one.done() for one in waiting), "all of them hang meanwhile, for another 8 s"
        ended = [one.result() for one in waiting]

    assert Counter(status for status, _ in ended) == {0: 30, 408: 22}
    assert max(seconds for _, seconds in ended) < max(protocol.HEADERS_S, bodies.GRACE_S) + 30  # on a busy machine


@pytest.mark.slow
def test_client__that_does_not_read_is_let_go(server: Running) -> None:
    """Its answers pile up only so far."""
    before = server.metric("dogbreed_refused_total")
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
        connection.settimeout(1)
        connection.connect(("127.0.0.1", server.port))
        start = time.monotonic()
        while time.monotonic() - start < 60 and server.metric("dogbreed_refused_total") == before:
            try:
                connection.sendall(b"GET /page.js HTTP/1.1\r\nHost: x\r\n\r\n" * 1000)
            except TimeoutError:
                continue
            except OSError:
                break
    assert server.metric("dogbreed_refused_total") == before + 1


@pytest.mark.slow
def test_flood__is_refused_and_those_accepted_are_answered_in_time(busy: Running, slow_picture: bytes) -> None:
    def ask(_: int) -> tuple[int, float, bytes]:
        start = time.perf_counter()
        answer = busy.ask(body=slow_picture)
        return answer.status, time.perf_counter() - start, answer.body

    with ThreadPoolExecutor(64) as pool:
        answers = list(pool.map(ask, range(300)))

    counts = Counter(status for status, _, _ in answers)
    assert (set(counts), counts[200] > 0, counts[503] > 0) == ({200, 503}, True, True)
    assert max(seconds for status, seconds, _ in answers if status == 200) < 20
    refused = next(body for status, _, body in answers if status == 503)
    assert set(json.loads(refused)) == {"error", "allowed", "hint"}
    assert busy.ask(body=slow_picture).status == 200


@pytest.mark.slow
def test_pictures__that_wait_too_long_are_refused_instead_of_computed(
    trained_run: Path, tmp_path: Path, slow_picture: bytes
) -> None:
    limits = ["--threads", "1", "--timeout-s", "1"]
    with serving(trained_run / "artifact", tmp_path / "log.jsonl", *limits) as running, ThreadPoolExecutor(64) as pool:
        answers = list(pool.map(lambda _: running.ask(body=slow_picture), range(64)))
        running.wait_until_idle()  # what nobody waits for any more would be computed now
        computed = running.metric("dogbreed_batch_pictures_sum")

    statuses = Counter(answer.status for answer in answers)
    assert (set(statuses), statuses[503] > 0) == ({200, 503}, True)
    assert statuses[200] <= computed < len(answers)  # some are late while they are computed: told so, but counted
    assert all("retry-after" in answer.headers for answer in answers if answer.status == 503)


@pytest.mark.slow
def test_clients__that_leave_take_their_work_with_them(busy: Running, slow_picture: bytes, photos: list[bytes]) -> None:
    before, answered = busy.metric("dogbreed_batch_pictures_sum"), busy.metric("dogbreed_pictures_total")
    head = POST + b"Content-Length: %d\r\n\r\n" % len(slow_picture)
    with ExitStack() as stack:
        for _ in range(8):
            connection = stack.enter_context(socket.create_connection(("127.0.0.1", busy.port)))
            connection.sendall(head + slow_picture)
        while busy.metric("dogbreed_waiting_pictures") < 2:  # they leave while their pictures are in the queue
            assert busy.metric("dogbreed_pictures_total") < answered + 8, "all were answered before anyone could leave"
    busy.wait_until_idle()

    assert busy.metric("dogbreed_batch_pictures_sum") < before + 8
    assert 'dogbreed_refused_total{why="gone"}' in busy.ask("/metrics").body.decode()
    assert busy.ask(body=photos[0]).status == 200


@pytest.mark.slow
def test_connections__beyond_the_most_are_refused(server: Running) -> None:
    with ExitStack() as stack:
        for _ in range(protocol.MOST_CONNECTIONS):
            stack.enter_context(socket.create_connection(("127.0.0.1", server.port)))
        answer = server.ask("/ping")

        assert (answer.status, "too many connections" in answer.json["error"]) == (503, True)
    end = time.monotonic() + 60
    while (status := server.ask("/ping").status) == 503 and time.monotonic() < end:  # until it has seen them leave
        time.sleep(0.05)
    assert status == 200


def test_connection__takes_one_request_after_the_other(server: Running, photos: list[bytes]) -> None:
    body = b"Content-Length: %d\r\n\r\n" % len(photos[0]) + photos[0]
    requests = (POST + body) * 4 + POST + b"Connection: close\r\n" + body
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
        connection.sendall(requests)  # without waiting for the answers
        found = read_all(connection)

    assert found.count(b"HTTP/1.1 200 OK") == 5
