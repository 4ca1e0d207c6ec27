"""A shell over dogbreed.sweeps. Hydra imports this file at every start, so nothing but Hydra is imported above."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf, open_dict


class DogbreedSweeper(Sweeper):
    """Searches a space for the best trial by the config's `monitor`.

    Args:
        params: key -> sweep in Hydra's grammar; conf/search_space/ sets them.
        settings: the fields of `dogbreed.sweeps.settings.Settings`.
    """

    def __init__(self, params: Mapping[str, Any] | None = None, **settings: Any) -> None:
        self._fields: dict[str, Any] = OmegaConf.to_container(
            OmegaConf.create({"params": params or {}, **settings}), resolve=True
        )  # type: ignore[assignment]

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Keep what a sweep needs; Hydra calls it first."""
        self.hydra_context, self.config = hydra_context, config
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> None:
        """Sweep over `arguments`, the command line's overrides, and the search space."""
        from dogbreed.sweeps.settings import Settings
        from dogbreed.sweeps.sweep import run_sweep

        assert self.config is not None
        settings, chosen = dict(self._fields), self.config.hydra
        params = settings.pop("params")
        run_sweep(
            Settings.of(settings),
            params,
            arguments,
            directory=Path(chosen.sweep.dir),
            compose=self._compose,
            launch=self._launch,
            module=f"dogbreed.{chosen.job.name}",
            options=list(chosen.overrides.hydra),
        )

    def _compose(self, overrides: list[str]) -> DictConfig:
        assert self.hydra_context is not None
        assert self.config is not None
        config = self.hydra_context.config_loader.load_sweep_config(self.config, overrides)
        with open_dict(config):
            del config["hydra"]
        return config

    def _launch(self, jobs: Sequence[Sequence[str]], first: int) -> Iterator[Sequence[JobReturn]]:
        from hydra._internal.core_plugins.basic_launcher import BasicLauncher

        assert self.launcher is not None
        # The basic launcher runs one job after the other: asked for one at a time, it loses none that ended.
        together = 1 if isinstance(self.launcher, BasicLauncher) else len(jobs)
        for start in range(0, len(jobs), together):
            yield self.launcher.launch(jobs[start : start + together], initial_job_idx=first + start)
