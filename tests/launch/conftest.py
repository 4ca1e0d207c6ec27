"""What the tests of launch/ share: moto's real HTTP server in the place of AWS."""

from __future__ import annotations

import importlib.util
import itertools
import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest


@dataclass(frozen=True)
class Aws:
    """An AWS of one's own, which validates nothing and forgets nothing until the last test.

    Attributes:
        endpoint: its URL.
        region: the one that boto3 finds in the environment.
    """

    endpoint: str
    region: str
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def session(self) -> Any:
        """A boto3 session that talks to it."""
        import boto3

        return boto3.Session(region_name=self.region)

    @cached_property
    def s3(self) -> Any:
        """A client of S3; to make one takes a second."""
        return self.session().client("s3")

    def new_bucket(self) -> str:
        """The name of a new, empty bucket."""
        name = f"bucket-{next(self._numbers)}"
        self.s3.create_bucket(Bucket=name)
        return name


@pytest.fixture(autouse=True, scope="session")
def jobs_of_their_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A folder for what launches keep on this machine, also for the processes that the tests start."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DOGBREED_JOBS", str(tmp_path_factory.mktemp("jobs")))
        yield


@pytest.fixture(scope="session")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aws]:
    """moto's server, which boto3 finds by the environment, here and in the processes that the tests start."""
    if not all(importlib.util.find_spec(name) for name in ("boto3", "moto", "flask")):
        pytest.skip("needs boto3 and moto[server]")
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").disabled = True  # it would log each request where an earlier test has closed the file
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    found = Aws(f"http://{host}:{port}", "us-east-1")
    nowhere: Path = tmp_path_factory.mktemp("aws")
    given = {
        "AWS_ENDPOINT_URL": found.endpoint,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": found.region,
        "AWS_DEFAULT_REGION": found.region,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": str(nowhere / "config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(nowhere / "credentials"),
    }
    with pytest.MonkeyPatch.context() as patch:
        for name in ("AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_SESSION_TOKEN"):
            patch.delenv(name, raising=False)
        for name, value in given.items():
            patch.setenv(name, value)
        yield found
    server.stop()
