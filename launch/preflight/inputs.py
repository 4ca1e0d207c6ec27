"""Where a job reads and writes: channels and places in S3."""

from __future__ import annotations

import re
from collections.abc import Iterator

from launch.names import CODE
from launch.preflight.hints import remedy
from launch.preflight.problems import Context, Problem
from launch.preflight.reading import Part, get, part, parts, text, twice

_OUTPUTS = (
    "OutputDataConfig.S3OutputPath",
    "CheckpointConfig.S3Uri",
    "TensorBoardOutputConfig.S3OutputPath",
    "DebugHookConfig.S3OutputPath",
    "ProfilerConfig.S3OutputPath",
)
#: S3's user guide, general purpose bucket naming rules.
_BUCKET = re.compile(r"(?!.*\.\.)[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_FORM = "s3://BUCKET/PREFIX, the bucket in 3 to 63 small letters, digits, dots and hyphens"


def check_inputs(job: Part, at: str, context: Context) -> Iterator[Problem]:
    """What is wrong with the places that a job reads from and writes to; arguments as of `jobs.check_job`."""
    channels = parts(job, "InputDataConfig")
    named = [
        (f"{at}InputDataConfig[{number}].ChannelName", text(channel, "ChannelName")) for number, channel in channels
    ]
    for where, name in twice(named):
        yield Problem(where, f"{name} a second time", f"each channel once; {CODE} is the launcher's", remedy(where))
    for number, channel in channels:
        yield from _channel(
            channel, f"{at}InputDataConfig[{number}]", text(job, "AlgorithmSpecification.TrainingInputMode")
        )
    for path in _OUTPUTS:
        if (uri := text(job, path)) is not None and not _is_place(uri):
            yield Problem(f"{at}{path}", uri, _FORM, remedy(f"{at}{path}"))


def _channel(channel: Part, where: str, general_mode: str | None) -> Iterator[Problem]:
    name = text(channel, "ChannelName")
    hint = remedy(where) if name in (None, CODE) else f"set sagemaker.channels.{name}"
    source = part(channel, "DataSource.S3DataSource")
    if len(part(channel, "DataSource")) != 1:
        yield Problem(f"{where}.DataSource", f"{len(part(channel, 'DataSource'))} sources", "one", hint)
    uri = text(source, "S3Uri")
    if uri is not None and not _is_place(uri):
        yield Problem(f"{where}.DataSource.S3DataSource.S3Uri", uri, _FORM, hint)
    mode, kind = text(channel, "InputMode") or general_mode, text(source, "S3DataType")
    if mode == "FastFile" and kind not in (None, "S3Prefix"):
        # The developer guide names augmented manifests only; that the others do not go either is our reading.
        yield Problem(
            f"{where}.InputMode", f"FastFile of {kind}", "FastFile of S3Prefix", "set sagemaker.input_mode=File"
        )
    if kind == "AugmentedManifestFile" and mode != "Pipe":
        yield Problem(f"{where}.DataSource.S3DataSource.S3DataType", f"{kind} by {mode}", "S3Prefix", hint)
    if mode == "File" and get(channel, "CompressionType") not in (None, "None"):
        yield Problem(f"{where}.CompressionType", "in File mode", "none: File mode unpacks nothing", hint)


def _is_place(uri: str) -> bool:
    scheme, _, rest = uri.partition("://")
    return scheme == "s3" and _BUCKET.fullmatch(rest.split("/", 1)[0]) is not None
