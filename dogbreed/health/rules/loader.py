"""The profiler's rule about the processes that load data."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

from dogbreed.health.findings import Finding, Outcome, Status
from dogbreed.health.rules.base import Rule, with_remedy
from dogbreed.health.rules.throughput import fewer_reads, larger_batch, more_workers
from dogbreed.health.samples import Facts, MachineSample, Sample

TOO_FEW, TOO_MANY = "too few loader processes", "too many loader processes"
FEATURES = "training waits for features"
_WAITING = ", and training waits for data"


@dataclass(kw_only=True)
class Dataloader(Rule):
    """Too few or too many processes load data.

    The median, over the seconds of training so far, of the loader processes alive is below `min_threshold` or above
    `max_threshold` percent of the cores. It is a verdict on the whole so far: the newest counts.

    Attributes:
        wait_threshold: percent of the steps' time that must have been spent waiting for data as well; 0: no matter.
            The first step is left out: it waits for the processes to start.
    """

    needs = "seconds of training"
    min_threshold: float
    max_threshold: float
    wait_threshold: float

    def __post_init__(self) -> None:
        super().__post_init__()
        self._seconds: Counter[int] = Counter()  # loader processes -> seconds that had as many
        self._second = -1
        self._most = 0  # in this second
        self._cores = 0
        self._steps = 0
        self._stepped = self._waited = 0.0

    def see(self, sample: Sample) -> None:
        """Take how long the steps waited."""
        if sample.mode == "TRAIN" and sample.durations:
            first = 0 if self._steps else 1
            self._steps += len(sample.durations)
            self._stepped += sum(sample.durations[first:])
            self._waited += sum(sample.waits[first:])
            self._look()

    def see_machine(self, machine: MachineSample) -> None:
        """Take the loader processes of each second."""
        if not machine.training or not machine.cores:
            return
        self._cores = len(machine.cores)
        if int(machine.seconds) == self._second:
            self._seconds[self._most] -= 1
            self._most = max(self._most, machine.loaders)
        else:
            self._second, self._most = int(machine.seconds), machine.loaders
        self._seconds[self._most] += 1
        self._look()

    @property
    def waited(self) -> float:
        """Percent of the steps' time that was spent waiting for data."""
        return 100 * self._waited / self._stepped if self._stepped > 0 else 0.0

    @property
    def _waits(self) -> bool:
        return self.wait_threshold > 0 and self.waited >= self.wait_threshold

    def _look(self) -> None:
        if not self._cores or (self.wait_threshold > 0 and not self._stepped):
            return
        loaders = median(self._seconds)
        share = 100 * loaders / self._cores
        few, many = share < self.min_threshold, share > self.max_threshold
        self.finding, self.violations = None, 0
        self.judge(
            (few or many) and (self._waits or self.wait_threshold == 0),
            clause=(TOO_FEW if few else TOO_MANY) + (_WAITING if self._waits else ""),
            value=share,
            threshold=self.min_threshold if few else self.max_threshold,
            mode="TRAIN",
            meaning=lambda: (
                f"{loaders:g} processes load data for {self._cores} cores ({share:.0f} %; expected: "
                f"{self.min_threshold:g} to {self.max_threshold:g} %), and training spent {self.waited:.0f} % of its "
                "time waiting for data"
            ),
        )

    def needed(self, facts: Facts) -> str | None:
        """A second of training, and steps if their waiting matters."""
        if self.datapoints:
            return None
        return f"no {self.needs} so far" if not self._cores else "no steps of training so far"

    def explained(self, finding: Finding, facts: Facts) -> Finding:
        """A process for each core; features, which are read by the training itself, in fewer and larger pieces."""
        if facts.features:
            return with_remedy(finding, *fewer_reads(facts), *larger_batch(facts), advice="keep them on a fast disk")
        if finding.clause.startswith(TOO_MANY):
            return with_remedy(finding, f"data.num_workers={self._cores}", advice="they are in each other's way")
        least = self.min_threshold / 100 * self._cores
        remedy = more_workers(replace(facts, cores=self._cores), median(self._seconds), least)
        return with_remedy(finding, *remedy, advice="features=cached, where nothing is drawn anew, loads nothing")

    def outcome(self, facts: Facts) -> Outcome:
        """What it says now; on features there is nothing to load, unless training waits all the same."""
        said = super().outcome(facts)
        if not facts.features:
            return said
        if not self._waits or said.finding is None:
            why = "on features there is nothing to load"
            return replace(said, status=Status.NOT_APPLICABLE, reason=why, finding=None, violations=0)
        meaning = f"training spent {self.waited:.0f} % of its time waiting for features"
        found = replace(said.finding, clause=FEATURES, value=self.waited, threshold=self.wait_threshold)
        return replace(said, reason=meaning, finding=replace(found, meaning=meaning))


def median(counts: Counter[int]) -> float:
    """The median of the values, each of which occurs as often as `counts` says.

    >>> median(Counter({0: 1, 2: 1, 4: 2}))
    3.0
    """
    total = sum(counts.values())
    middle = []
    passed = 0
    for value in sorted(counts):
        # The two middle places, which are one where the total is odd.
        middle += [value for place in ((total - 1) // 2, total // 2) if passed <= place < passed + counts[value]]
        passed += counts[value]
    return sum(middle) / 2
