"""A `python` that starts at once: its commands are forks of a process that has imported what takes seconds.

    with quick_python() as folder:  # put it first in PATH

`python -m dogbreed...`, `python -m launch...` and `python FILE.py` are run by forks, everything else by Python itself.
The server imports none of our own modules, so they are imported anew each time, as in a process of its own.
"""

from __future__ import annotations

import json
import os
import runpy
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

#: What commands spend their seconds on.
HEAVY = ("torch", "torchvision", "timm", "pytorch_lightning", "torchmetrics", "hydra", "matplotlib.pyplot", "sklearn")

_CLIENT = """#!{python} -SEs
import json, os, signal, socket, sys
words = sys.argv[1:]
module = words[1].split(".")[0] if words[:1] == ["-m"] and len(words) > 1 else ""
if module not in ("dogbreed", "launch") and not (words and words[0].endswith(".py")):
    os.execv("{python}", ["{python}", *words])
with socket.socket(socket.AF_UNIX) as server:
    server.connect("{address}")
    socket.send_fds(server, [b"!"], [0, 1, 2])
    server.sendall(json.dumps(dict(words=words, folder=os.getcwd(), environment=dict(os.environ))).encode())
    server.shutdown(socket.SHUT_WR)
    told = server.makefile()
    child = int(told.readline())
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, frame: os.kill(child, number))
    code = int(told.readline())
if code < 0:
    signal.signal(-code, signal.SIG_DFL)
    os.kill(os.getpid(), -code)
sys.exit(code)
"""


@contextmanager
def quick_python() -> Iterator[Path]:
    """A folder with a `python` in it, which answers as long as the block lasts."""
    folder = Path(tempfile.mkdtemp(prefix="python-"))  # a short path: a socket's has at most 107 letters
    address = folder / "socket"
    client = folder / "python"
    client.write_text(_CLIENT.format(python=sys.executable, address=address))
    client.chmod(0o755)
    server = subprocess.Popen([sys.executable, __file__, str(address)], stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        assert server.stdout.readline() == "ready\n"
        yield folder
    finally:
        server.kill()
        server.wait()
        shutil.rmtree(folder)


def _serve(address: str) -> dict[str, Any]:
    """What a client asks for, in the fork that is to do it; the server itself never returns."""
    for name in HEAVY:
        __import__(name)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(address)
        listening.listen()
        print("ready", flush=True)
        while True:
            asking, _ = listening.accept()
            while _reaped():
                pass
            _, streams, *_ = socket.recv_fds(asking, 1, 3)
            if os.fork():  # the other one waits for its child and tells how it ended
                asking.close()
                for stream in streams:
                    os.close(stream)
                continue
            asked = json.loads(asking.makefile().read())
            child = os.fork()
            if not child:
                asking.close()
                listening.close()
                return {**asked, "streams": streams}
            asking.sendall(f"{child}\n".encode())
            for stream in streams:
                os.close(stream)
            asking.sendall(f"{os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])}\n".encode())
            os._exit(0)


def _reaped() -> bool:
    try:
        return os.waitpid(-1, os.WNOHANG)[0] != 0
    except ChildProcessError:
        return False


def _become(words: list[str], folder: str, environment: dict[str, str], streams: list[int]) -> None:
    """Do what Python does when it is started with these words."""
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # the order that a terminal shows
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.orig_argv[:] = [sys.executable, *words]
    if words[0] == "-m":
        sys.argv[:] = ["-m", *words[2:]]
        sys.path[0] = folder
        runpy.run_module(words[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv[:] = words
        sys.path[0] = str(Path(words[0]).resolve().parent)
        runpy.run_path(words[0], run_name="__main__")


if __name__ == "__main__":
    _become(**_serve(sys.argv[1]))
