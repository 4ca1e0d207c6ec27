"""A run that cannot go on from a checkpoint says so."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytorch_lightning as pl

from dogbreed.commands import explain
from dogbreed.errors import CheckpointError

#: What Lightning and torch raise for a state of other kinds, names or shapes than they have saved.
_MISFITS = (ArithmeticError, AttributeError, AssertionError, LookupError, RuntimeError, TypeError, ValueError)


class Restored(pl.Callback):
    """Tells a state that a run cannot go on from, until an epoch has gone well; afterwards an error is the run's own.

    The file was read and every byte of it checked; but it may be whole and hold what another program wrote.

    Args:
        checkpoint: that the run continues from; None for a fresh start, of which nothing is told.
    """

    def __init__(self, checkpoint: str | None) -> None:
        self._checkpoint = checkpoint
        self._epochs = 0

    def on_train_epoch_start(self, *_: Any, **__: Any) -> None:
        """Count."""
        self._epochs += 1

    @contextmanager
    def telling(self) -> Iterator[None]:
        """Around the fit.

        Raises:
            CheckpointError: it ended by what the checkpoint holds.
        """
        try:
            yield
        except _MISFITS as error:
            if self._checkpoint is None or self._epochs > 1 or explain(error) is not None:
                raise
            reason = f"{type(error).__name__}: {error}".strip().splitlines()[0]
            raise CheckpointError(
                got=f"{self._checkpoint} holds a state that this run cannot go on from ({reason:.300})",
                allowed="a checkpoint that the same command wrote, by these versions of the packages",
                hint="copy previous.ckpt, beside it, over it; or train again in another place: hydra.run.dir=FOLDER",
            ) from error
