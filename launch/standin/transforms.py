"""Batch transform jobs, which really answer: a thread for each, its pictures and answers in moto's S3."""

from __future__ import annotations

import json
import threading
import traceback
from collections.abc import Callable
from typing import Any

from dogbreed.errors import DogbreedError, ImageError
from launch.errors import LaunchError
from launch.standin.containers import Containers
from launch.standin.moto import Content, Moto, Operation, Refusal, refusal

_NAME, _STATUS, _REASON = "TransformJobName", "TransformJobStatus", "FailureReason"
_RUNNING, _STOPPING, _STOPPED, _COMPLETED, _FAILED = "InProgress", "Stopping", "Stopped", "Completed", "Failed"


class Transforms:
    """The transform jobs of an account.

    Args:
        moto: that keeps their descriptions, and says Completed at once.
        containers: that answer.
    """

    def __init__(self, moto: Moto, containers: Containers) -> None:
        self._moto, self._containers = moto, containers
        self._lock = threading.Lock()  # a job that has just ended must not be told to stop
        self._closed = False
        self.states: dict[str, dict[str, Any]] = {}
        self._threads: list[threading.Thread] = []
        self.operations: dict[str, Operation] = {
            "CreateTransformJob": self._create,
            "DescribeTransformJob": lambda asked, moto: {**moto(), **self.states.get(asked[_NAME], {})},
            "StopTransformJob": self._stop,
        }

    def close(self) -> None:
        """Stop what still runs, and wait until it has ended; nothing starts from here on."""
        with self._lock:
            self._closed = True
        for name in self.states:
            self._end(name)
        for thread in self._threads:
            thread.join()

    def run(self, name: str) -> None:
        """Answer each picture of a job's manifest, until it is told to stop."""
        from botocore.exceptions import ClientError

        try:
            unread = self._answer(name)
            reason = "ClientError: See job logs for more information" if unread else ""
        except DogbreedError as error:  # of the container, or of S3
            reason = f"ClientError: {error.got}"
        except ClientError as error:  # of moto, where its model has been deleted
            reason = f"ClientError: {error}"
        except Exception as error:  # whatever it is, the job ends: somebody waits for it
            traceback.print_exc()
            reason = f"InternalServerError: {error}"
        with self._lock:
            stopped = self.states[name][_STATUS] == _STOPPING
            ended = _FAILED if reason else _STOPPED if stopped else _COMPLETED
            self.states[name] = {_STATUS: ended, **({_REASON: reason} if reason else {})}

    def _answer(self, name: str) -> int:
        """How many pictures could not be read."""
        from dogbreed.serving.answer import to_json

        job = self._moto.sagemaker.describe_transform_job(TransformJobName=name)
        predictor = self._containers.start(job["ModelName"])
        uri = job["TransformInput"]["DataSource"]["S3DataSource"]["S3Uri"]
        manifest = self._moto.store.get_bytes(uri)
        if manifest is None:
            raise LaunchError(f"there is no {uri}", "a manifest", "send it first")
        first, *pictures = json.loads(manifest)
        unread = 0
        for path in pictures:
            if self.states[name][_STATUS] != _RUNNING:
                break
            try:
                answer = predictor(self._moto.store.get_bytes(f"{first['prefix']}{path}") or b"")
            except ImageError:
                unread += 1
                continue
            target = f"{job['TransformOutput']['S3OutputPath']}/{path}.out"
            self._moto.store.put_bytes(target, to_json(answer.to_dict()).encode())
        return unread

    def _create(self, asked: Content, moto: Callable[[], Content]) -> Content:
        name = asked[_NAME]
        with self._lock:
            if self._closed:
                raise Refusal(refusal("ServiceUnavailable", "the stand-in is closing"))
            made = moto()
            self.states[name] = {_STATUS: _RUNNING}
            thread = threading.Thread(target=self.run, args=(name,), daemon=True)
            self._threads.append(thread)
            thread.start()
        return made

    def _stop(self, asked: Content, moto: Callable[[], Content]) -> Content:
        if asked[_NAME] not in self.states:
            raise Refusal(refusal("ValidationException", "Requested resource not found."))
        self._end(asked[_NAME])
        return {}

    def _end(self, name: str) -> None:
        with self._lock:
            if self.states[name][_STATUS] == _RUNNING:
                self.states[name] = {_STATUS: _STOPPING}
