"""`python -m launch.upload FOLDER`: a data set, or a file of weights, to S3, once."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from dogbreed.arguments import Parser
from dogbreed.commands import ends_well
from dogbreed.data.folder import describe_skipped
from dogbreed.errors import ConfigError
from dogbreed.sweeps.dimensions import override_line
from launch.backends import Store
from launch.connect import connect
from launch.files.datasets import WORKERS, Done, carry_out, plan_upload, upload_weights
from launch.names import CHANNEL_KEYS
from launch.settings import BACKENDS, JobSettings, make_settings

#: Any would do: the process backend's store takes every name.
_BUCKET_HERE = "dogbreed"


@ends_well("the same command goes on from here")
def main(arguments: Sequence[str] | None = None) -> int:
    """Upload, and say how a job finds it; 0 if all is there, 1 otherwise."""
    values = _defaults()
    options = make_parser().parse_args(arguments)
    told = {"backend": options.backend, "region": options.region, "process_dir": options.process_dir}
    settings = make_settings(JobSettings, values | told, "sagemaker")
    store = connect(settings.backend, settings.region, settings.process_dir).store
    to = options.to or "/".join(["s3:/", _bucket(settings), *filter(None, [settings.prefix.strip("/")])])
    channel, uri = _send(store, options, to)
    setting = f"sagemaker.channels.{channel}={uri}"
    here = [override_line(CHANNEL_KEYS[channel], str(options.path)), *(["data=folder"] if channel == "data" else [])]
    where = [override_line(f"sagemaker.{key}", given) for key, given in told.items() if given != values[key]]
    print(setting)
    print(f"next: {shlex.join(['python', '-m', 'launch.plan', *here, setting, *where])}")
    return 0


def _send(store: Store, options: argparse.Namespace, to: str) -> tuple[str, str]:
    """The channel and the URI of what is in the store now."""
    if options.path.is_file():
        return "weights", upload_weights(store, options.path, to, options.name)
    upload = plan_upload(store, options.path, to, options.name, verify=options.verify, exclude=options.exclude)
    if upload.skipped:
        print(describe_skipped(upload.skipped))
    done = carry_out(store, upload, options.workers)
    size = sum(file.size for file in upload.files.values())
    print(f"{len(upload.files):,} pictures, {size / 1e6:,.1f} MB: {_told(done)}")
    return "data", upload.uri


def _told(done: Done) -> str:
    return (
        f"{done.sent:,} sent ({done.sent_bytes / 1e6:,.1f} MB), {done.copied:,} copied inside of the store, "
        f"{done.kept:,} were there"
    )


def _bucket(settings: JobSettings) -> str:
    """The bucket that a job's code and results go to."""
    if not settings.on_aws:
        return _BUCKET_HERE
    from launch.aws.session import bucket_of, region_of, role_of

    try:
        return bucket_of(settings, region_of(settings) or "", role_of(settings))
    except ConfigError as error:
        raise ConfigError("no --to", "s3://BUCKET/PREFIX", f"add --to, or {error.hint}") from error


def _defaults() -> dict[str, Any]:
    """What conf/ says of jobs."""
    file = resources.files("dogbreed.conf") / "sagemaker/job/default.yaml"
    values: dict[str, Any] = yaml.safe_load(file.read_text(encoding="utf-8"))
    return values


def make_parser() -> Parser:
    """What this command's arguments may be."""
    values = _defaults()
    parser = Parser(
        prog="python -m launch.upload",
        description="A data set, or a file of weights, to S3, once: what is there is not sent again.",
    )
    parser.add_argument(
        "path", type=Path, metavar="FOLDER_OR_FILE", help="a data set with train/, valid/, test/; or a file of weights"
    )
    parser.add_argument(
        "--exclude", type=Path, metavar="FILE", help="a list of files that stay here, as data.exclude takes it"
    )
    parser.add_argument("--to", metavar="s3://BUCKET/PREFIX", help="where to; without it, where jobs keep everything")
    parser.add_argument("--name", help="what to call it there; without it, as it is called here")
    parser.add_argument("--backend", default=values["backend"], choices=BACKENDS, help="default: %(default)s")
    parser.add_argument("--region", default=values["region"], help="of AWS; without it, the environment's or profile's")
    parser.add_argument(
        "--process-dir", default=values["process_dir"], metavar="DIR", help="where the process backend keeps its jobs"
    )
    parser.add_argument(
        "--workers", default=WORKERS, type=_workers, metavar="N", help="files at once (default: %(default)s)"
    )
    parser.add_argument("--verify", action="store_true", help="compare what is there by checksum, not by size alone")
    return parser


def _workers(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a number of files, 1 or more")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
