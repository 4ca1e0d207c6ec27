"""Wave after wave: proposals are asked, trained, written down and told back."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from dogbreed.errors import ConfigError
from dogbreed.sweeps.dimensions import Value
from dogbreed.sweeps.engines import Engine
from dogbreed.sweeps.journal import Journal, Record
from dogbreed.sweeps.progress import Progress
from dogbreed.sweeps.proposals import Proposals, Setting
from dogbreed.sweeps.settings import SEED
from dogbreed.sweeps.trials import Trial


class Waves:
    """Tries settings, each with every seed.

    What was done before an interruption is proposed again, and only told: the sampler ends up in the same state.

    Args:
        proposals: of settings.
        seeds: with each of which a setting is tried; [None] where the seed does not vary.
        size: settings in a wave.
    """

    def __init__(self, proposals: Proposals, seeds: Sequence[Value], size: int) -> None:
        self._proposals, self._seeds, self._size = proposals, seeds, size

    def run(self, settings: int, engine: Engine, journal: Journal, progress: Progress, monitor: str) -> None:
        """Try `settings` settings, those that the journal holds already left out.

        Raises:
            ConfigError: the sampler no longer proposes what the journal holds.
        """

        def keep(record: Record) -> None:
            journal.add(record)
            progress.add(record)

        journal.write_tables(monitor)
        for first in range(0, settings, self._size):
            proposed = self._proposals.ask(min(self._size, settings - first))
            trials = self._trials(first, proposed)
            _check_replay(trials, journal)
            missing = {trial.number for trial in trials if not journal.is_done(trial.number)}
            if missing:
                engine.run(trials, missing, keep, progress)
                journal.write_tables(monitor)
            if all(record.state == "failed" for record in journal.last.values()):
                return  # and so would the others
            values = [journal.first[trial.number].value for trial in trials]
            each = len(self._seeds)
            self._proposals.tell([_mean(values[place : place + each]) for place in range(0, len(values), each)])

    def _trials(self, first: int, proposed: Sequence[Setting]) -> list[Trial]:
        return [
            Trial((first + place) * len(self._seeds) + number, setting if seed is None else {**setting, SEED: seed})
            for place, setting in enumerate(proposed)
            for number, seed in enumerate(self._seeds)
        ]


def _check_replay(trials: Sequence[Trial], journal: Journal) -> None:
    for trial in trials:
        records = [record[trial.number] for record in (journal.first, journal.last) if trial.number in record]
        # Also of the last: the winner is trained by what it says.
        if other := next((record.params for record in records if record.params != trial.params), None):
            raise ConfigError(
                f"trial {trial.number} was {other} before the interruption, and would be {trial.params} now",
                "the same version of the sampler as before",
                "go on with the versions that began this sweep, or choose another hydra.sweep.dir",
            )


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if len(known) == len(values) else None
