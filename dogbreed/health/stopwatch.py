"""Where the time of Lightning's loops goes, read at the points where Lightning itself measures."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from pytorch_lightning.profilers import PassThroughProfiler, Profiler

from dogbreed.phases import Clock

LOOPS = ("sanity check", "training", "validation", "test")
REST, WAIT, TRANSFER, FORWARD, BACKWARD, OPTIMISER, CALLBACKS, SAVING = range(8)
STAGES = ("", "waiting for data", "transfer", "forward", "backward", "optimiser", "callbacks", "checkpoints")

#: What Lightning 2.6 calls the parts of a batch: [who]what, without the name of the class between.
_ACTIONS = {
    "[_EvaluationLoop]val_next": WAIT,
    "[_EvaluationLoop]test_next": WAIT,
    "[Strategy]batch_to_device": TRANSFER,
    "[Strategy]training_step": FORWARD,
    "[Strategy]validation_step": FORWARD,
    "[Strategy]test_step": FORWARD,
    "[Strategy]backward": BACKWARD,
    "[LightningModule]optimizer_step": OPTIMISER,
    "[LightningModule]lr_scheduler_step": OPTIMISER,
    "save_checkpoint": SAVING,
}
_STEPS_KEPT = 100_000  # where nobody takes them

_perf_counter = time.perf_counter
_Action = AbstractContextManager[Any, Any]


class Stopwatch(Profiler):
    """Counts each moment of Lightning's loops to one stage of one loop, beside the profiler that was there.

    A stage that begins inside another one (the backward pass inside the optimiser's step, a callback inside the
    backward pass) stops the outer one until it ends, so that the stages add up to the loop. A step costs less with it
    than with Lightning's own PassThroughProfiler, whose every measuring point is a generator.

    Args:
        inner: the trainer's own profiler, which goes on measuring.
        ignored: of the callbacks, the one whose hooks open and close the loops.
    """

    def __init__(self, inner: Profiler, ignored: str) -> None:
        super().__init__()
        self.inner = inner
        self.steps: deque[tuple[float, float]] = deque(maxlen=_STEPS_KEPT)  # seconds, and seconds of waiting
        self._ignored = f"[Callback]{ignored}."
        self._actions = _Actions(self._action)
        slots = (1 + len(LOOPS)) * len(STAGES)
        self._seconds, self._counts = [0.0] * slots, [0] * slots
        self._stack: list[tuple[int, int]] = []  # slot and loop of what goes on when the present one ends
        self._slot = self._loop = 0
        self._since = self._begun = _perf_counter()
        self._waited = 0.0

    def profile(self, action_name: str) -> _Action:  # type: ignore[override]  # any context manager does
        """The context of one of Lightning's measuring points."""
        return self._actions[action_name]

    def start(self, action_name: str) -> None:
        """Begin what `stop` ends."""
        self._actions[action_name].__enter__()

    def stop(self, action_name: str) -> None:
        """End it."""
        self._actions[action_name].__exit__(None, None, None)

    def open(self, loop: str) -> None:
        """Count to this one of LOOPS from now on."""
        self.enter(REST, loop=(1 + LOOPS.index(loop)) * len(STAGES))

    def enter(self, stage: int, loop: int | None = None) -> None:
        """Count to this stage from now on."""
        now = _perf_counter()
        self._seconds[self._slot] += now - self._since
        self._since = now
        self._stack.append((self._slot, self._loop))
        if loop is not None:
            self._loop = loop
        self._slot = self._loop + stage
        self._counts[self._slot] += 1

    def leave(self) -> None:
        """Count to what went on before again."""
        now = _perf_counter()
        self._seconds[self._slot] += now - self._since
        self._since = now
        self._slot, self._loop = self._stack.pop()

    def begin_step(self) -> None:
        """A step begins, with waiting for its data."""
        self.enter(WAIT)
        self._begun = self._since

    def end_waiting(self) -> None:
        """Its data is there."""
        self.leave()
        self._waited = self._since - self._begun

    def end_step(self) -> None:
        """It is done."""
        self.steps.append((_perf_counter() - self._begun, self._waited))

    def hand_over(self, clock: Clock) -> None:
        """Count the time so far to the phases inside the one that is open."""
        now = _perf_counter()
        self._seconds[self._slot] += now - self._since
        self._since = now
        open_phase = clock.current
        for number, loop in enumerate(("", *LOOPS)):
            first = number * len(STAGES)
            slots = range(first, first + len(STAGES))
            saving = first + SAVING
            if self._counts[saving]:
                clock.add(open_phase.part(STAGES[SAVING]), self._seconds[saving], self._counts[saving])
            if loop and any(self._seconds[slot] for slot in slots):
                phase = open_phase.part(loop)
                for stage, slot in zip(STAGES, slots, strict=True):
                    if slot != saving and stage and self._counts[slot]:
                        clock.add(phase.part(stage), self._seconds[slot], self._counts[slot])
                seconds = sum(self._seconds[slot] for slot in slots if slot != saving)
                clock.add(phase, seconds, self._counts[first])
        self._seconds, self._counts = [0.0] * len(self._seconds), [0] * len(self._counts)

    def _action(self, name: str) -> _Action:
        mine = self._own_action(name)
        return mine if isinstance(self.inner, PassThroughProfiler) else _Both(mine, self.inner, name)

    def _own_action(self, name: str) -> _Action:
        if name.startswith("[Callback]"):
            return nullcontext() if name.startswith(self._ignored) else _Stage(self, CALLBACKS)
        who, bracket, what = name.rpartition("]")
        what = what.rpartition(".")[2]
        if what == "train_dataloader_next":
            return _Calls(self.begin_step, self.end_waiting)
        if what == "run_training_batch":
            return _Calls(_nothing, self.end_step)
        stage = _ACTIONS.get(who + bracket + what)
        return nullcontext() if stage is None else _Stage(self, stage)


class _Actions(dict[str, _Action]):
    """Lightning's names of its measuring points -> what is done there, made on first use."""

    def __init__(self, make: Callable[[str], _Action]) -> None:
        super().__init__()
        self._make = make

    def __missing__(self, name: str) -> _Action:
        self[name] = self._make(name)
        return self[name]


class _Stage(AbstractContextManager[Any, Any]):
    __slots__ = ("_stage", "_watch")

    def __init__(self, watch: Stopwatch, stage: int) -> None:
        self._watch, self._stage = watch, stage

    def __enter__(self) -> None:
        self._watch.enter(self._stage)

    def __exit__(self, *_: object) -> None:
        self._watch.leave()


class _Calls(AbstractContextManager[Any, Any]):
    def __init__(self, begin: Callable[[], None], end: Callable[[], None]) -> None:
        self._begin, self._end = begin, end

    def __enter__(self) -> None:
        self._begin()

    def __exit__(self, *_: object) -> None:
        self._end()


class _Both(AbstractContextManager[Any, Any]):
    """Our own measuring point around another profiler's."""

    def __init__(self, mine: _Action, inner: Profiler, name: str) -> None:
        self._mine, self._inner, self._name = mine, inner, name

    def __enter__(self) -> None:
        self._mine.__enter__()
        self._inner.start(self._name)

    def __exit__(self, *_: object) -> None:
        self._inner.stop(self._name)
        self._mine.__exit__(None, None, None)


def _nothing() -> None:
    pass
