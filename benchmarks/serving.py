"""`python -m benchmarks.serving --artifact DIR --pictures FOLDER`: the server under load, from 1 to 64 clients.

Beside it, in the same run: the Predictor's own throughput on the same bytes, decoding included, and a plain server
that answers one request at a time. The clients share the machine with the server, so that their processor time is
measured, stated, and taken out where the server is compared with the Predictor.
"""

from __future__ import annotations

import argparse
import http.server
import math
import random
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.clients import Load, run_clients
from benchmarks.measuring import describe_machine, finish, print_machine, print_table
from dogbreed.data.folder import find_pictures
from dogbreed.serving.exchange import answer_body
from dogbreed.serving.predictor import Predictor

CLIENTS = (1, 2, 4, 8, 16, 32, 64)
COMPARED = 16  # clients, beside the Predictor and the plain server
OWN_BATCHES = (1, 4, 32)


class Plain(http.server.BaseHTTPRequestHandler):
    """Answers one request after the other, on one thread."""

    predictor: Predictor

    def do_GET(self) -> None:
        """Alive."""
        self._send(b"{}")

    def do_POST(self) -> None:
        """The answer to a picture."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self._send(answer_body(self.predictor, body, self.headers["Content-Type"]))

    def _send(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


def serve_plainly(artifact: str, port: int) -> None:
    """Run the plain server until it is killed."""
    Plain.predictor = Predictor.load(artifact)
    http.server.HTTPServer.request_queue_size = 128
    http.server.HTTPServer(("127.0.0.1", port), Plain).serve_forever()


def own_throughput(artifact: str, pictures: Sequence[bytes], batch_size: int, seconds: float) -> float:
    """Pictures a second by `Predictor.predict` alone, in this process."""
    predictor = Predictor.load(artifact)
    pictures = [*pictures] * math.ceil(batch_size / len(pictures))
    batches = [pictures[start : start + batch_size] for start in range(0, len(pictures) - batch_size + 1, batch_size)]
    predictor.predict(batches[0])
    done, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        done += len(predictor.predict(batches[done // batch_size % len(batches)]))
    return done / (time.perf_counter() - start)


@contextmanager
def running(*command: str, port: int) -> Iterator[int]:
    """A server in a process of its own, from its first answer to /ping on; its process id."""
    process = subprocess.Popen([sys.executable, *command], stderr=subprocess.DEVNULL)
    try:
        _wait_for(f"http://127.0.0.1:{port}/ping", process)
        yield process.pid
    finally:
        process.terminate()
        process.wait(60)


def _wait_for(url: str, process: subprocess.Popen[bytes], patience_s: float = 120) -> None:
    until = time.monotonic() + patience_s
    while time.monotonic() < until and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    raise SystemExit(f"no answer from {url}: the server ended with {process.poll()}")


class Memory:
    """The server's resident memory in MB while the block runs, read each second: `early`, at a third, and `late`."""

    def __init__(self, pid: int) -> None:
        self._pid, self._samples, self._done = pid, [0.0], threading.Event()

    def __enter__(self) -> Memory:
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._done.set()
        self._thread.join()
        self.early, self.late = self._samples[len(self._samples) // 3], self._samples[-1]

    def _watch(self) -> None:
        while not self._done.wait(1.0):
            lines = Path(f"/proc/{self._pid}/status").read_text().splitlines()
            resident = next(line for line in lines if line.startswith("VmRSS"))
            self._samples.append(int(resident.split()[1]) / 1024)


def measure(port: int, pid: int, pictures: Sequence[bytes], clients: int, seconds: float) -> dict[str, Any]:
    """What so many clients, each asking again as soon as it is answered, see for so long."""
    with Memory(pid) as memory:
        load = run_clients(port, pictures, clients, seconds)
    return {"clients": clients, **_figures(load), "memory_mb": [round(memory.early), round(memory.late)]}


def _figures(load: Load) -> dict[str, Any]:
    times = sorted(load.times_s)

    def percentile(share: float) -> float:
        return 1000 * times[min(len(times) - 1, math.ceil(share * len(times)) - 1)]

    return {
        "requests_s": len(times) / load.wall_s,
        "p50_ms": percentile(0.5),
        "p99_ms": percentile(0.99),
        "failed": load.failed,
        "client_cpu": load.cpu_s / load.wall_s,  # cores
    }


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """Measure, print, and return the figures."""
    options = _parser().parse_args(arguments)
    machine = describe_machine()
    print_machine(machine)
    paths = list(find_pictures([str(options.pictures)]))
    random.Random(0).shuffle(paths)
    pictures = [Path(path).read_bytes() for path in paths[: options.limit]]
    size = sum(map(len, pictures)) / len(pictures) / 1024
    print(f"{len(pictures)} pictures of {options.pictures.name}, {size:.0f} KB each; {options.seconds:g} s a row")
    artifact, seconds = str(options.artifact), options.seconds
    own = {size: [own_throughput(artifact, pictures, size, seconds / 3)] for size in OWN_BATCHES}
    port = _free_port()
    serving = ["-m", "dogbreed.serve", "--artifact", artifact, "--port", str(port), *options.serve]
    with running(*serving, port=port) as pid:
        run_clients(port, pictures, COMPARED, min(5.0, seconds))  # warm
        rows = [measure(port, pid, pictures, clients, seconds) for clients in options.clients]
    port = _free_port()
    with running("-m", "benchmarks.serving", "--plain", str(port), "--artifact", artifact, port=port) as pid:
        run_clients(port, pictures, 2, min(5.0, seconds))
        plain = measure(port, pid, pictures, COMPARED, seconds)
    for size, found in own.items():  # again: the machine may have become slower or quicker meanwhile
        found.append(own_throughput(artifact, pictures, size, seconds / 3))
    result = {"machine": machine, "rows": rows, "plain": plain, "own": own}
    result |= _compare(result, machine["cores"])
    _print(result)
    finish(result, options.json)
    return result


def _compare(result: dict[str, Any], cores: int) -> dict[str, Any]:
    """The server at `COMPARED` clients beside the Predictor's best and the plain server."""
    row = next((row for row in result["rows"] if row["clients"] == COMPARED), result["rows"][-1])
    best = max(sum(found) / len(found) for found in result["own"].values())
    alone = row["requests_s"] / (1 - row["client_cpu"] / cores)
    return {
        "own_best": best,
        "of_own": row["requests_s"] / best,
        "of_own_without_clients": alone / best,
        "p99_of_plain": row["p99_ms"] / result["plain"]["p99_ms"],
    }


def _print(result: dict[str, Any]) -> None:
    def line(name: str, row: dict[str, Any]) -> list[str]:
        memory = " -> ".join(f"{value:,}" for value in row["memory_mb"])
        figures = [f"{row['requests_s']:.1f}", f"{row['p50_ms']:.0f}", f"{row['p99_ms']:.0f}", f"{row['failed']}"]
        return [name, *figures, f"{row['client_cpu']:.2f}", memory]

    rows = [line(f"{row['clients']} clients", row) for row in result["rows"]]
    rows.append(line(f"plain server, {COMPARED} clients", result["plain"]))
    print_table(["", "requests/s", "p50 ms", "p99 ms", "failed", "client cores", "server MB"], rows)
    for size, found in result["own"].items():
        print(
            f"the Predictor alone, in batches of {size}: {' and '.join(f'{value:.1f}' for value in found)} pictures/s"
        )
    print(
        f"at {COMPARED} clients: {result['of_own']:.2f} of the Predictor's best, "
        f"{result['of_own_without_clients']:.2f} with the clients' processor time taken out; "
        f"p99 {result['p99_of_plain']:.2f} of the plain server's"
    )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serving", description=__doc__)
    parser.add_argument("--artifact", type=Path, required=True, help="what is served")
    parser.add_argument("--pictures", type=Path, help="a folder of photographs")
    parser.add_argument("--limit", type=int, default=300, help="pictures that are sent, again and again (default: 300)")
    parser.add_argument("--seconds", type=float, default=60.0, help="of each row (default: 60)")
    parser.add_argument("--clients", type=int, nargs="+", default=list(CLIENTS), help="of each row")
    parser.add_argument("--serve", nargs=argparse.REMAINDER, default=[], help="last: options for dogbreed.serve")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--plain", type=int, metavar="PORT", help=argparse.SUPPRESS)
    return parser


if __name__ == "__main__":
    if "--plain" in sys.argv:
        chosen = _parser().parse_args()
        serve_plainly(str(chosen.artifact), chosen.plain)
    else:
        main()
