"""`python -m dogbreed.serve --artifact DIR`: the artifact's answers over HTTP, by SageMaker's hosting contract."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from dogbreed.arguments import Parser, port, positive
from dogbreed.commands import ends_well
from dogbreed.errors import ConfigError
from dogbreed.exports.formats import ENGINES
from dogbreed.server.settings import ServerSettings

_MB = 2**20


@ends_well("it had not begun to answer")
def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until told to stop; 0 then, 1 where it could not start."""
    _serve(make_parser().parse_args(arguments))
    return 0


def _serve(options: argparse.Namespace) -> None:
    # Before torch is imported: its threads should sleep while they wait for each other, not keep those that decode,
    # and other processes, from the cores. With the cores busy, an answer takes a tenth of the time.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        from dogbreed.server.running import listen, run_server  # needs the extra
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"the package {error.name} is missing", "the extra serving", "pip install 'dogbreed[serving]'"
        ) from error
    from dogbreed.server.service import Service
    from dogbreed.serving.predictor import Predictor

    settings = ServerSettings(
        batch_size=options.batch_size,
        batch_wait_ms=options.batch_wait_ms,
        threads=options.threads,
        models=options.models,
        max_body=round(options.max_body_mb * _MB),
        max_pixels=options.max_pixels,
        max_waiting=options.max_waiting,
        timeout_s=options.timeout_s,
        s3_prefixes=tuple(options.s3_prefix),
    )
    bound = listen(options.host, options.port)
    predictor = Predictor.load(options.artifact, options.device, options.engine)
    service = Service(predictor, settings, options.engine)
    bound.listen()
    host, port = bound.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    print(
        f"dogbreed serves {predictor.model} at http://{shown}:{port}/ (a page; POST /invocations); stop with Ctrl-C",
        flush=True,
    )
    run_server(service, bound)


def make_parser() -> Parser:
    """What this command's arguments may be."""
    parser = Parser(
        prog="python -m dogbreed.serve",
        description="Answer over HTTP which breed is on a picture: GET /ping, POST /invocations, GET /metrics, and a "
        "page at / to try it. Logs are lines of JSON on stderr.",
        epilog="example: python -m dogbreed.serve --artifact runs/RUN/artifact; then: "
        "curl -H 'Content-Type: image/jpeg' --data-binary @dog.jpg http://127.0.0.1:8080/invocations",
    )
    add = parser.add_argument
    usual = os.environ.get("SAGEMAKER_BIND_TO_PORT", "8080")
    add("--artifact", required=True, type=Path, metavar="DIR", help="what a training run wrote")
    add("--host", default="127.0.0.1", help="the address to listen on; 0.0.0.0 for all (default: 127.0.0.1)")
    add("--port", type=port, default=usual, help="0 for any free one (default: SAGEMAKER_BIND_TO_PORT, or 8080)")
    add("--engine", default="torch", choices=ENGINES, help="torch, or an export in the artifact (default: torch)")
    add("--device", default="cpu", help="cpu, cuda, ... (default: cpu)")
    limits = ServerSettings()
    for name, kind, metavar, default, text in (
        ("batch-size", positive, "N", limits.batch_size, "most pictures at once"),
        ("batch-wait-ms", _number, "MS", limits.batch_wait_ms, "let a batch grow for so long, if nothing computes"),
        ("threads", positive, "N", limits.threads, "that decode pictures"),
        ("max-body-mb", _number, "MB", limits.max_body / _MB, "larger bodies are refused; SageMaker's own limit"),
        ("max-pixels", positive, "N", limits.max_pixels, "larger pictures are refused"),
        ("max-waiting", positive, "N", limits.max_waiting, "with so many pictures waiting, requests get 503"),
        ("timeout-s", _number, "S", limits.timeout_s, "a request that takes longer, after its body, gets 503"),
    ):
        add(f"--{name}", type=kind, metavar=metavar, default=default, help=f"{text} (default: {default:,.10g})")
    add(
        "--models",
        type=positive,
        metavar="N",
        help="batches computed at once, each by its share of the cores; 1 computes as dogbreed.predict does, to the "
        "bit (default: one a core up to 4, with exports and on a GPU 1)",
    )
    add(
        "--s3-prefix",
        action="append",
        default=[],
        metavar="S3_URI",
        help="let requests name pictures below s3://BUCKET/PREFIX/; may be given several times (default: none)",
    )
    return parser


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1
    if not 0 <= value < 100_000:
        raise argparse.ArgumentTypeError(f"{text} is not a number of 0 or more")
    return value


if __name__ == "__main__":
    sys.exit(main())
