"""What can go wrong between this machine and a job."""

from __future__ import annotations

from dogbreed.errors import DogbreedError


class LaunchError(DogbreedError):
    """AWS, the network, or what a job left behind is not as it has to be; never a defect of the library."""


class JobFailed(LaunchError):
    """A job has ended without a result."""


def missing_extra(what: str, extra: str) -> LaunchError:
    """The error for a package that is not installed."""
    return LaunchError(f"{what} is not installed", f"the extra {extra}", f"pip install 'dogbreed[{extra}]'")
