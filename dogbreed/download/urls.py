"""Where an archive comes from: an address split into what is asked for, what may be shown, and what may be known."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit, urlunsplit
from urllib.request import url2pathname

from dogbreed.errors import ConfigError

_ALLOWED = "http://, https:// or file://, or the path of a file"
_HINT = "set url=URL_OR_FILE"


@dataclass(frozen=True)
class Source:
    """A parsed URL or path.

    Attributes:
        path: of a file on this machine; None for what is fetched.
        request: the URL to ask for, without a name, a password or a fragment; "" for a path.
        authorization: the header that says the name and the password; "" without.
        label: for messages and files: without any of these, and without the values of a query, which may be keys.
        sha256: what the fragment says the archive has; None where it says nothing.
        size_bytes: the same.
    """

    path: Path | None
    request: str
    authorization: str
    label: str
    sha256: str | None
    size_bytes: int | None


def parse_source(url: str) -> Source:
    """The parts of a URL or path; `#sha256=...&size_bytes=...` at the end of a URL says what the archive must be.

    >>> source = parse_source("https://me:secret@example.org/dogs.zip?key=abc#size_bytes=12")
    >>> source.request, source.label, source.size_bytes
    ('https://example.org/dogs.zip?key=abc', 'https://example.org/dogs.zip?...', 12)

    Raises:
        ConfigError: it has no scheme that is read here, no host or a fragment that says something else.
    """
    if not re.match(r"[A-Za-z][A-Za-z0-9+.-]+:", url):
        path = Path(url).expanduser()
        return Source(path, "", "", str(path), None, None)
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise ConfigError("url is no URL that can be read", _ALLOWED, _HINT) from None
    label = label_of(url)
    if any(not "!" <= character <= "~" for character in url):
        raise ConfigError(f"url {label!a} has a blank or a letter that URLs cannot have", "%20 for a blank", _HINT)
    scheme = parts.scheme.lower()
    sha256, size_bytes = _fragment(parts.fragment, label)
    if scheme == "file":
        if host not in ("", "localhost"):
            raise ConfigError(f"{label} names the host {host}", "file:///PATH", _HINT)
        return Source(Path(url2pathname(parts.path)), "", "", label, sha256, size_bytes)
    if scheme not in ("http", "https"):
        raise ConfigError(f"{label} begins with {scheme}:", _ALLOWED, _HINT)
    if not host:
        raise ConfigError(f"{label} has no host", "http://HOST/PATH", _HINT)
    request = urlunsplit((scheme, _host(host, port), parts.path or "/", parts.query, ""))
    return Source(None, request, _authorization(parts.username, parts.password), label, sha256, size_bytes)


def label_of(url: str) -> str:
    """A URL without name, password, fragment and the values of its query: what may be shown.

    >>> label_of("https://me:secret@example.org/dogs.zip?X-Amz-Signature=abc")
    'https://example.org/dogs.zip?...'
    """
    try:
        parts = urlsplit(url)
        host = _host(parts.hostname or "", parts.port)
    except ValueError:
        return "a URL that cannot be read"
    return urlunsplit((parts.scheme, host, parts.path, "", "")) + ("?..." if parts.query else "")


def check_sha256(value: str | None) -> str | None:
    """A SHA-256 in small letters.

    Raises:
        ConfigError: it is none.
    """
    if value is not None and not re.fullmatch("[0-9a-f]{64}", str(value).lower()):
        raise ConfigError(f"sha256={value}", "64 hexadecimal digits, or null", "leave it out, or copy all of it")
    return str(value).lower() if value is not None else None


def _host(host: str, port: int | None) -> str:
    bracketed = f"[{host}]" if ":" in host else host
    return bracketed if port is None else f"{bracketed}:{port}"


def _authorization(name: str | None, password: str | None) -> str:
    if name is None:
        return ""
    pair = f"{unquote(name)}:{unquote(password or '')}"
    return f"Basic {base64.b64encode(pair.encode()).decode()}"


def _fragment(fragment: str, label: str) -> tuple[str | None, int | None]:
    if not fragment:
        return None, None
    said = {key: values[-1] for key, values in parse_qs(fragment, keep_blank_values=True).items()}
    size_bytes = said.pop("size_bytes", None)
    sha256 = said.pop("sha256", None)
    if said or (size_bytes is not None and not re.fullmatch("[0-9]{1,15}", size_bytes)):
        raise ConfigError(
            f"{label} ends in #{ascii(fragment)[1:-1]}", "#sha256=DIGITS, #size_bytes=NUMBER, or both with &", _HINT
        )
    return check_sha256(sha256), int(size_bytes) if size_bytes is not None else None
