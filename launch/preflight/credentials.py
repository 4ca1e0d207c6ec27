"""Secrets where everyone can read them: environment, hyperparameters and tags are shown by AWS's console and logs.

SageMaker refuses requests in which it detects credentials (its API reference, CreateTrainingJob); by what it detects
them it does not say. Here: AWS's own by their form and name, passwords and signatures in addresses, and whatever the
environment holds as a secret, which is fatal; other names that say so, which is not.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

from dogbreed.arguments import secrets_of, tells_of_a_secret
from launch.preflight.problems import Problem
from launch.preflight.reading import Part, part, parts, text

#: IAM's user guide, unique identifiers: keys of users and of roles.
_ACCESS_KEY = re.compile(r"(?<![A-Z0-9])(?:AKIA|ASIA)[A-Z0-9]{16}(?![A-Z0-9])")
_AWS_NAME = re.compile(r"(?i)aws_?(secret_?access_?key|access_?key_?id|session_?token|security_?token)")
#: A password in an address, and what signs one: https://user:password@host, and AWS's presigned requests.
_IN_ADDRESS = re.compile(r"(?i)://[^/@\s:]*:[^/@\s]+@|[?&](x-amz-(signature|security-token)|sig|signature|token)=")
_PATHS = ("Environment", "HyperParameters", "StaticHyperParameters")


def check_secrets(request: Part, at: str) -> Iterator[Problem]:
    """Where secrets seem to stand, without saying them.

    Args:
        request: a training job, or the definition in a tuning job.
        at: its path, see `jobs.check_job`.
    """
    for path in _PATHS:
        for name, value in part(request, path).items():
            yield from _look(f"{at}{path}[{name}]", str(name), str(value))
    for number, tag in parts(request, "Tags"):
        yield from _look(f"{at}Tags[{number}]", text(tag, "Key") or "", text(tag, "Value") or "")


def _look(where: str, name: str, value: str) -> Iterator[Problem]:
    allowed = "no secret: everyone who may look at the job can read it"
    hint = "take it out; let sagemaker.role grant the access, or read it from AWS Secrets Manager in the job"
    if _ACCESS_KEY.search(value) or _ACCESS_KEY.search(name) or _AWS_NAME.search(name):
        yield Problem(where, "what looks like AWS credentials, which SageMaker refuses", allowed, hint)
    elif _IN_ADDRESS.search(value):
        yield Problem(where, "an address with a password or a signature in it", allowed, hint)
    elif any(one in value for _, one in secrets_of(os.environ)):
        yield Problem(where, "a secret of this machine's environment", allowed, hint)
    elif tells_of_a_secret(name):
        yield Problem(where, "a name that tells of a secret", allowed, hint, fatal=False)
