"""HTTP clients that take next to no processor time: requests are made before, answers are hardly read."""

from __future__ import annotations

import asyncio
import multiprocessing
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection


@dataclass
class Load:
    """What some clients saw.

    Attributes:
        times_s: from the first byte sent to the last one read, of each request that was answered with 200.
        failed: requests that were not.
        wall_s: how long it took.
        cpu_s: processor time of the clients.
    """

    times_s: list[float] = field(default_factory=list)
    failed: int = 0
    wall_s: float = 0.0
    cpu_s: float = 0.0


def run_clients(port: int, pictures: Sequence[bytes], clients: int, seconds: float) -> Load:
    """Let so many clients ask on 127.0.0.1 for so long, in a process of their own."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=_in_child, args=(there, port, list(pictures), clients, seconds))
    process.start()
    there.close()
    load: Load = here.recv()
    process.join()
    return load


def _in_child(out: Connection, port: int, pictures: list[bytes], clients: int, seconds: float) -> None:
    requests = [_request(picture) for picture in pictures]
    out.send(asyncio.run(_ask(port, requests, clients, seconds)))


def _request(picture: bytes) -> bytes:
    head = (
        f"POST /invocations HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: image/jpeg\r\nContent-Length: {len(picture)}"
    )
    return f"{head}\r\n\r\n".encode() + picture


async def _ask(port: int, requests: Sequence[bytes], clients: int, seconds: float) -> Load:
    load = Load()
    wall, cpu = time.perf_counter(), time.process_time()
    until = wall + seconds
    await asyncio.gather(*(_client(port, requests, number, until, load) for number in range(clients)))
    load.wall_s, load.cpu_s = time.perf_counter() - wall, time.process_time() - cpu
    return load


async def _client(port: int, requests: Sequence[bytes], number: int, until: float, load: Load) -> None:
    """Ask, wait for the answer, ask again; on the same connection for as long as the server keeps it."""
    turn, streams = number * 37, None  # each client starts somewhere else
    while (start := time.perf_counter()) < until:
        try:
            reader, writer = streams = streams or await asyncio.open_connection("127.0.0.1", port)
            writer.write(requests[turn % len(requests)])
            head = await reader.readuntil(b"\r\n\r\n")
            lines = head.lower().split(b"\r\n")
            length = next(line for line in lines if line.startswith(b"content-length:"))
            await reader.readexactly(int(length.split(b":")[1]))
            good, keep = head[9:12] == b"200", head.startswith(b"HTTP/1.1") and b"connection: close" not in lines
        except (OSError, EOFError, StopIteration):
            good = keep = False
        if good:
            load.times_s.append(time.perf_counter() - start)
        else:
            load.failed += 1
        if not keep and streams is not None:
            streams[1].close()
            streams = None
        turn += 1
