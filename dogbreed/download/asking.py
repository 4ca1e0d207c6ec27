"""One request for a file over HTTP, and what its answer means: the file, try again, or never."""

from __future__ import annotations

import email.utils
import socket
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPException, HTTPResponse, responses
from typing import IO, Any

from dogbreed.download.urls import Source, label_of, parse_source
from dogbreed.errors import ConfigError, DataError, legible

_FOR_A_WHILE = (408, 425, 429, 500, 502, 503, 504)
_ALLOWED = "a URL that answers with the archive, without a login page or a password that is missing"
_HINT = "check url, in a browser for instance; a signed URL may have run out"


class Broken(Exception):
    """A try that failed, and may go better next time; `after_s` is what the server asks to wait."""

    def __init__(self, why: str, after_s: float = 0.0) -> None:
        super().__init__(why)
        self.after_s = after_s


@contextmanager
def ask(source: Source, headers: Mapping[str, str], timeout_s: float) -> Iterator[HTTPResponse]:
    """The answer to a request for `source`: its status is 200, 206 or 416.

    Raises:
        Broken: the server cannot be reached or asks to come again, or the block found the connection broken.
        DataError: it does not give the file, and will not.
    """
    request = urllib.request.Request(source.request, headers={"User-Agent": "dogbreed", **headers})
    if source.authorization:
        request.add_unredirected_header("Authorization", source.authorization)
    try:
        with _open(request, source, timeout_s) as answer:
            yield answer
    except urllib.error.URLError as error:
        raise _unreachable(source, error.reason) from error
    except (HTTPException, OSError) as error:
        raise _unreachable(source, error) from error
    except UnicodeError as error:  # of names that no host can have
        raise DataError(f"{source.label} has no host that can be looked up", _ALLOWED, _HINT) from error


def _open(request: urllib.request.Request, source: Source, timeout_s: float) -> Any:
    """The answer; what cannot be used is told as an error."""
    try:
        answer = urllib.request.build_opener(_Redirects(source)).open(request, timeout=timeout_s)
    except urllib.error.HTTPError as error:
        if error.code == 416:
            return error
        error.close()
        raise _refused(source, error) from None
    if answer.status not in (200, 206):
        raise DataError(f"{source.label} answers {_said(answer.status)}", _ALLOWED, _HINT)
    return answer


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows only to http:// and https://, and never from the second to the first."""

    def __init__(self, source: Source) -> None:
        self._source = source

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        """The request for the place that a server names; the name and the password stay with the first server."""
        try:
            target = parse_source(newurl)
        except ConfigError:
            target = None
        if target is None or target.path is not None or (req.type == "https" and target.request.startswith("http:")):
            raise _misled(self._source, label_of(newurl))
        followed = super().redirect_request(req, fp, code, msg, headers, target.request)
        if (
            followed is not None
            and (followed.type, followed.host) == (req.type, req.host)
            and self._source.authorization
        ):
            followed.add_unredirected_header("Authorization", self._source.authorization)
        return followed


def _refused(source: Source, error: urllib.error.HTTPError) -> Exception:
    if error.code in _FOR_A_WHILE:
        return Broken(f"the server answers {_said(error.code)}", _seconds(error.headers.get("Retry-After", "")))
    if 300 <= error.code < 400:
        return _misled(source, label_of(error.headers.get("Location", "")) or "nowhere")
    return DataError(f"{source.label} answers {_said(error.code)}", _ALLOWED, _HINT)


def _misled(source: Source, where: str) -> DataError:
    return DataError(
        got=f"{source.label} redirects to {legible(where)}",
        allowed="http:// or https://, from https:// only https://, and no more than ten times",
        hint="if you trust that place, set url to it",
    )


def _unreachable(source: Source, reason: object) -> Exception:
    if isinstance(reason, ssl.SSLCertVerificationError):
        return DataError(
            got=f"{source.label}: its certificate is not to be trusted ({reason.verify_message})",
            allowed="a server that shows who it is",
            hint="check url and this machine's clock and certificates (SSL_CERT_FILE)",
        )
    if isinstance(reason, socket.gaierror) and reason.errno == socket.EAI_NONAME:
        return DataError(f"{source.label}: there is no such host", _ALLOWED, "check url and the network")
    if isinstance(reason, TimeoutError):
        return Broken("the server is silent")
    said = reason.strerror if isinstance(reason, OSError) else None
    return Broken(f"the connection broke ({said or type(reason).__name__})")


def _said(code: int) -> str:
    return f"{code} {responses.get(code, '')}".rstrip()  # never the server's own words


def _seconds(retry_after: str) -> float:
    """What a Retry-After asks for, a number or a date; 0 where it is neither."""
    if retry_after.strip().isascii() and retry_after.strip().isdigit():
        return float(retry_after[:9])
    try:
        return max(0.0, email.utils.parsedate_to_datetime(retry_after).timestamp() - time.time())
    except (TypeError, ValueError, OverflowError):
        return 0.0
