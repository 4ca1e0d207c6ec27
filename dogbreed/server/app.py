"""The routes: SageMaker's two, Prometheus', and those of the page."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from functools import partial
from importlib import resources
from typing import TypeVar

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from dogbreed.errors import RequestError, did_you_mean
from dogbreed.server.accounts import Accounts
from dogbreed.server.service import Service
from dogbreed.serving.exchange import JSON, read_attributes, write_error

T = TypeVar("T")

_ATTRIBUTES = "x-amzn-sagemaker-custom-attributes"
_PAGE = {
    "/": ("index.html", "text/html"),
    "/page.css": ("page.css", "text/css"),
    "/page.js": ("page.js", "text/javascript"),
}
# The page runs its own files and asks its own server; no other site may frame it.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def make_app(service: Service) -> Starlette:
    """The ASGI application that answers for a service; it may be mounted in another."""
    routes = [
        Route("/ping", partial(_ping, service)),
        Route("/invocations", partial(_invocations, service), methods=["POST"]),
        Route("/explanations", partial(_explanations, service), methods=["POST"]),
        Route("/model", partial(_model, json.dumps(service.describe(), ensure_ascii=False).encode())),
        Route("/thumbnails/{index}", partial(_thumbnail, service)),
        Route("/metrics", partial(_metrics, service)),
        *[Route(path, partial(_static, _page_file(name), media)) for path, (name, media) in _PAGE.items()],
    ]
    paths = [route.path for route in routes]
    handlers = {RequestError: _answer_error, HTTPException: partial(_answer_http, paths)}
    accounts = Middleware(Accounts, service=service, routes=paths)
    app = Starlette(routes=routes, exception_handlers=handlers, middleware=[accounts])  # type: ignore[arg-type]
    app.router.redirect_slashes = False  # a redirect to wherever the Host header says
    return app


def error_response(error: RequestError) -> Response:
    """An error as HTTP: its status, and the rest as JSON."""
    headers = {"retry-after": "1"} if error.status == 503 else {}
    if error.status == 408:
        headers["connection"] = "close"
    return Response(write_error(error), error.status, headers, JSON)


async def _ping(service: Service, request: Request) -> Response:
    if service.stopping:
        raise RequestError(503, "the server is stopping", "a server that runs", "ask another one")
    return Response(b'{"status": "ok"}', media_type=JSON)


async def _invocations(service: Service, request: Request) -> Response:
    async def answer(body: bytes) -> Response:
        record = request.scope["record"]
        return Response(await service.ask(body, _content_type(request), _options(request), record), media_type=JSON)

    return await _with_body(service, request, answer)


async def _explanations(service: Service, request: Request) -> Response:
    if service.engine != "torch":
        raise RequestError(
            404, f"explanations with the engine {service.engine}", "the engine torch", "start it with --engine torch"
        )

    async def answer(body: bytes) -> Response:
        jpeg = await service.explain(body, _content_type(request), _options(request))
        return Response(jpeg, media_type="image/jpeg")

    return await _with_body(service, request, answer)


async def _with_body(service: Service, request: Request, answer: Callable[[bytes], Awaitable[Response]]) -> Response:
    """The answer to a request's body, which is not even read where there is no room for it."""
    service.admit()
    service.check_type(_content_type(request))
    async with service.bodies.read(request) as body:
        with service.in_time():
            return await _unless_gone(request, answer(body))


async def _unless_gone(request: Request, work: Awaitable[T]) -> T:
    """The outcome of the work, which is cancelled where the client leaves.

    Raises:
        ClientDisconnect: it has left.
    """
    task = asyncio.ensure_future(work)
    left = asyncio.ensure_future(request.receive())  # after the body, this can only be the end
    try:
        await asyncio.wait({task, left}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        raise ClientDisconnect
    finally:
        task.cancel()
        left.cancel()


def _content_type(request: Request) -> str | None:
    return request.headers.get("content-type")


def _options(request: Request) -> dict[str, str]:
    """Of the query string, and of SageMaker's header, which is nearer to who asks."""
    return {**request.query_params, **read_attributes(request.headers.get(_ATTRIBUTES))}


async def _model(content: bytes, request: Request) -> Response:
    return Response(content, media_type=JSON)


async def _thumbnail(service: Service, request: Request) -> Response:
    index = request.path_params["index"]
    count = len(service.predictor.artifact.class_names)
    known = index.isascii() and index.isdecimal() and len(index) < 10 and int(index) < count
    content = service.predictor.artifact.thumbnail(int(index)) if known else None
    if content is None:
        raise RequestError(404, f"no thumbnail of {index[:80]!r}", f"a class index, 0 to {count - 1}", "see /model")
    return Response(content, media_type="image/jpeg", headers={"cache-control": "max-age=3600"})


async def _metrics(service: Service, request: Request) -> Response:
    return Response(service.metrics.text(), headers={"content-type": service.metrics.content_type})


def _page_file(name: str) -> bytes:
    return resources.files("dogbreed.server").joinpath("page", name).read_bytes()


async def _static(content: bytes, media: str, request: Request) -> Response:
    headers = {
        "content-security-policy": _POLICY,
        "referrer-policy": "no-referrer",
        "cache-control": "no-cache",
    }
    return Response(content, media_type=media, headers=headers)


async def _answer_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestError)
    return error_response(error)


async def _answer_http(paths: list[str], request: Request, error: Exception) -> Response:
    """What Starlette itself refuses: a path or a method that does not exist."""
    assert isinstance(error, HTTPException)
    path = request.url.path[:200]
    if error.status_code == 405:
        allowed = (error.headers or {}).get("Allow", "")
        return error_response(RequestError(405, f"{request.method[:20]} {path}", allowed, "use another method"))
    got = f"the path {path}{did_you_mean(path, paths)}"
    return error_response(RequestError(404, got, ", ".join(paths), "correct the path"))
