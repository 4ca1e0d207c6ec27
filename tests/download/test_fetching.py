"""Downloads from a real server that breaks, lies and stalls: what is left is whole or not there, after every step."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from functools import partial
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from dogbreed.download.guard import DamagedError, LimitError
from dogbreed.errors import DataError
from tests.download.downloading import OTHER, SHA256, TREE, ZIP, Place
from tests.download.lying_server import (
    Handler,
    Lie,
    answers,
    breaks_after,
    honest,
    never_ends,
    says_size,
    sends,
    sends_another_part,
    sends_chunks,
    sends_part_of_another_version,
    serving,
    speaks_no_http,
    stalls,
    stalls_after,
    until_closed,
    without_ranges,
)


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.fixture
def place(tmp_path: Path) -> Place:
    (tmp_path / "data").mkdir()
    return Place(tmp_path / "data" / "dogs")


RESUMED: dict[str, tuple[list[Lie], list[str | None]]] = {
    "breaks": ([breaks_after(300_000)], [None, "bytes=300000-"]),
    "busy": ([breaks_after(9), answers(503, Retry_After=0), answers(500)], [None, *["bytes=9-"] * 3]),
    "no HTTP": ([breaks_after(9), speaks_no_http], [None, *["bytes=9-"] * 2]),
    "cannot resume": ([breaks_after(300_000), without_ranges], [None, "bytes=300000-"]),
    "resumes elsewhere": ([breaks_after(9), sends_another_part], [None, "bytes=9-", None]),
    "resumes another version": ([breaks_after(9), sends_part_of_another_version], [None, "bytes=9-", None]),
    "416": ([breaks_after(9), answers(416)], [None, "bytes=9-", None]),
    "no version": ([breaks_after(9, etag=None)], [None, None]),
    "weak version": ([breaks_after(9, etag='W/"1"')], [None, None]),
    "says more": ([says_size(5000)], [None, f"bytes={len(ZIP)}-", None]),
    "says less": ([says_size(-5000)], [None, None]),
    "other content": ([sends(OTHER[:-30] + bytes(30))], [None, None]),
    "chunks": ([sends_chunks()], [None]),
    "broken chunks": ([sends_chunks(whole=False)], [None, f"bytes={len(ZIP) // 2}-"]),
    "no size": ([until_closed], [None]),
    "empty": ([sends(b"")], [None, None]),
}


@pytest.mark.parametrize("kind", RESUMED)
def test_fetch__ends_right_whatever_the_server_does_first(kind: str, place: Place) -> None:
    lies, ranges = RESUMED[kind]
    with serving(ZIP, *lies) as server:
        place.get(server.url)

    assert (place.tree(), place.beside(), server.ranges) == (TREE, [], ranges)
    assert ("fetched once more" in place.said) == (kind in ("says less", "other content", "empty"))
    assert all(request["accept-encoding"] == "identity" for request in server.asked)


@pytest.mark.parametrize("lie", [stalls_after(300_000), stalls])
def test_fetch__asks_again_where_the_server_is_silent(lie: Lie, place: Place) -> None:
    with serving(ZIP, lie) as server:
        place.get(server.url, timeout_s=1, retries=30)

    assert (place.tree(), len(server.asked) > 1) == (TREE, True)
    assert "the server is silent: trying again" in place.said


def test_fetch__starts_over_where_the_file_has_changed(place: Place) -> None:
    with serving(ZIP, breaks_after(300_000), partial(honest, etag='"version-2"')) as server:
        place.get(server.url)

    assert (place.tree(), server.asked[1]["if-range"]) == (TREE, '"version-1"')
    assert "from the start" in place.said


def test_fetch__gives_up_after_its_retries(place: Place) -> None:
    busy = [answers(503)] * 9
    with serving(ZIP, *busy) as server, pytest.raises(DataError, match="503 Service Unavailable, 4 times in a row"):
        place.get(server.url)

    assert (len(server.asked), place.tree(), place.beside()) == (4, None, [])


def test_fetch__counts_only_tries_that_bring_nothing_new(place: Place) -> None:
    def breaks_again(request: Handler) -> None:
        request.server.content, whole = request.server.content[: 100_000 * len(request.server.asked)], ZIP
        start = int(request.headers.get("Range", "bytes=0-")[6:-1])
        request.begin(206, Content_Range=f"bytes {start}-{len(ZIP) - 1}/{len(ZIP)}", Content_Length=len(ZIP) - start)
        request.wfile.write(request.server.content[start:])
        request.server.content = whole
        request.break_off()

    with serving(ZIP, breaks_after(100_000), *[breaks_again] * 6) as server:
        place.get(server.url, retries=1)

    assert (place.tree(), len(server.asked)) == (TREE, 8)


@pytest.mark.parametrize("status", [401, 403, 404, 410, 204])
def test_fetch__asks_once_for_what_is_refused(status: int, place: Place) -> None:
    with serving(ZIP, answers(status)) as server, pytest.raises(DataError, match=str(status)):
        place.get(server.url)

    assert (len(server.asked), place.tree(), place.beside()) == (1, None, [])


@pytest.mark.parametrize(
    ("settings", "got"),
    [({"sha256": "0" * 64}, f"has sha256={SHA256}"), ({"size_bytes": 5}, f"has {len(ZIP):,} bytes")],
)
def test_fetch__tries_twice_for_the_right_content(settings: Any, got: str, place: Place) -> None:
    with serving(ZIP) as server, pytest.raises(DamagedError, match=got):
        place.get(server.url, **settings)

    assert (server.ranges, place.tree(), place.beside()) == ([None, None], None, [])


def test_fetch__takes_the_right_content_after_a_wrong_one(place: Place) -> None:
    with serving(ZIP, sends(OTHER), breaks_after(5000)) as server:
        place.get(f"{server.url}#sha256={SHA256}&size_bytes={len(ZIP)}", sha256=SHA256)

    assert place.tree() == TREE
    assert "fetched once more" in place.said


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://example.org/x", "/loop"])
def test_fetch__follows_no_redirect_out_of_the_web(url: str, place: Place) -> None:
    with serving(ZIP, *[answers(302, Location=url)] * 20) as server, pytest.raises(DataError, match="redirects to"):
        place.get(server.url)

    assert place.tree() is None


def test_fetch__follows_a_redirect_and_keeps_the_password_from_the_other_server(place: Place) -> None:
    with serving(ZIP) as other, serving(b"", answers(302, Location=f"{other.url}?token=abc")) as server:
        place.get(server.url.replace("http://", "http://me:secret@"))

    assert (place.tree(), "authorization" in other.asked[0]) == (TREE, False)
    assert server.asked[0]["authorization"] == "Basic bWU6c2VjcmV0"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key and a certificate for 127.0.0.1 that nobody has signed."""
    x509 = pytest.importorskip("cryptography.x509")
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([])
    now = datetime.now(timezone.utc)
    address = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    made = x509.CertificateBuilder(name, name, key.public_key(), 1, now - timedelta(days=1), now + timedelta(days=1))
    made = made.add_extension(address, critical=True).sign(key, hashes.SHA256())
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    file = tmp_path_factory.mktemp("tls") / "both.pem"
    file.write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain) + made.public_bytes(pem))
    return file


def test_fetch__believes_no_server_without_a_certificate(certificate: Path, place: Place) -> None:
    with serving(ZIP, certificate=certificate) as server, pytest.raises(DataError, match="not to be trusted"):
        place.get(server.url)

    assert server.asked == []


def test_fetch__follows_no_redirect_from_https_to_http(
    certificate: Path, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with serving(ZIP) as plain, serving(ZIP, answers(302, Location=plain.url), certificate=certificate) as server:
        with pytest.raises(DataError, match="redirects to http://"):
            place.get(server.url)
        assert (place.tree(), plain.asked) == (None, [])
        place.get(server.url)

    assert place.tree() == TREE


def test_fetch__hides_passwords_and_keys(place: Place, capfd: pytest.CaptureFixture[str]) -> None:
    lies = [breaks_after(300_000), answers(503), answers(404)]
    with serving(ZIP, *lies) as server:
        url = server.url.replace("http://", "http://me:secret1@") + "?X-Amz-Signature=secret2"
        with pytest.raises(DataError) as raised:
            place.get(url)
        left = [path.read_text("latin-1") for path in place.root.parent.rglob("*.json")]
        place.get(url)
        left += [path.read_text("latin-1") for path in place.root.parent.rglob("*.json")]
        left += [path.read_text("latin-1") for path in place.root.glob(".*")]

    assert "secret" not in "\n".join([place.said, str(raised.value), *capfd.readouterr(), *left])
    assert "secret2" in server.asked[-1]["path"]
    assert len(left) >= 2


def test_fetch__ends_what_has_no_end(place: Place) -> None:
    with serving(ZIP, never_ends) as server, pytest.raises(LimitError, match=r"limits\.max_gb"):
        place.get(server.url)
