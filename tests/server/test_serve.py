"""`dogbreed.serve`: what it answers, asked by real HTTP."""

from __future__ import annotations

import base64
import io
import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import numpy as np
import pytest
from PIL import Image

import dogbreed.serve
from dogbreed.serving.answer import to_json
from dogbreed.serving.predictor import Predictor
from tests.conftest import Command
from tests.server.asking import Running


def png_of(photo: bytes) -> bytes:
    """The same pixels, losslessly."""
    out = io.BytesIO()
    Image.open(io.BytesIO(photo)).save(out, "PNG")
    return out.getvalue()


def npy_of(array: Any) -> bytes:
    out = io.BytesIO()
    np.save(out, array)
    return out.getvalue()


def instance(photo: bytes, **options: Any) -> dict[str, Any]:
    return {"image": base64.b64encode(photo).decode(), **options}


def form(parts: list[tuple[str, bytes]]) -> tuple[bytes, str]:
    """A multipart form of fields, and of files where the name ends on .jpg."""
    body = b""
    for name, content in parts:
        file = f'; filename="{name}"' if name.endswith(".jpg") else ""
        body += (
            f'--frontier\r\nContent-Disposition: form-data; name="{name}"{file}\r\n\r\n'.encode() + content + b"\r\n"
        )
    return body + b"--frontier--\r\n", "multipart/form-data; boundary=frontier"


def test_ping__is_200(server: Running) -> None:
    assert server.ask("/ping").status == 200


def test_invocations__answer_to_the_byte_what_the_predictor_says(
    server: Running, predictor: Predictor, photos: list[bytes]
) -> None:
    for photo in photos[:4]:
        answer = server.ask(body=photo)
        assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
        assert answer.body.decode() == to_json(predictor(photo).to_dict())


@pytest.mark.parametrize("media", ["image/jpeg", "image/png; q=1", "IMAGE/WEBP", "application/x-image"])
def test_invocations__take_any_picture_under_any_of_their_types(
    media: str, server: Running, photos: list[bytes]
) -> None:
    assert server.ask(body=png_of(photos[0]), media=media).json == server.ask(body=photos[0]).json


def test_invocations__take_pixels(server: Running, predictor: Predictor, photos: list[bytes]) -> None:
    pixels = np.stack([np.array(Image.open(io.BytesIO(photo))) for photo in photos[:2]])

    alone = server.ask(body=npy_of(pixels[0]), media="application/x-npy")
    both = server.ask(body=npy_of(pixels), media="application/x-npy")
    assert alone.json["index"] == predictor(photos[0]).index
    assert [answer["index"] for answer in both.json["predictions"]] == [predictor(photo).index for photo in photos[:2]]


def test_invocations__take_instances_with_options_of_their_own(
    server: Running, predictor: Predictor, photos: list[bytes]
) -> None:
    instances = [instance(photos[0], top_k=1), instance(b"no picture"), instance(photos[1], correct_index=3)]
    answer = server.ask(body=json.dumps({"instances": instances, "top_k": 2}).encode(), media="application/json")

    first, bad, last = answer.json["predictions"]
    assert (answer.status, set(bad)) == (200, {"error", "allowed", "hint"})
    assert (first["top_k"][0]["index"], len(first["top_k"])) == (predictor(photos[0]).index, 1)
    assert (len(last["top_k"]), last["correct"]["index"]) == (2, 3)


def test_invocations__take_forms(server: Running, predictor: Predictor, photos: list[bytes]) -> None:
    one, media = form([("a.jpg", photos[0]), ("top_k", b"3")])
    two, _ = form([("a.jpg", photos[0]), ("b.jpg", photos[1])])

    assert server.ask(body=one, media=media).body.decode() == to_json(predictor(photos[0], top_k=3).to_dict())
    found = [answer["index"] for answer in server.ask(body=two, media=media).json["predictions"]]
    assert found == [predictor(photo).index for photo in photos[:2]]


def test_invocations__take_options_from_the_query_and_from_sagemakers_header(
    server: Running, photos: list[bytes]
) -> None:
    attributes = {"X-Amzn-SageMaker-Custom-Attributes": urlencode({"correct_breed": "Breed B", "top_k": 1})}
    answer = server.ask("/invocations?top_k=2", photos[0], headers=attributes).json

    assert (len(answer["top_k"]), answer["correct"]["class_name"]) == (1, "002.Breed_B")


def test_invocations__together_answer_as_alone(server: Running, predictor: Predictor, photos: list[bytes]) -> None:
    many = photos * 4
    with ThreadPoolExecutor(16) as pool:
        answers = [answer.json for answer in pool.map(lambda photo: server.ask(body=photo), many)]

    assert [answer["index"] for answer in answers] == [predictor(photo).index for photo in many]
    expected = [predictor(photo).probability for photo in many]
    assert [answer["probability"] for answer in answers] == pytest.approx(expected, abs=1e-5)
    assert max(line["batch"] for line in server.lines() if "batch" in line) > 1


def test_invocations__answer_curl(server: Running, predictor: Predictor, shared_folder: Path) -> None:
    photo = next((shared_folder / "test").glob("*/*.jpg"))
    url = f"http://127.0.0.1:{server.port}/invocations"
    for arguments in (["-H", "Content-Type: image/jpeg", "--data-binary", f"@{photo}"], ["-F", f"picture=@{photo}"]):
        ended = subprocess.run(["curl", "-sS", *arguments, url], capture_output=True, text=True, check=True)
        assert json.loads(ended.stdout)["index"] == predictor(photo).index


BAD = [
    (400, b"no picture", "image/jpeg"),
    (400, b"", "image/jpeg"),
    (400, b"{", "application/json"),
    (400, b"[" * 100_000, "application/json"),
    (400, b'{"image": "?"}', "application/json"),
    (400, b'{"s3_uri": "s3://bucket/key"}', "application/json"),
    (400, b"\x93NUMPY\x01\x00\x10\x00", "application/x-npy"),
    (400, b"no form", "multipart/form-data; boundary=x"),
    (400, b"no form", "multipart/form-data"),
    (413, json.dumps({"instances": [{"image": ""}] * 65}).encode(), "application/json"),
    (415, b"text", "text/plain"),
]


@pytest.mark.parametrize(("status", "body", "media"), BAD)
def test_invocations__say_what_is_wrong(status: int, body: bytes, media: str, server: Running) -> None:
    answer = server.ask(body=body, media=media)

    assert answer.status == status
    assert {key: bool(value) for key, value in answer.json.items()} == {"error": True, "allowed": True, "hint": True}


@pytest.mark.parametrize("query", ["top_k=0", "top_k=x", "tok_k=1", "correct_breed=Breed+Z", "correct_index=4"])
def test_invocations__refuse_options_that_cannot_be(query: str, server: Running, photos: list[bytes]) -> None:
    assert server.ask(f"/invocations?{query}", photos[0]).status == 400


def test_server__says_which_paths_and_methods_there_are(server: Running) -> None:
    missing, wrong = server.ask("/invocatons"), server.ask("/invocations")

    assert (missing.status, wrong.status) == (404, 405)
    assert "did you mean /invocations" in missing.json["error"]
    assert wrong.json["allowed"] == "POST"


def test_server__tells_about_its_model(server: Running, predictor: Predictor) -> None:
    model = server.ask("/model").json

    assert (model["model"], model["classes"], model["explains"]) == (predictor.model, 4, True)
    assert model["limits"] == {"body_bytes": 2**20, "pixels": 1_000_000, "pictures": 64}


def test_server__explains_a_picture(server: Running, photos: list[bytes]) -> None:
    answer = server.ask("/explanations", photos[0])

    assert (answer.status, answer.headers["content-type"]) == (200, "image/jpeg")
    assert Image.open(io.BytesIO(answer.body)).size == (32, 32)
    assert [server.ask(f"/explanations?index={index}", photos[0]).status for index in ("3", "4", "-1")] == [
        200,
        400,
        400,
    ]


def test_server__has_no_thumbnail_of_what_is_no_class(server: Running) -> None:
    for index in ("4", "-1", "x", "..%2fartifact.json", "9" * 30):
        assert server.ask(f"/thumbnails/{index}").status == 404


def test_page__may_run_only_its_own_files(server: Running) -> None:
    for path in ("/", "/page.css", "/page.js"):
        answer = server.ask(path)
        assert (answer.status, answer.headers["x-content-type-options"]) == (200, "nosniff")
        assert "default-src 'none'; script-src 'self'" in answer.headers["content-security-policy"]


def test_metrics__count_what_was_answered(server: Running, photos: list[bytes]) -> None:
    before = server.metric("dogbreed_pictures_total")
    server.ask(body=photos[0])

    assert server.metric("dogbreed_pictures_total") == before + 1
    assert (server.metric("dogbreed_waiting_pictures"), server.metric("dogbreed_body_bytes")) == (0, 0)


def test_log__has_a_line_of_json_for_each_request(server: Running, photos: list[bytes]) -> None:
    server.ask(body=photos[0], headers={"X-Amzn-RequestId": "this-one"})
    line = server.line_of("this-one")

    assert {key: line[key] for key in ("event", "method", "path", "status", "pictures", "batch")} == {
        "event": "request",
        "method": "POST",
        "path": "/invocations",
        "status": 200,
        "pictures": 1,
        "batch": 1,
    }


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--artifact", "nowhere"], "error: no artifact.json in nowhere"),
        (["--port", "70000"], "70000 is no port"),
        (["--batch-size", "0"], "0 is not a whole number above 0"),
        (["--s3-prefix", "s3://bucket/prefix"], "error: --s3-prefix s3://bucket/prefix"),
        (["--host", "203.0.113.1"], "error: 203.0.113.1:8080 cannot be listened on"),
    ],
)
def test_serve__says_why_it_cannot_start(options: list[str], said: str, command: Command, trained_run: Path) -> None:
    ended = command(dogbreed.serve.main, "--artifact", trained_run / "artifact", *options)

    assert ended.code in (1, 2)
    assert said in ended.err
    assert "Traceback" not in ended.err


def test_serve__without_its_extra_names_it() -> None:
    code = "import sys; sys.modules['uvicorn'] = None; from dogbreed.serve import main; main(['--artifact', 'x'])"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)

    assert ended.stderr.splitlines() == [
        "error: the package uvicorn is missing",
        "  allowed: the extra serving",
        "  what to do: pip install 'dogbreed[serving]'",
    ]
