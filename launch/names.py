"""Names and places: of jobs, of what they read and of what they leave. Pure: no torch, no SDK."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

#: The keys of the config that a channel takes the place of: where the job finds it is known in the container only.
CHANNEL_KEYS = {"data": "data.root", "weights": "backbone.weights"}
#: The channel of the code.
CODE = "code"
#: The archive in it, and its unpacked place in the container, below its base directory.
ARCHIVE = "sourcedir.tar.gz"
#: What the launcher tells the entry by the environment: processes on each host, and the command where it is not
#: `dogbreed.train` (JSON list of arguments behind `python`).
PROCESSES, COMMAND = "DOGBREED_PROCESSES", "DOGBREED_COMMAND"
#: The git revision of the code that travels, which its archive does not hold; dogbreed.runs writes it into run.json.
REVISION = "DOGBREED_REVISION"
#: The tag that every job carries: which launch started it.
LAUNCH_TAG = "dogbreed:launch"

_LONGEST_JOB, _LONGEST_TUNING_JOB = 63, 32
_UNFIT = re.compile(r"[^a-zA-Z0-9]+")


def job_name(experiment: str, moment: datetime, token: str, *, tuning: bool = False) -> str:
    """A name that AWS takes: of the experiment, to be found by, and of the moment, to be alone.

    Args:
        experiment: any words.
        moment: of the launch.
        token: some random letters and digits, for two launches in one second.
        tuning: a tuning job's, which is shorter.

    >>> job_name("lr & batch, dogs", datetime(2026, 11, 21, 20, 30, 5), "a1b2")
    'lr-batch-dogs-261121-203005-a1b2'
    >>> job_name("a very long name of an experiment", datetime(2026, 11, 21, 20, 30, 5), "a1b2", tuning=True)
    'a-very-long-n-261121-203005-a1b2'
    """
    end = f"{moment:%y%m%d-%H%M%S}-{token}"
    room = (_LONGEST_TUNING_JOB if tuning else _LONGEST_JOB) - len(end) - 1
    words = _UNFIT.sub("-", experiment).strip("-") or "dogbreed"
    return f"{words[:room].strip('-')}-{end}"


def output_uri(description: Mapping[str, object], file: str) -> str:
    """Where a job leaves `file`, "model.tar.gz" or "output.tar.gz".

    >>> output_uri({"TrainingJobName": "a", "OutputDataConfig": {"S3OutputPath": "s3://b/jobs/"}}, "output.tar.gz")
    's3://b/jobs/a/output/output.tar.gz'
    """
    config = description["OutputDataConfig"]
    assert isinstance(config, Mapping)
    return f"{str(config['S3OutputPath']).rstrip('/')}/{description['TrainingJobName']}/output/{file}"


def base_directory(environment: Mapping[str, str]) -> Path:
    """Where a job is laid out, in its container or here.

    >>> print(base_directory({}))
    /opt/ml
    """
    return Path(environment.get("SAGEMAKER_BASE_DIR", "/opt/ml"))
