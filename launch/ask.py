"""`python -m launch.ask NAME PICTURES`: the breed on each picture, by an endpoint; printed as dogbreed.predict does."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dogbreed.arguments import Parser, positive
from dogbreed.commands import ends_well
from dogbreed.errors import ImageError, did_you_mean
from dogbreed.serving.answer import Prediction, Wish
from dogbreed.serving.writers import WRITERS, Answer, print_answers
from launch.aws.errors import asking_aws, is_absent
from launch.backends import Store
from launch.errors import LaunchError
from launch.hosting.asking import Refused, ask_endpoint, ask_later
from launch.hosting.sources import Source, find_sources

if TYPE_CHECKING:
    import boto3

#: Of any picture; what it is, its content says.
_TYPE = "application/x-image"
_MEBIBYTE = 2**20
#: What an invocation may bring along; developer guide of Amazon SageMaker, "Inference options". Of asynchronous
#: requests SageMaker takes a gigabyte, but the containers no more than this.
_REALTIME, _SERVERLESS, _ASYNCHRONOUS = 25 * _MEBIBYTE, 4 * _MEBIBYTE, 25 * _MEBIBYTE
#: How often, and how long at first, an endpoint is asked again that has too much to do.
_TRIES, _PAUSE_S = 6, 0.5


@dataclass(frozen=True)
class Target:
    """An endpoint that can be asked.

    Attributes:
        name: its own.
        largest: bytes of a picture that it takes.
        answers: s3://BUCKET/PREFIX where an asynchronous one answers; None of another.
    """

    name: str
    largest: int
    answers: str | None


@ends_well("pictures that were not answered can be asked again")
def main(arguments: Sequence[str] | None = None) -> int:
    """Ask about every picture; 0 if all could be answered, 1 otherwise."""
    options = make_parser().parse_args(arguments)
    wish = Wish(options.top_k, options.correct_breed, options.correct_index)
    from launch.aws.session import make_session
    from launch.files.stores import S3Store

    session = make_session(options.region)
    store = S3Store(session)
    target = find_target(session, options.name)
    sources = list(find_sources(options.paths, store))
    answers = ask_all(session, store, target, sources, wish, threads=options.threads, wait_s=options.wait_s)
    return 0 if print_answers(answers, options.format) else 1


def find_target(session: boto3.Session, name: str) -> Target:
    """What must be known of an endpoint to ask it.

    Raises:
        LaunchError: there is none of this name, it does not answer yet, or AWS refuses.
    """
    with asking_aws(f"looking for the endpoint {name}"):
        client = session.client("sagemaker")
        try:
            found = client.describe_endpoint(EndpointName=name)
        except client.exceptions.ClientError as error:
            if not is_absent(error):
                raise
            pages = client.get_paginator("list_endpoints").paginate()
            known = [endpoint["EndpointName"] for page in pages for endpoint in page["Endpoints"]]
            raise LaunchError(
                f"there is no endpoint {name}{did_you_mean(name, known)}",
                ", ".join(sorted(known)[:10]) or "none is there",
                "python -m launch.endpoints lists all; --region for those of another region",
            ) from error
        status = found["EndpointStatus"]
        if status not in ("InService", "Updating", "SystemUpdating", "RollingBack"):
            why = f": {found['FailureReason']}" if found.get("FailureReason") else ""
            hint = "wait until it is in service" if status == "Creating" else "deploy it again"
            raise LaunchError(f"the endpoint {name} is {status}{why}", "InService", hint)
        config = client.describe_endpoint_config(EndpointConfigName=found["EndpointConfigName"])
    if later := config.get("AsyncInferenceConfig"):
        return Target(name, _ASYNCHRONOUS, later["OutputConfig"]["S3OutputPath"])
    serverless = any("ServerlessConfig" in variant for variant in config["ProductionVariants"])
    return Target(name, _SERVERLESS if serverless else _REALTIME, None)


def ask_all(
    session: boto3.Session,
    store: Store,
    target: Target,
    sources: Sequence[Source],
    wish: Wish,
    *,
    threads: int,
    wait_s: float,
) -> Iterator[Answer]:
    """Each picture's name with its answer, or with why there is none, in order.

    Raises:
        LaunchError: the endpoint cannot be asked, or breaks.
    """
    from botocore.config import Config

    with asking_aws("connecting to AWS"):
        client = session.client("sagemaker-runtime", config=Config(max_pool_connections=threads))
    given = {"top_k": wish.top_k, "correct_breed": wish.correct_breed, "correct_index": wish.correct_index}
    options = {name: value for name, value in given.items() if value is not None}

    def ask(body: bytes) -> bytes:
        if target.answers is None:
            return ask_endpoint(client, target.name, body, _TYPE, options)
        return ask_later(client, store, target.name, body, _TYPE, options, answers=target.answers, wait_s=wait_s)

    pool = ThreadPoolExecutor(threads)
    try:
        for source, answer in zip(
            sources, pool.map(lambda one: _answer(one, store, target, ask), sources), strict=True
        ):
            yield source.name, answer
    finally:
        pool.shutdown(cancel_futures=True)


def _answer(source: Source, store: Store, target: Target, ask: Callable[[bytes], bytes]) -> Prediction | ImageError:
    try:
        if source.size is not None and source.size > target.largest:
            raise ImageError(
                f"{source.name}: {source.size:,} bytes",
                f"at most {target.largest:,}, which {target.name} takes",
                "scale it down: the backbone reads a few hundred pixels a side",
            )
        body = source.read(store)
        return _read(_patiently(lambda: ask(body)), target.name)
    except ImageError as error:
        return error
    except Refused as error:
        if error.status is not None and 400 <= error.status < 500:  # this picture, not the endpoint
            return ImageError(error.got, error.allowed, error.hint)
        raise


def _patiently(ask: Callable[[], bytes]) -> bytes:
    """What `ask` gives, tried again while the container has too much to do."""
    for attempt in range(_TRIES - 1):
        try:
            return ask()
        except Refused as error:
            if error.status != 503:
                raise
            time.sleep(_PAUSE_S * 2**attempt)
    return ask()


def _read(content: bytes, name: str) -> Prediction:
    try:
        answer: Any = json.loads(content)
        if not isinstance(answer, dict):
            raise ValueError("no JSON object")
        return Prediction.from_dict(answer)
    except ValueError as error:
        shown = " ".join(content[:100].decode(errors="replace").split())
        raise LaunchError(
            f"{name} answers what is no prediction: {shown}",
            "an endpoint of python -m launch.deploy",
            "name another endpoint, or deploy it with this release",
        ) from error


def make_parser() -> Parser:
    """What this command's arguments may be."""
    parser = Parser(
        prog="python -m launch.ask",
        description="Name the breed on pictures by an endpoint at Amazon SageMaker. A picture that cannot be answered "
        "is reported, and the others are still answered; the exit code is then 1.",
        epilog="example: python -m launch.ask dogs photos/ s3://BUCKET/dogs/ --format jsonl",
    )
    parser.add_argument("name", metavar="NAME", help="of the endpoint; python -m launch.endpoints lists them")
    parser.add_argument("paths", nargs="+", metavar="PICTURE", help="files, folders, s3:// URIs or s3:// prefixes")
    parser.add_argument("--format", choices=sorted(WRITERS), default="table", help="of the answers (default: table)")
    parser.add_argument("--top-k", type=positive, default=5, metavar="K", help="candidates a picture (default: 5)")
    parser.add_argument("--correct-breed", metavar="BREED", help="say how this breed fared on each picture")
    parser.add_argument("--correct-index", type=int, metavar="I", help="the same by its class index")
    parser.add_argument("--region", metavar="REGION", help="of AWS; default: AWS_REGION, or the profile's")
    parser.add_argument("--threads", type=positive, default=4, metavar="N", help="requests at once (default: 4)")
    parser.add_argument(
        "--wait-s", type=positive, default=900, metavar="S", help="for an asynchronous answer (default: 900)"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
