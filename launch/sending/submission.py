"""From a request to its results: sent once, watched, brought back; whatever interrupts it, the same command goes on.

What a launch has done so far is in launch.json of its directory, written before each step that cannot be undone. The
name of its job is chosen once, and AWS takes a name once: no launch starts two jobs.
"""

from __future__ import annotations

import fcntl
import json
import secrets
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timezone
from pathlib import Path

from dogbreed.errors import OutputError
from dogbreed.files import from_here, write_json, writing
from dogbreed.runs import command
from launch.backends import Backend
from launch.connect import whereabouts
from launch.errors import JobFailed, LaunchError
from launch.files.fetching import fetch_run
from launch.files.packaging import CodeArchive
from launch.names import ARCHIVE, CODE, REVISION, job_name
from launch.requests import Request
from launch.settings import JobSettings
from launch.views.watching import Detached, watch_training_job

RECORD, FAILED = "launch.json", "failed-"
#: What a run or a sweep leaves that no launch brought.
_A_RUN = ("config.yaml", "run.json", "checkpoints", "trials.jsonl")
TRAINING, TUNING = "training", "tuning"
_PLANNED, _CREATED, _FETCHED = "planned", "created", "fetched"


@dataclass(frozen=True)
class Launch:
    """A launch and how far it has come.

    Attributes:
        directory: where its results come to lie.
        kind: "training" or "tuning".
        name: of the job.
        token: of the launch, which the job carries as a tag.
        state: "planned", "created" (AWS knows it) or "fetched" (the results are here).
        request: what was sent; empty until then.
        usd: what it is expected to cost; None where that is not known.
    """

    directory: Path
    kind: str
    name: str
    token: str
    state: str
    request: Request
    usd: float | None = None

    @property
    def is_created(self) -> bool:
        """Whether the job has been started."""
        return self.state != _PLANNED

    @property
    def is_fetched(self) -> bool:
        """Whether its results are here."""
        return self.state == _FETCHED

    def at(self, state: str, request: Request | None = None) -> Launch:
        """The same launch one step on, written down."""
        moved = replace(self, state=state, request=self.request if request is None else request)
        content = {key: value for key, value in asdict(moved).items() if key != "directory"}
        write_json(self.directory / RECORD, content)
        return moved


def begin(directory: Path, kind: str, experiment: str) -> Launch:
    """The launch of `directory`: the one that was begun there, else a new one, not yet written down.

    Raises:
        OutputError: another kind of launch was begun there, or a run lies there that none brought; a damaged record.
    """
    found = _read(directory)
    if found is None:
        if any((directory / name).exists() for name in _A_RUN) and not list(directory.glob(f"{FAILED}*.json")):
            raise OutputError(
                f"{from_here(directory)} holds a run already",
                "a folder of its own for each launch",
                "choose another hydra.run.dir",
            )
        token = secrets.token_hex(8)
        name = job_name(experiment, datetime.now(timezone.utc), token[:4], tuning=kind == TUNING)
        return Launch(directory, kind, name, token, _PLANNED, {})
    if found.kind != kind:
        raise OutputError(
            f"{from_here(directory)} holds the launch of a {found.kind} job",
            f"a {kind} job's",
            "choose another hydra.run.dir",
        )
    return found


def check_same(launch: Launch, request: Request) -> None:
    """Raises an OutputError where the launch was begun with another request."""
    if launch.request and _asked(launch.request) != _asked(request):
        raise OutputError(
            f"{from_here(launch.directory)} holds the launch of {launch.name}, which was asked for something else",
            "the same settings and overrides, to go on with it",
            "choose another hydra.run.dir (of a multirun: hydra.sweep.dir)",
        )


def send(
    backend: Backend,
    launch: Launch,
    request: Request,
    code: CodeArchive,
    say: Callable[[str], None],
    usd: float | None = None,
) -> Launch:
    """Start the job, unless the launch has done so before; `usd` is what it is expected to cost.

    Raises:
        OutputError: it was begun with another request, or another process has begun one in its directory.
        LaunchError: the backend refuses; the same command goes on.
    """
    with _alone(launch.directory):
        recorded = _read(launch.directory)
        if recorded is not None and recorded.token != launch.token:
            raise OutputError(
                f"{from_here(launch.directory)} has just become the folder of {recorded.name}",
                "a folder of its own for each launch",
                "choose another hydra.run.dir",
            )
        launch = recorded or launch
        check_same(launch, request)
        if launch.is_created:
            say(f"going on with {launch.name}")
            return launch
        launch = replace(launch, usd=usd).at(_PLANNED, request)
        target = f"{_code_channel(request)}{ARCHIVE}"
        if not any(file.uri == target and file.size == len(code.content) for file in backend.store.files(target)):
            backend.store.put_bytes(target, code.content)
        create = backend.create_training_job if launch.kind == TRAINING else backend.create_tuning_job
        create(request)
        say(f"started {launch.name}" + (f": {backend.note}" if backend.note else ""))
        return launch.at(_CREATED)


def spent(record: Path) -> list[float]:
    """What the launch of this record is expected to cost, in USD; nothing where that is not known."""
    found = _read(record.parent)
    return [] if found is None or found.usd is None or not found.is_created else [found.usd]


def set_aside(launch: Launch) -> None:
    """Forget a job that came to nothing, so that the same command starts another in the same folder."""
    record = launch.directory / RECORD
    record.replace(launch.directory / f"{FAILED}{launch.name}.json")


def again(module: str, overrides: Sequence[str], directory: Path, key: str = "hydra.run.dir") -> str:
    """The command that goes on with the launch of `directory`, and waits for its end."""
    kept = [line for line in overrides if not line.startswith((f"{key}=", "detach=", "hydra.mode="))]
    return command(module, kept, f"{key}={from_here(directory)}")


@contextmanager
def resumable(line: str, directory: Path) -> Iterator[None]:
    """Say how to go on, where the block is interrupted or refused: by `line`, which starts no second job."""
    try:
        yield
    except (KeyboardInterrupt, Detached) as error:
        print(f"go on with:\n  {line}", flush=True)
        if isinstance(error, Detached):
            raise
        raise SystemExit(128 + signal.SIGINT) from None
    except LaunchError:
        if (directory / RECORD).exists():
            print(f"go on with:\n  {line}", flush=True)
        raise


def bring_back(
    backend: Backend, launch: Launch, settings: JobSettings, price: float | None, say: Callable[[str], None]
) -> Launch:
    """Watch a training job to its end and fetch its results; also those of one that failed, as far as there are any.

    Raises:
        JobFailed: it has ended without a result.
        Detached: the user would rather not wait.
        LaunchError: the backend cannot be reached.
    """
    if launch.is_fetched:
        say(f"{launch.name} is done, its results are in {from_here(launch.directory)}")
        return launch
    try:
        where = whereabouts(settings.backend, settings.region, settings.process_dir)
        watch_training_job(backend, launch.name, poll_s=settings.poll_s, price_per_hour=price, say=say, where=where)
    except JobFailed:
        with suppress(LaunchError):  # it may have failed before it left anything
            fetch_run(backend, launch.name, launch.directory)
        set_aside(launch)
        raise
    fetch_run(backend, launch.name, launch.directory)
    return launch.at(_FETCHED)


def code_uri(bucket: str, settings: JobSettings, code: CodeArchive) -> str:
    """Where an archive belongs: by its content, so that the same code is sent once."""
    return "/".join(["s3:/", bucket, *filter(None, [settings.prefix.strip("/")]), "code", code.sha256[:16], ""])


def _code_channel(request: Request) -> str:
    """s3://BUCKET/PREFIX/ where the job looks for its code."""
    channels = request.get("TrainingJobDefinition", request)["InputDataConfig"]
    (uri,) = (each["DataSource"]["S3DataSource"]["S3Uri"] for each in channels if each["ChannelName"] == CODE)
    return str(uri)


def _asked(request: Request) -> object:
    """What was asked for: all but the code, which may have changed since."""
    asked = json.loads(json.dumps(request))
    definition = asked.get("TrainingJobDefinition", asked)
    definition["InputDataConfig"] = [each for each in definition["InputDataConfig"] if each["ChannelName"] != CODE]
    definition["Environment"].pop(REVISION, None)
    definition.get("StaticHyperParameters", {}).pop("sagemaker_submit_directory", None)
    return asked


def _read(directory: Path) -> Launch | None:
    file = directory / RECORD
    if not file.exists():
        return None
    try:
        return Launch(directory, **json.loads(file.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise OutputError(f"{file} is damaged", "a launch's record", "choose another hydra.run.dir") from error


@contextmanager
def _alone(directory: Path) -> Iterator[None]:
    """Let no other process send from the same folder meanwhile."""
    with writing(directory):
        directory.mkdir(parents=True, exist_ok=True)
        lock = open(directory / ".launch.lock", "w")  # noqa: SIM115  # the lock is held as long as it is open
    with lock:
        fcntl.lockf(lock, fcntl.LOCK_EX)
        yield
