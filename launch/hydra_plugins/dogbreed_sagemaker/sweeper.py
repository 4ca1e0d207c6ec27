"""A shell over launch.sending.sweeping. Hydra imports this file at every start: nothing but Hydra is imported above."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf


class SageMakerSweeper(Sweeper):
    """The search space as one tuning job on SageMaker, or a rehearsal of one on this machine.

    Args:
        params: key -> sweep in Hydra's grammar; conf/search_space/ sets them.
        tuner: the fields of `launch.settings.TunerSettings`.
        settings: the fields of `launch.settings.JobSettings`.
    """

    def __init__(
        self, params: Mapping[str, Any] | None = None, tuner: Mapping[str, Any] | None = None, **settings: Any
    ) -> None:
        content = OmegaConf.create({"params": params or {}, "tuner": tuner or {}, "settings": settings})
        self._fields: dict[str, Any] = OmegaConf.to_container(content, resolve=True)  # type: ignore[assignment]

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Keep what a sweep needs; Hydra calls it first."""
        self._context, self.config = hydra_context, config

    def sweep(self, arguments: list[str]) -> None:
        """Search for the best trial over `arguments`, the command line's overrides, and the search space."""
        from launch.sending.sweeping import run_sweeper

        assert self.config is not None
        run_sweeper(self.config, self._context.config_loader, arguments, **self._fields)
