"""Training jobs and tuning jobs, which really run: as processes of launch.process, their files in moto's S3."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from launch.errors import LaunchError
from launch.files.stores import FolderStore
from launch.process.backend import ProcessBackend
from launch.process.describing import ARN
from launch.process.status import ENDED
from launch.standin.moto import Content, Moto, Operation, Refusal, refusal

#: Seconds that a job has between SIGTERM and SIGKILL: nobody waits two minutes for a rehearsal.
_GRACE_S = 10.0
_LOOK_S = 0.05
#: How many are listed where the request does not say; of Search no default is documented. Source: API reference.
_SOME, _STREAMS, _FOUND = 10, 50, 100
_ALL = 1000
_LOGS = "/aws/sagemaker/TrainingJobs"
_TRAINING, _TUNING = "TrainingJobName", "HyperParameterTuningJobName"
_STATUS = {_TRAINING: "TrainingJobStatus", _TUNING: "HyperParameterTuningJobStatus"}


class Jobs:
    """The jobs of an account.

    What a job reads is brought from S3 when it is created, what it leaves is in S3 when it is said to have ended.

    Args:
        moto: that has S3, and keeps what is not of jobs.
        folder: for the jobs and their files.
    """

    def __init__(self, moto: Moto, folder: Path) -> None:
        self._store = moto.store
        self._backend = ProcessBackend(folder, _GRACE_S)
        self._files = FolderStore(folder / "store")
        self._lock, self._gate = threading.Lock(), threading.Lock()
        self._closed = False
        self._same: dict[str, tuple[int, int]] = {}
        self._arn = f"arn:aws:sagemaker:{moto.region}:{moto.account}"
        operations: dict[str, Operation] = {
            "CreateTrainingJob": self._create_training,
            "DescribeTrainingJob": lambda asked, moto: self._described(_TRAINING, asked[_TRAINING]),
            "StopTrainingJob": lambda asked, moto: self._stop(self._backend.stop_training_job, asked[_TRAINING]),
            "Search": self._search,
            "CreateHyperParameterTuningJob": self._create_tuning,
            "DescribeHyperParameterTuningJob": lambda asked, moto: self._described(_TUNING, asked[_TUNING]),
            "StopHyperParameterTuningJob": lambda asked, moto: self._stop(
                self._backend.stop_tuning_job, asked[_TUNING]
            ),
            "ListHyperParameterTuningJobs": self._list_tuning,
            "ListTrainingJobsForHyperParameterTuningJob": self._list_trials,
            "ListTags": self._list_tags,
            "DescribeLogStreams": self._list_streams,
            "GetLogEvents": self._read_log,
        }
        self.operations = {name: partial(self._answer, answer) for name, answer in operations.items()}

    def close(self) -> None:
        """Stop what still runs, and wait until it has ended; nothing starts from here on."""
        with self._gate:
            self._closed = True
        for job in self._backend.list_tuning_jobs(_ALL):
            self._backend.stop_tuning_job(job[_TUNING])
        for job in self._backend.list_training_jobs({}, _ALL):
            self._backend.stop_training_job(job[_TRAINING])
        while any(self._runs()):
            time.sleep(_LOOK_S)

    def _runs(self) -> Iterator[bool]:
        yield from (job[_STATUS[_TUNING]] not in ENDED for job in self._backend.list_tuning_jobs(_ALL))
        yield from (job[_STATUS[_TRAINING]] not in ENDED for job in self._backend.list_training_jobs({}, _ALL))

    def _answer(self, answer: Operation, asked: Content, moto: Callable[[], Content]) -> Content:
        """Of this account and its region, not of "this machine", so that commands say what they say of AWS."""
        found: Content = _placed(answer(asked, moto), self._arn)
        return found

    def _create_training(self, asked: Content, moto: Callable[[], Content]) -> Content:
        with self._starting():
            self._refuse_taken(asked[_TRAINING], self._backend.describe_training_job)
            self._fetch(asked)
            self._backend.create_training_job(asked)
        return {"TrainingJobArn": self._described(_TRAINING, asked[_TRAINING])["TrainingJobArn"]}

    def _create_tuning(self, asked: Content, moto: Callable[[], Content]) -> Content:
        with self._starting():
            self._refuse_taken(asked[_TUNING], self._backend.describe_tuning_job)
            self._fetch(asked["TrainingJobDefinition"])
            self._backend.create_tuning_job(asked)
        arn = "HyperParameterTuningJobArn"
        return {arn: self._described(_TUNING, asked[_TUNING])[arn]}

    @contextmanager
    def _starting(self) -> Iterator[None]:
        """One at a time, and none of which `close` would not know: a job's processes outlive this one."""
        with self._gate:
            if self._closed:
                raise Refusal(refusal("ServiceUnavailable", "the stand-in is closing"))
            yield

    def _stop(self, stop: Callable[[str], None], name: str) -> Content:
        stop(name)
        return {}

    def _refuse_taken(self, name: str, describe: Callable[[str], object]) -> None:
        if describe(name) is not None:
            raise Refusal(refusal("ResourceInUse", f"Job names must be unique, and there is one named {name}."))

    def _described(self, kind: str, name: str) -> Content:
        backend = self._backend
        found = (backend.describe_training_job if kind == _TRAINING else backend.describe_tuning_job)(name)
        if found is None:
            raise Refusal(refusal("ValidationException", "Requested resource not found."))
        if found[_STATUS[kind]] in ENDED:
            self._publish()
        return found

    def _search(self, asked: Content, moto: Callable[[], Content]) -> Content:
        filters = {one["Name"]: one["Value"] for one in asked.get("SearchExpression", {}).get("Filters", [])}
        named = filters.pop(_TRAINING, "")
        tags = {name.removeprefix("Tags."): value for name, value in filters.items()}
        found = self._backend.list_training_jobs(tags, asked.get("MaxResults", _FOUND), named)
        return {"Results": [{"TrainingJob": job} for job in found]}

    def _list_tuning(self, asked: Content, moto: Callable[[], Content]) -> Content:
        found = self._backend.list_tuning_jobs(asked.get("MaxResults", _SOME), asked.get("NameContains", ""))
        return {"HyperParameterTuningJobSummaries": found}

    def _list_trials(self, asked: Content, moto: Callable[[], Content]) -> Content:
        return {"TrainingJobSummaries": self._backend.list_trials(asked[_TUNING])}

    def _list_tags(self, asked: Content, moto: Callable[[], Content]) -> Content:
        kind, _, name = asked["ResourceArn"].rpartition(":")[2].partition("/")
        kinds = {"training-job": _TRAINING, "hyper-parameter-tuning-job": _TUNING}
        return {"Tags": self._described(kinds[kind], name)["Tags"]} if kind in kinds else moto()

    def _list_streams(self, asked: Content, moto: Callable[[], Content]) -> Content:
        if asked.get("logGroupName") != _LOGS:
            return moto()
        prefix = asked.get("logStreamNamePrefix", "")
        jobs = self._backend.list_training_jobs({}, _ALL, prefix.partition("/")[0])
        names = sorted(f"{job[_TRAINING]}/algo-1" for job in jobs)
        found = [{"logStreamName": name} for name in names if name.startswith(prefix)]
        return {"logStreams": found[: asked.get("limit", _STREAMS)]}

    def _read_log(self, asked: Content, moto: Callable[[], Content]) -> Content:
        if asked.get("logGroupName") != _LOGS:
            return moto()
        token = asked.get("nextToken", "f/0")
        lines, position = self._backend.log_lines(asked["logStreamName"].partition("/")[0], token.removeprefix("f/"))
        events = [{"timestamp": round(line.time * 1000), "message": line.text} for line in lines]
        return {"events": events, "nextForwardToken": f"f/{position}", "nextBackwardToken": token}

    def _fetch(self, definition: Mapping[str, Any]) -> None:
        """Bring here what a job reads."""
        channels = [one["DataSource"]["S3DataSource"]["S3Uri"] for one in definition.get("InputDataConfig", [])]
        code = {**definition.get("HyperParameters", {}), **definition.get("StaticHyperParameters", {})}
        if "sagemaker_submit_directory" in code:
            channels.append(json.loads(code["sagemaker_submit_directory"]))
        with self._lock:
            for file in (file for uri in channels for file in self._store.files(uri)):
                path = self._files.path(file.uri)
                self._store.get(file.uri, path)
                self._same[file.uri] = _stamp(path)

    def _publish(self) -> None:
        """Send to S3 what jobs have left."""
        with self._lock:
            for bucket in sorted(path.name for path in self._files.root.glob("*")):
                for file in self._files.files(f"s3://{bucket}/"):
                    path = self._files.path(file.uri)
                    try:
                        stamp = _stamp(path)
                        if self._same.get(file.uri) != stamp:
                            self._store.put(file.uri, path)
                            self._same[file.uri] = stamp
                    except (FileNotFoundError, LaunchError):
                        if path.exists():  # else a job that still runs has removed it
                            raise


def _placed(value: Any, arn: str) -> Any:
    if isinstance(value, str):
        return value.replace(ARN, arn, 1) if value.startswith(ARN) else value
    if isinstance(value, dict):
        return {key: _placed(entry, arn) for key, entry in value.items()}
    return [_placed(entry, arn) for entry in value] if isinstance(value, list) else value


def _stamp(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_mtime_ns, found.st_size
