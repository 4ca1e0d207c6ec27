"""Thousands of requests that mean no good: each gets its answer, and the next good one too."""

from __future__ import annotations

import base64
import io
import json
import random
import re
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image

from tests.server.asking import serving

pytestmark = pytest.mark.slow

REQUESTS = 5_000
MEDIA = ["image/jpeg", "image/png", "image/webp", "application/x-image", "application/x-npy", "application/json"]
MEDIA += [
    "multipart/form-data; boundary=b",
    "multipart/form-data",
    "text/html",
    "",
    "image/jpeg\t;",
    "application/json;;",
]
URIS = ["s3://a/../b", "s3://dogs/photos/../x", "file:///etc/passwd", "http://169.254.169.254/", "s3://", "gopher://x"]
VALUES = ["-1", "0", "9" * 400, "1e9", "NaN", "null", "[]", '"\\ud800"', '"x"', "true", "1.5", "{}", "5"]

Hostile = tuple[str, bytes, list[tuple[str, str]]]  # a path, a body, headers
Kind = Callable[[random.Random, list[bytes]], Hostile]


def mutated(rng: random.Random, photos: list[bytes]) -> Hostile:
    """A picture with some bytes changed, cut, or doubled."""
    content = bytearray(rng.choice(photos))
    for _ in range(rng.randrange(1, 20)):
        content[rng.randrange(len(content))] = rng.randrange(256)
    cut = rng.randrange(len(content)) if rng.random() < 0.3 else len(content)
    return "/invocations", bytes(content[:cut]) * rng.randrange(1, 3), [("Content-Type", rng.choice(MEDIA))]


def noise(rng: random.Random, photos: list[bytes]) -> Hostile:
    """Bytes behind the beginning of some format."""
    starts = [
        b"",
        b"\xff\xd8\xff",
        b"\x89PNG\r\n\x1a\n",
        b"RIFF\xff\xff\xff\xffWEBPVP8 ",
        b"GIF89a",
        b"II*\0",
        b"\x93NUMPY",
    ]
    content = rng.choice(starts) + rng.randbytes(rng.randrange(3000))
    return "/invocations", content, [("Content-Type", rng.choice(MEDIA))]


def bomb(rng: random.Random, photos: list[bytes]) -> Hostile:
    """A small file of very many, or very narrow, pixels."""
    out = io.BytesIO()
    size = rng.choice([(6000, 6000), (20_000, 2), (65_000, 1), (3000, 2999)])
    Image.new(rng.choice("L1"), size).save(out, "PNG")
    return "/invocations", out.getvalue(), [("Content-Type", "image/png")]


def scans(rng: random.Random, photos: list[bytes]) -> Hostile:
    """A small JPEG whose pixels are gone over again and again."""
    out = io.BytesIO()
    Image.new("RGB", (1000, 900)).save(out, "JPEG", progressive=True)
    start = out.getvalue().rindex(b"\xff\xda")
    content = out.getvalue()[:start] + out.getvalue()[start:-2] * rng.choice([5, 100, 3000])
    return "/invocations", content, [("Content-Type", "image/jpeg")]


def array(rng: random.Random, photos: list[bytes]) -> Hostile:
    """An array of the wrong kind, or with a header that lies."""
    out = io.BytesIO()
    shape = rng.choice([(4, 4, 3), (4, 4), (0, 4, 3), (70, 2, 2, 3), (2, 4, 4, 3), (1, 300, 3), (3,)])
    np.save(out, np.zeros(shape, rng.choice(["u1", "f4", "<U3", "i8"])), allow_pickle=False)
    lie = rng.choice(
        [
            b"(4, 4, 3)",
            b"(99999, 99999, 3)",
            b"(-1, 4, 3)",
            b"(-4,-4,3)",
            b"(4,True,3)",
            b"__import__('os')",
            b"(((((((((",
        ]
    )
    content = out.getvalue()
    return (
        "/invocations",
        rng.choice([content, content.replace(b"(4, 4, 3)", lie), content[: rng.randrange(130)]]),
        [("Content-Type", "application/x-npy")],
    )


def text(rng: random.Random, photos: list[bytes]) -> Hostile:
    """JSON that is broken, deep, or says what cannot be."""
    value = rng.choice(VALUES)
    image = base64.b64encode(rng.choice(photos)).decode()
    deep = rng.choice(["[", '{"a":', '{"instances":[']) * rng.choice([10, 3000, 60_000])
    content = rng.choice(
        [
            deep,
            "{" * 5,
            f'{{"image": {value}}}',
            f'{{"image": "{image}", "top_k": {value}}}',
            f'{{"image": "{image}", "correct_index": {value}}}',
            f'{{"image": "{image}", "correct_breed": {value}}}',
            f'{{"instances": {value}}}',
            f'{{"instances": [{value}, {{"image": "{image}"}}]}}',
            f'{{"s3_uri": {value}}}',
            '{"instances": [' + "{}," * rng.choice([10, 100_000]) + "{}]}",
            json.dumps({"s3_uri": rng.choice(URIS)}),
            json.dumps({"instances": [{"s3_uri": rng.choice(URIS)}, {"image": image[: rng.randrange(99)]}]}),
        ]
    )
    return "/invocations", content.encode(), [("Content-Type", "application/json")]


def forms(rng: random.Random, photos: list[bytes]) -> Hostile:
    """A form with parts missing or broken."""
    part = b'--b\r\nContent-Disposition: form-data; name="x"; filename="../../etc/passwd"\r\n\r\n'
    content = part * rng.choice([1, 2, 100]) + rng.choice(photos) + rng.choice([b"", b"\r\n--b--\r\n", b"\r\n--b--"])
    for _ in range(rng.randrange(4)):
        where = rng.randrange(min(300, len(content)))
        content = content[:where] + rng.randbytes(1) + content[where + 1 :]
    return rng.choice(["/invocations", "/explanations"]), content, [("Content-Type", MEDIA[6])]


def options(rng: random.Random, photos: list[bytes]) -> Hostile:
    """Options that cannot be, in the query and in the header."""
    name = rng.choice(["top_k", "correct_breed", "correct_index", "index", "x", "%ff", "top_k%5B%5D"])
    value = rng.choice([*VALUES, "%00", "%ff%fe", "a" * 5000, "Breed+B", "1&top_k=2"]).replace('"', "%22")
    headers = [("Content-Type", "image/jpeg"), ("X-Amzn-SageMaker-Custom-Attributes", f"{name}={value}")]
    path = rng.choice(["/invocations", "/explanations"])
    return f"{path}?{name}={value}", rng.choice(photos), headers[: rng.randrange(1, 3)]


def paths(rng: random.Random, photos: list[bytes]) -> Hostile:
    """Paths that lead elsewhere."""
    path = rng.choice(["/../../etc/passwd", "/thumbnails/..%2f..%2fartifact.json", "/thumbnails/%00", "/page.css/../x"])
    return path + rng.choice(["", "/", "?x", "%0d%0aX:y", "//"]), b"", []


def headers(rng: random.Random, photos: list[bytes]) -> Hostile:
    """Headers that are too many, too long, or contradict each other."""
    wrong = rng.choice(
        [
            [("X-Long", "x" * rng.choice([1000, 30_000, 100_000]))],
            [(f"X-{number}", "y") for number in range(rng.choice([100, 5000]))],
            [("Content-Length", "7")],
            [("Content-Length", rng.choice(["-1", "x", "9" * 19, "9" * 5000]))],
            [("Transfer-Encoding", rng.choice(["chunked", "gzip", "chunked, chunked"]))],
            [("X-Amzn-RequestId", rng.choice(["\xff" * 200, "a" * 99 + " b", "\x7f", "a b"]))],
            [("Expect", "100-continue"), ("Upgrade", "websocket"), ("Connection", "upgrade")],
            [("Host", "evil.example"), ("Host", "two")],
        ]
    )
    return "/invocations", rng.choice(photos)[:2000], [("Content-Type", "image/jpeg"), *wrong]


KINDS: list[Kind] = [mutated, noise, bomb, scans, array, text, forms, options, paths, headers]


def raw(hostile: Hostile, rng: random.Random) -> list[bytes]:
    """The request's bytes, in one part or, now and then, in some that come slowly."""
    path, body, fields = hostile
    named = {name.lower() for name, _ in fields}
    length = [] if named & {"content-length", "transfer-encoding"} else [("Content-Length", str(len(body)))]
    lines = [f"{'POST' if body else 'GET'} {path} HTTP/1.1", "Host: x", "Connection: close"]
    lines += [f"{name}: {value}" for name, value in [*fields, *length]]
    whole = "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body
    if rng.random() < 0.97:
        return [whole]
    cuts = sorted(rng.randrange(len(whole)) for _ in range(3))
    return [whole[start:end] for start, end in zip([0, *cuts], [*cuts, len(whole)], strict=True)]


def test_server__outlives_hostile_requests(trained_run: Path, tmp_path: Path, photos: list[bytes]) -> None:
    log = tmp_path / "log.jsonl"
    limits = ["--max-body-mb", "0.5", "--max-pixels", "9000000", "--s3-prefix", "s3://dogs/photos/"]
    with serving(trained_run / "artifact", log, *limits, env={"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}) as running:
        process = psutil.Process(running.process.pid)

        def attack(number: int) -> tuple[str, int, bytes]:
            rng = random.Random(number)
            kind = KINDS[number % len(KINDS)]
            parts = raw(kind(rng, photos), rng)
            answer = running.send(*parts, wait_s=15, pause_s=0.3 if len(parts) > 1 else 0)
            found = re.match(rb"(?:HTTP/1.1 100 [^\n]*\n\r\n)?HTTP/1.1 (\d+)", answer)
            return kind.__name__, int(found[1]) if found else 0, answer

        with ThreadPoolExecutor(16) as pool:
            answers = list(pool.map(attack, range(500)))
            early = process.memory_info().rss
            for start in range(500, REQUESTS, 500):
                answers += pool.map(attack, range(start, start + 500))
                assert running.ask(body=photos[0]).status == 200
        late = process.memory_info().rss
        assert running.metric("dogbreed_waiting_pictures") == running.metric("dogbreed_body_bytes") == 0

    counts = Counter(status for _, status, _ in answers)
    print(dict(sorted(counts.items())), f"{early / 2**20:.0f} -> {late / 2**20:.0f} MiB")
    assert set(counts) <= {0, 200, 400, 404, 405, 408, 413, 415, 503}  # 0: closed while it was still sending
    assert not [kind for kind, status, _ in answers if status == 0 and kind not in ("headers", "paths")]
    assert not [answer for _, _, answer in answers if b"Traceback" in answer]
    assert not [line for line in running.lines() if line["level"] == "error"]
    assert late < early + 150 * 2**20
