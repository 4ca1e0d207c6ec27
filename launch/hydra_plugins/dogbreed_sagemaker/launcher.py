"""A shell over launch.sending.multirun. Hydra imports this file at every start: nothing but Hydra is imported above."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf


class SageMakerLauncher(Launcher):
    """Each job of a multirun is a training job on SageMaker, or a rehearsal of one on this machine.

    Args:
        module: what is run in a job, such as "dogbreed.train"; None: what is run here.
        settings: the fields of `launch.settings.JobSettings`.
    """

    def __init__(self, module: str | None = None, **settings: Any) -> None:
        self._module = module
        self._settings: dict[str, Any] = OmegaConf.to_container(OmegaConf.create(settings), resolve=True)  # type: ignore[assignment]

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Keep what a launch needs; Hydra calls it first."""
        self._context, self._config = hydra_context, config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run all jobs, some at a time, and wait for them; what became of each, in their order."""
        from launch.sending.multirun import run_jobs

        loader = self._context.config_loader
        return run_jobs(self._config, loader, job_overrides, initial_job_idx, self._module, self._settings)
