"""What a request holds is read, or refused with the status that says why."""

from __future__ import annotations

import base64
import io
import json
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from dogbreed.data.images import decode_image
from dogbreed.errors import ImageError, RequestError
from dogbreed.serving.answer import Wish, to_json
from dogbreed.serving.exchange import (
    ARRAY,
    JSON,
    MAX_PICTURES,
    MEDIA_TYPES,
    PICTURES,
    S3Picture,
    answer_body,
    read_attributes,
    read_question,
    write_answer,
    write_error,
)
from dogbreed.serving.predictor import Predictor


@pytest.fixture(scope="module")
def predictor(trained_run: Path) -> Predictor:
    return Predictor.load(trained_run / "artifact")


@pytest.fixture(scope="module")
def picture(shared_folder: Path) -> bytes:
    return min((shared_folder / "test").glob("*/*.jpg")).read_bytes()


def saved(array: Any) -> bytes:
    """As numpy.save writes it."""
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def pixels_of(picture: bytes) -> Any:
    return decode_image(picture).permute(1, 2, 0).numpy()


def coded(picture: bytes) -> str:
    return base64.b64encode(picture).decode()


def body(content: Any) -> bytes:
    return json.dumps(content).encode()


def ways_of(picture: bytes) -> list[tuple[bytes, str]]:
    """The same picture in every form that holds the same pixels, with its media type."""
    png = io.BytesIO()
    Image.open(io.BytesIO(picture)).save(png, "PNG")
    ways = [(picture, "image/jpeg"), (picture, "application/x-image"), (png.getvalue(), "IMAGE/PNG; q=1")]
    return [*ways, (saved(pixels_of(picture)), ARRAY), (body({"image": coded(picture)}), f"{JSON}; charset=utf-8")]


def test_answer_body__is_what_the_predictor_says_whatever_the_form(predictor: Predictor, picture: bytes) -> None:
    expected = to_json(predictor(picture).to_dict()).encode()

    assert [answer_body(predictor, *way) for way in ways_of(picture)] == [expected] * 5


def test_answer_body__reads_webp(predictor: Predictor, picture: bytes) -> None:
    webp = io.BytesIO()
    Image.open(io.BytesIO(picture)).save(webp, "WEBP", lossless=True)

    assert json.loads(answer_body(predictor, webp.getvalue(), "image/webp")) == predictor(picture).to_dict()


@pytest.mark.parametrize("media", PICTURES)
def test_question__takes_options(media: str, picture: bytes) -> None:
    question = read_question(picture, media, {"top_k": "2", "correct_breed": "Breed A"})

    assert question.wishes == (Wish(2, "Breed A"),)


def test_question__of_several_has_the_options_of_each(picture: bytes) -> None:
    one = {"image": coded(picture)}
    content = {"instances": [one, {**one, "top_k": 1}, {"s3_uri": "s3://b/k", "correct_index": 3}], "top_k": 2}
    question = read_question(body(content), JSON, {"top_k": "9", "correct_breed": None})  # type: ignore[dict-item]

    assert question.wishes == (Wish(2), Wish(1), Wish(2, None, 3))
    assert question.pictures == (picture, picture, S3Picture("s3://b/k"))


def test_answer_body__of_several_says_in_its_place_what_cannot_be_read(predictor: Predictor, picture: bytes) -> None:
    content = {"instances": [{"image": coded(one)} for one in (picture, b"no picture")]}
    answered = json.loads(answer_body(predictor, body(content), JSON))

    assert answered["predictions"][0] == predictor(picture).to_dict()
    assert set(answered["predictions"][1]) == {"error", "allowed", "hint"}


def test_answer_body__of_pixels_answers_for_each(predictor: Predictor, picture: bytes) -> None:
    pixels = pixels_of(picture)
    answered = json.loads(answer_body(predictor, saved(np.stack([pixels, 255 - pixels])), ARRAY))

    assert len(answered["predictions"]) == 2


@pytest.mark.parametrize("media", [None, "", "text/plain", "image/gif", "application/x-www-form-urlencoded", "é" * 500])
def test_question__of_another_type_is_415(media: str | None) -> None:
    with pytest.raises(RequestError) as caught:
        read_question(b"x", media)
    assert (caught.value.status, caught.value.allowed) == (415, ", ".join(MEDIA_TYPES))


BAD_JSON = [
    b"",
    b"{",
    b"\xff",
    b"[]",
    b"null",
    b'"text"',
    b"1e999",
    b"[" * 100_000,
    b"9" * 10_000,
    body({}),
    body({"image": "?"}),
    body({"image": 7}),
    body({"image": None}),
    body({"image": "", "s3_uri": "s3://b/k"}),
    body({"instances": []}),
    body({"instances": {}}),
    body({"instances": [7]}),
    body({"instances": [{}]}),
    body({"instances": [{"image": "é"}]}),
    body({"instances": [{"image": ""}], "image": ""}),
    body({"image": "", "top_k": 0}),
    body({"image": "", "top_k": -1}),
    body({"image": "", "top_k": True}),
    body({"image": "", "top_k": 1.5}),
    body({"image": "", "top_k": "many"}),
    body({"image": "", "top_k": [1]}),
    body({"image": "", "topk": 1}),
    body({"image": "", "correct_breed": 3}),
    body({"image": "", "correct_breed": "Chow" * 1000}),
    body({"image": "", "topk" * 1000: 1}),
    body({"image": "", "correct_breed": "A", "correct_index": 3}),
]


@pytest.mark.parametrize("content", BAD_JSON, ids=lambda content: content[:30].decode(errors="replace"))
def test_question__of_bad_json_is_400(content: bytes) -> None:
    with pytest.raises(RequestError) as caught:
        read_question(content, JSON)
    assert caught.value.status == 400


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"", 400),
        (b"\x93NUMPY", 400),
        (b"\x93NUMPY\x09\x00\x10\x00", 400),
        (saved(np.zeros((4, 4, 3), np.float32)), 400),
        (saved(np.zeros((4, 4), np.uint8)), 400),
        (saved(np.zeros((4, 4, 4), np.uint8)), 400),
        (saved(np.zeros((0, 4, 3), np.uint8)), 400),
        (saved(np.asfortranarray(np.zeros((4, 5, 3), np.uint8))), 400),
        (saved(np.zeros((4, 4, 3), np.uint8))[:-1], 400),
        (saved(np.zeros((4, 4, 3), np.uint8)) + b"x", 400),
        (saved(np.zeros((MAX_PICTURES + 1, 2, 2, 3), np.uint8)), 413),
        (saved(np.array([{"a": 1}], dtype=object)), 400),
        (saved(np.zeros((4, 4, 3), np.uint8)).replace(b"(4, 4, 3), }  ", b"(-4, -4, 3), }"), 400),
        (saved(np.zeros((1, 1, 3), np.uint8)).replace(b"(1, 1, 3), }      ", b"(True, True, 3), }"), 400),
    ],
)
def test_question__of_a_bad_array_is_refused(content: bytes, status: int) -> None:
    with pytest.raises(RequestError) as caught:
        read_question(content, ARRAY)
    assert caught.value.status == status


def test_question__of_an_array_that_only_says_it_is_large_reserves_nothing() -> None:
    text = "{'descr': '|u1', 'fortran_order': False, 'shape': (100000, 100000, 3), }".ljust(117) + "\n"
    with pytest.raises(RequestError) as caught:
        read_question(b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode(), ARRAY)
    assert caught.value.status == 413


def status_of(content: bytes, media: str) -> int:
    """Of the answer that a question gets as far as it is read; any other exception is a defect."""
    try:
        read_question(content, media)
    except RequestError as error:
        return error.status
    return 200


@given(st.binary(max_size=300), st.sampled_from(MEDIA_TYPES))
def test_question__of_any_bytes_is_read_or_refused(content: bytes, media: str) -> None:
    assert status_of(content, media) in (200, 400, 413)


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(max_size=5) | st.integers(),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["instances", "image", "s3_uri", "top_k", "x"]), inner, max_size=3)
        ),
    )
)
def test_question__of_any_json_is_read_or_refused(content: Any) -> None:
    assert status_of(body(content), JSON) in (200, 400, 413)


def test_question__of_too_many_values_is_not_even_parsed() -> None:
    content = b'{"instances": [' + b"{}," * 300_000 + b"{}]}"
    tracemalloc.start()
    with pytest.raises(RequestError, match="more values") as caught:
        read_question(content, JSON)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (caught.value.status, most < 100_000) == (400, True)


def test_question__of_too_many_is_413() -> None:
    with pytest.raises(RequestError) as caught:
        read_question(body({"instances": [{"image": ""}] * (MAX_PICTURES + 1)}), JSON)
    assert caught.value.status == 413


@pytest.mark.parametrize("options", [{"top_k": "x"}, {"top_k": "٣"}, {"top_k": "9" * 5000}, {"topk": "1"}])
def test_question__with_a_bad_option_is_400(options: dict[str, str], picture: bytes) -> None:
    with pytest.raises(RequestError) as caught:
        read_question(picture, "image/jpeg", options)
    assert caught.value.status == 400


@pytest.mark.parametrize("options", [{"correct_breed": "Wolf"}, {"correct_index": "4"}])
def test_answer_body__for_no_class_of_its_own_is_400(
    options: dict[str, str], predictor: Predictor, picture: bytes
) -> None:
    with pytest.raises(RequestError) as caught:
        answer_body(predictor, picture, "image/jpeg", options)
    assert caught.value.status == 400


def test_answer_body__of_s3_is_for_servers_that_may(predictor: Predictor) -> None:
    with pytest.raises(RequestError, match="--s3-prefix"):
        answer_body(predictor, body({"s3_uri": "s3://bucket/key.jpg"}), JSON)


def test_answer_body__of_no_picture_is_400(predictor: Predictor) -> None:
    with pytest.raises(RequestError) as caught:
        answer_body(predictor, b"no picture", "image/jpeg")
    assert caught.value.status == 400


def test_write_answer__of_a_bad_picture_among_several_is_an_object() -> None:
    bad = ImageError("got", "allowed", "hint")

    assert json.loads(write_answer([bad], single=False)) == {"predictions": [json.loads(write_error(bad))]}


@pytest.mark.parametrize("text", [None, "", "&&", "top_k", "=", "%zz=1", "a=1;b=2"])
def test_attributes__of_any_text_are_read(text: str | None) -> None:
    assert isinstance(read_attributes(text), dict)
