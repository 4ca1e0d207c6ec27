"""What Hydra's launcher does: every job of a multirun a training job, some at a time."""

from __future__ import annotations

import json
import shlex
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobReturn, JobStatus
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from dogbreed.errors import ConfigError, DogbreedError
from launch.backends import Backend
from launch.connect import connect, whereabouts
from launch.files.packaging import CodeArchive
from launch.overrides import OURS, of_the_job
from launch.sending.experiment import Experiment, experiment_name, refuse_folders, without_hydra
from launch.sending.planning import Found, Plan, find_place, pack, plan_training
from launch.sending.submission import RECORD, TRAINING, Launch, begin, bring_back, check_same, send, spent
from launch.settings import JobSettings, make_settings, renamed

#: The module that is run in a job where nothing else is said.
OWN = "dogbreed.train"
_SECTION = "hydra.launcher"


@dataclass(frozen=True)
class Job:
    """A job of a multirun.

    Attributes:
        number: in the multirun.
        config: composed, with Hydra's own part.
        launch: of the job.
        plan: what is sent.
    """

    number: int
    config: DictConfig
    launch: Launch
    plan: Plan


def run_jobs(
    config: DictConfig,
    loader: ConfigLoader,
    job_overrides: Sequence[Sequence[str]],
    first: int,
    module: str | None,
    values: Mapping[str, Any],
) -> list[JobReturn]:
    """Run jobs by `hydra.launcher`'s settings, and wait for them; what became of each, in their order.

    Every request is made and checked before the first is sent. Each job's results come to lie in its own folder of the
    multirun; those that an interrupted multirun has there already are not run again.

    Args:
        config: of the multirun.
        loader: composes the jobs' configs.
        job_overrides: of each job.
        first: number of the first.
        module: what is run in a job; None: what is run here.
        values: the launcher's settings.

    Raises:
        ConfigError: settings that cannot be.
        LaunchError: AWS refuses.
    """
    configs = [loader.load_sweep_config(config, list(overrides)) for overrides in job_overrides]
    for each in configs:
        refuse_folders(each.hydra.runtime)
    settings = make_settings(JobSettings, values, _SECTION)
    module = module or _main_module()
    found = find_place(settings)
    experiments = [_experiment(each, module, settings) for each in configs]
    extras = sorted({extra for experiment in experiments for extra in experiment.extras})
    code = pack(settings, extras)
    jobs = [
        _prepare(each, number, experiment, found, code)
        for number, (each, experiment) in enumerate(zip(configs, experiments, strict=True), first)
    ]
    _check_budget(jobs, settings, Path(config.hydra.sweep.dir))
    print(f"{len(jobs)} jobs, {settings.max_parallel} at a time, by {settings.backend} in {config.hydra.sweep.dir}")
    backend = connect(settings.backend, settings.region, settings.process_dir)
    done = _all(jobs, partial(_run, backend=backend, settings=settings, code=code), settings)
    if any(job.status == JobStatus.FAILED for job in done):
        where = f"hydra.sweep.dir={config.hydra.sweep.dir}"
        print(f"the same command with {where} runs those that failed again, and no other", flush=True)
    return done


def _all(jobs: Sequence[Job], run: Callable[[Job], JobReturn], settings: JobSettings) -> list[JobReturn]:
    """What became of each job; at most `max_parallel` at once. Ctrl-C ends the waiting, and no job.

    Raises:
        Exception: what `run` did not expect.
    """
    waiting, done = deque(jobs), dict[int, JobReturn | Exception]()

    def work() -> None:
        while waiting:
            with suppress(IndexError):  # another worker was quicker
                job = waiting.popleft()
                try:
                    done[job.number] = run(job)
                except Exception as error:  # raised again where it can be seen
                    done[job.number] = error

    # A pool's threads would be waited for at the end of the process, as long as their jobs run.
    workers = [threading.Thread(target=work, daemon=True) for _ in range(min(settings.max_parallel, len(jobs)))]
    try:
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    except KeyboardInterrupt:
        waiting.clear()
        where = whereabouts(settings.backend, settings.region, settings.process_dir)
        print("interrupted; jobs that were started go on. The same command with this hydra.sweep.dir waits for them.")
        print(f"look after them with:\n  {shlex.join(['python', '-m', 'launch.jobs', 'list', *where])}", flush=True)
        raise SystemExit(128 + signal.SIGINT) from None
    for outcome in done.values():
        if isinstance(outcome, Exception):
            raise outcome
    return [outcome for _, outcome in sorted(done.items()) if isinstance(outcome, JobReturn)]


def _prepare(config: DictConfig, number: int, experiment: Experiment, found: Found, code: CodeArchive) -> Job:
    with as_if_running(config, number) as directory:
        launch = begin(directory, TRAINING, f"{experiment.name}-{number}")
        plan = plan_training(experiment, launch, found, code)
        plan.refuse()
        check_same(launch, plan.request)
        return Job(number, config, launch, plan)


def _experiment(config: DictConfig, module: str, settings: JobSettings) -> Experiment:
    task, overrides = without_hydra(config), list(config.hydra.overrides.task)
    name = experiment_name(config.hydra.runtime.choices)
    if module == OWN:
        return Experiment(task, of_the_job(overrides, *OURS), [], settings, None, name, section=_SECTION)
    command = _command(config, module)
    return Experiment(task, of_the_job(overrides), [], settings, None, name, command=command, section=_SECTION)


@contextmanager
def as_if_running(config: DictConfig, number: int, directory: Path | None = None) -> Iterator[Path]:
    """The job's folder, with Hydra's own part of its config in force, so that what refers to it is resolved.

    Args:
        config: of the job.
        number: in its multirun.
        directory: None for the folder that Hydra gives to this job.
    """
    hydra_config, previous = HydraConfig.instance(), HydraConfig.instance().cfg
    with open_dict(config):
        config.hydra.job.id = str(number)
        config.hydra.job.num = number
    try:
        hydra_config.set_config(config)
        folder = directory or Path(config.hydra.sweep.dir, str(config.hydra.sweep.subdir))
        with read_write(config.hydra.runtime), open_dict(config.hydra.runtime):
            config.hydra.runtime.output_dir = str(folder.absolute())
        hydra_config.set_config(config)
        yield folder
    finally:
        hydra_config.cfg = previous


def _run(job: Job, backend: Backend, settings: JobSettings, code: CodeArchive) -> JobReturn:
    """Send a job and wait for it; its own failure becomes its result, as for every launcher."""
    chosen = job.config.hydra
    task = without_hydra(job.config)
    done = JobReturn(
        overrides=list(chosen.overrides.task),
        cfg=task,
        hydra_cfg=OmegaConf.create({"hydra": chosen}),
        working_dir=str(job.launch.directory),
        task_name=chosen.job.name,
    )

    def say(text: str) -> None:
        print("\n".join(f"#{job.number} {line}" for line in text.splitlines()), flush=True)

    try:
        launch = send(backend, job.launch, job.plan.request, code, say, job.plan.costs.for_budget)
        bring_back(backend, launch, settings, job.plan.price_per_hour, say)
        done.return_value = _objective(job.launch.directory, task)
        done.status = JobStatus.COMPLETED
    except DogbreedError as error:
        error = type(error)(*(renamed(text, _SECTION) for text in error.args))
        say(f"failed: {error.got}")
        done.return_value = error
        done.status = JobStatus.FAILED
    return done


def _check_budget(jobs: Sequence[Job], settings: JobSettings, directory: Path) -> None:
    """Raises a ConfigError where they and what was sent before in the same multirun may cost more than the budget."""
    if settings.budget_usd is None:
        return
    ours = {job.launch.directory for job in jobs}
    before = [usd for file in directory.glob(f"*/{RECORD}") if file.parent not in ours for usd in spent(file)]
    needed = sum(before) + sum(job.plan.costs.for_budget or 0.0 for job in jobs)  # each has a price, or was refused
    if needed > settings.budget_usd:
        raise ConfigError(
            f"{needed:,.2f} USD are expected for {len(before) + len(jobs)} jobs",
            f"{_SECTION}.budget_usd={settings.budget_usd:,.2f}",
            "run fewer, or raise it",
        )


def _objective(directory: Path, task: DictConfig) -> Any:
    """What the run returned: the best value of its monitor; None for a task that is not ours."""
    file = directory / "metrics.json"
    return json.loads(file.read_text(encoding="utf-8"))[task.monitor] if file.exists() else None


def _main_module() -> str:
    spec = sys.modules["__main__"].__spec__
    if spec is None:
        raise ConfigError(
            "a multirun of a script",
            "a module, python -m NAME",
            f"set {_SECTION}.module to a module that a job can run",
        )
    return str(spec.name)


def _command(config: DictConfig, module: str) -> list[str]:
    """What Python runs, with the config that Hydra was started with here."""
    (source,) = [source for source in config.hydra.runtime.config_sources if source.provider == "main"]
    if source.schema != "pkg":
        raise ConfigError(f"configs in {source.path}", "in a package, pkg://NAME, which a job can import", "move them")
    return ["-m", module, "--config-path", f"pkg://{source.path}", "--config-name", config.hydra.job.config_name]
