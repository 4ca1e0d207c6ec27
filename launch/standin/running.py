"""The stand-in for as long as a block of Python lasts."""

from __future__ import annotations

import itertools
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from launch.errors import missing_extra

REGION = "us-east-1"
#: Each of a process has its own, for moto keeps all accounts of a process; the first is that of AWS's own examples.
_ACCOUNTS = itertools.count(111122223333)
_PROFILE = "standin"


@contextmanager
def stand_in(folder: str | Path, port: int = 0) -> Iterator[dict[str, str]]:
    """The variables by which every command finds the stand-in, which is there as long as the block lasts.

    They are for processes that the block starts: {**os.environ, **variables}. The account has a role (DOGBREED_ROLE)
    and the bucket that commands use by themselves, sagemaker-REGION-ACCOUNT.

    Args:
        folder: for what runs and what it leaves; there, or made.
        port: to listen on; 0 for any free one.

    Raises:
        LaunchError: boto3 or moto's server is not installed.
        ConfigError: the port is taken.
    """
    try:
        import flask  # noqa: F401 - moto's server needs it, and moto alone brings it not
        from moto.server import ThreadedMotoServer
    except ImportError as error:
        raise missing_extra("moto's server", "standin") from error
    from launch.standin.door import Door, opened
    from launch.standin.moto import Moto

    place = Path(folder).absolute()
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    with _quiet():
        server.start()
        try:
            host, behind = server.get_host_and_port()
            moto = Moto(f"http://{host}:{behind}", str(next(_ACCOUNTS)), REGION)
            moto.client("s3").create_bucket(Bucket=f"sagemaker-{REGION}-{moto.account}")
            with opened(Door(moto, place, port)) as door:
                yield _environment(door.url, moto.account, place)
        finally:
            server.stop()


@contextmanager
def _quiet() -> Iterator[None]:
    """As long as the block lasts, nothing is said of each request, nor of progress bars that nobody sees.

    The latter is of what Optuna and timm import here, in a notebook's process.
    """
    requests = logging.getLogger("werkzeug")
    was, requests.disabled = requests.disabled, True
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "IProgress not found")
            yield
    finally:
        requests.disabled = was


def _environment(url: str, account: str, folder: Path) -> dict[str, str]:
    """What stands in the place of the user's own account, profile and files."""
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "config"
    config.write_text(f"[profile {_PROFILE}]\nregion = {REGION}\n", encoding="utf-8")
    return {
        "AWS_ENDPOINT_URL": url,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_PROFILE": _PROFILE,
        "AWS_DEFAULT_PROFILE": _PROFILE,
        "AWS_CONFIG_FILE": str(config),
        "AWS_SHARED_CREDENTIALS_FILE": str(folder / "credentials"),
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_MAX_ATTEMPTS": "2",  # it is near: when it is gone, that is soon said
        "DOGBREED_ROLE": f"arn:aws:iam::{account}:role/dogbreed",
    }
