"""Every class that an unpickler looks up, in this process and all those that it starts, as a line in $DOGBREED_WATCHED.

Python loads a module of this name by itself, where it is on PYTHONPATH. `pickle.find_class` is raised by the C and the
Python Unpickler alike before a class is imported, and no pickle does anything without one (docs.python.org, pickle).
"""

import json
import os
import sys
import traceback

_FILE = os.environ.get("DOGBREED_WATCHED", "")


def _watch(event, arguments):
    if event != "pickle.find_class":
        return
    frames = traceback.walk_stack(sys._getframe(1))
    stack = [f"{frame.f_globals.get('__name__', '')}:{frame.f_code.co_name}" for frame, _ in frames]
    line = json.dumps({"class": ".".join(map(str, arguments)), "stack": stack, "command": sys.orig_argv[:6]})
    descriptor = os.open(_FILE, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(descriptor, line.encode() + b"\n")  # at once: several processes append
    finally:
        os.close(descriptor)


if _FILE:
    sys.addaudithook(_watch)
