"""What travels when pictures are asked about: the bytes of a request as a question, answers as the bytes of a response.

The local server and SageMaker's handlers share it; it knows no web framework.
"""

from __future__ import annotations

import base64
import binascii
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any
from urllib.parse import parse_qsl

import numpy as np
import torch
from torch import Tensor

from dogbreed.data.images import MAX_PIXELS
from dogbreed.errors import ConfigError, DogbreedError, ImageError, RequestError, TooLargeError
from dogbreed.serving.answer import Prediction, Wish, to_json
from dogbreed.serving.predictor import Predictor

JSON = "application/json"
ARRAY = "application/x-npy"
#: A picture's file; which format it has, its content says.
PICTURES = ("image/jpeg", "image/png", "image/webp", "application/x-image")
MEDIA_TYPES = (*PICTURES, ARRAY, JSON)

MAX_PICTURES = 64  # of a request
# Commas and brackets of a JSON body, where a picture and its options take ten: {},{},... grows to 20 times its size.
_MOST_MARKS = 10_000
_OPTIONS = tuple(field.name for field in fields(Wish))


@dataclass(frozen=True)
class S3Picture:
    """A picture that the request only names: s3://BUCKET/KEY."""

    uri: str


@dataclass(frozen=True)
class Question:
    """What a request asks.

    Attributes:
        pictures: files' contents, uint8 tensors (3, H, W), or what is still to be fetched.
        wishes: one for each.
        single: whether one picture was asked about, and one object is the answer.
    """

    pictures: tuple[bytes | Tensor | S3Picture, ...]
    wishes: tuple[Wish, ...]
    single: bool


def read_question(body: bytes, content_type: str | None, options: Mapping[str, str] | None = None) -> Question:
    """The question that a request's body and options hold.

    Args:
        body: of the request.
        content_type: its header; parameters such as a charset are passed over.
        options: of the query string, or of SageMaker's custom attributes; see `Wish`.

    Raises:
        RequestError: 415 for another media type, 413 for too many pictures or pixels, 400 for all else.
    """
    media = media_type(content_type)
    try:
        wish = Wish.read(options or {})
        if media == JSON:
            return _read_json(body, options or {})
        if media == ARRAY:
            return _read_array(body, wish)
    except ConfigError as error:
        raise RequestError(400, error.got, error.allowed, error.hint) from error
    if media not in PICTURES:
        raise unsupported(content_type, MEDIA_TYPES)
    if not body:
        raise RequestError(400, "an empty body", "a picture", "send the file's bytes as they are")
    return Question((body,), (wish,), single=True)


def media_type(content_type: str | None) -> str:
    """The media type without its parameters, in small letters."""
    return (content_type or "").split(";", 1)[0].strip().lower()


def unsupported(content_type: str | None, allowed: Sequence[str]) -> RequestError:
    """The error for a body of a type that is not taken."""
    got = f"Content-Type {content_type[:80]!r}" if content_type else "no Content-Type"
    return RequestError(415, got, ", ".join(allowed), "name the body's type, such as -H 'Content-Type: image/jpeg'")


def too_many(count: int) -> RequestError:
    """The error for more pictures than a request may hold."""
    return RequestError(
        413, f"{count:,} pictures", f"at most {MAX_PICTURES} a request", "send them in several requests"
    )


def read_attributes(attributes: str | None) -> dict[str, str]:
    """The options in SageMaker's custom attributes, which are written like a query string: top_k=3&correct_index=7.

    >>> read_attributes("top_k=3&correct_breed=Chow+chow")
    {'top_k': '3', 'correct_breed': 'Chow chow'}
    """
    return dict(parse_qsl(attributes or "", keep_blank_values=True))


def write_answer(answers: Sequence[Prediction | ImageError], *, single: bool) -> bytes:
    """The body of a response: an object for a single picture, {"predictions": [...]} for several.

    Of several, one that cannot be read is {"error": ...} in its place.

    Raises:
        RequestError: the single picture cannot be read (400), or is too large to be (413).
    """
    if single:
        [answer] = answers
        if isinstance(answer, ImageError):
            raise RequestError(
                413 if isinstance(answer, TooLargeError) else 400, answer.got, answer.allowed, answer.hint
            )
        return to_json(answer.to_dict()).encode()
    return to_json({"predictions": [_content(answer) for answer in answers]}).encode()


def write_error(error: DogbreedError) -> bytes:
    """The body of a response that is an error."""
    return to_json(_content(error)).encode(errors="backslashreplace")


def answer_body(
    predictor: Predictor, body: bytes, content_type: str | None, options: Mapping[str, str] | None = None
) -> bytes:
    """The whole way from a request's body to its response's, where nothing has to be fetched.

    Raises:
        RequestError: it cannot be answered.
    """
    return answer_question(predictor, read_question(body, content_type, options))


def answer_question(predictor: Predictor, question: Question) -> bytes:
    """The body of the response to a question whose pictures are all there.

    Raises:
        RequestError: it cannot be answered.
    """
    pictures = [picture for picture in question.pictures if not isinstance(picture, S3Picture)]
    if len(pictures) < len(question.pictures):
        raise RequestError(
            400, "an s3_uri", "pictures in the request itself", "ask a server that was given --s3-prefix"
        )
    try:
        answers = predictor.answer_each(pictures, question.wishes)
    except ConfigError as error:
        raise RequestError(400, error.got, error.allowed, error.hint) from error
    return write_answer(answers, single=question.single)


def _content(answer: Prediction | DogbreedError) -> dict[str, Any]:
    if isinstance(answer, Prediction):
        return answer.to_dict()
    return {"error": answer.got, "allowed": answer.allowed, "hint": answer.hint}


def _read_json(body: bytes, options: Mapping[str, str]) -> Question:
    if sum(body.count(mark) for mark in (b",", b"[", b"{")) > _MOST_MARKS:
        raise _bad_json("a body with more values than all the pictures and options could take")
    try:
        content = json.loads(body)
    except (ValueError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise _bad_json(f"a body that is no JSON: {reason:.200}") from error
    if not isinstance(content, dict):
        raise _bad_json(f"JSON that holds a {type(content).__name__}")
    shared = {**options, **{name: content[name] for name in _OPTIONS if name in content}}
    if "instances" not in content:
        picture, wish = _read_instance(content, options)
        return Question((picture,), (wish,), single=True)
    if unknown := sorted(set(content) - {"instances", *_OPTIONS}):
        raise _bad_json(f"the key {unknown[0][:80]!r} beside instances")
    instances = content["instances"]
    if not isinstance(instances, list) or not instances:
        raise _bad_json("instances that are no list of one or more")
    if len(instances) > MAX_PICTURES:
        raise too_many(len(instances))
    pairs = [_read_instance(instance, shared) for instance in instances]
    return Question(tuple(picture for picture, _ in pairs), tuple(wish for _, wish in pairs), single=False)


def _read_instance(instance: Any, shared: Mapping[str, Any]) -> tuple[bytes | S3Picture, Wish]:
    if not isinstance(instance, dict) or len({"image", "s3_uri"} & set(instance)) != 1:
        raise _bad_json("an instance with neither image nor s3_uri, or with both")
    rest = dict(instance)
    image, uri = rest.pop("image", None), rest.pop("s3_uri", None)
    if not isinstance(image if uri is None else uri, str):
        raise _bad_json("an image or s3_uri that is no text")
    wish = Wish.read({**shared, **rest})
    if uri is not None:
        return S3Picture(uri), wish
    try:
        return base64.b64decode(image, validate=True), wish
    except (binascii.Error, ValueError) as error:
        raise _bad_json(f"an image that is no base64: {error}") from error


def _bad_json(got: str) -> RequestError:
    return RequestError(
        400,
        got,
        '{"image": BASE64} or {"s3_uri": "s3://..."}, or {"instances": [of these]}, with top_k, correct_breed, '
        "correct_index where wanted",
        "see the README, Serve",
    )


def _read_array(body: bytes, wish: Wish) -> Question:
    """Pixels (H, W, 3) or (N, H, W, 3), as numpy.save writes them."""
    allowed = "uint8 RGB (H, W, 3) or (N, H, W, 3), as numpy.save writes it"
    file = io.BytesIO(body)
    try:
        version = np.lib.format.read_magic(file)
        read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}[version]
        shape, by_column, dtype = read(file)  # which refuses a header of more than 10,000 characters
    except Exception as error:  # numpy parses the header as Python, and raises whatever it stumbles over
        raise RequestError(400, "a body that is no array of numpy", allowed, "numpy.save it to a buffer") from error
    pixels, data = int(np.prod(shape, dtype=object)), body[file.tell() :]
    empty = any(type(side) is not int or side < 1 for side in shape)  # numpy lets True and -1 through
    if dtype != np.uint8 or by_column or len(shape) not in (3, 4) or shape[-1] != 3 or empty:
        order = " in Fortran's order" if by_column else ""
        raise RequestError(400, f"an array of {dtype} {shape}{order}"[:200], allowed, "send pixels in [0, 255]")
    if len(shape) == 4 and shape[0] > MAX_PICTURES:
        raise too_many(shape[0])
    if shape[-3] * shape[-2] > MAX_PIXELS:
        raise RequestError(413, f"{shape[-2]} x {shape[-3]} pixels", f"at most {MAX_PIXELS:,}", "scale it down first")
    if pixels != len(data):
        raise RequestError(400, f"{len(data):,} bytes for an array of {pixels:,}", allowed, "send the whole array")
    array = torch.frombuffer(bytearray(data), dtype=torch.uint8).view(*shape)
    pictures = tuple(picture.permute(2, 0, 1) for picture in (array if len(shape) == 4 else array[None]))
    return Question(pictures, (wish,) * len(pictures), single=len(shape) == 3)
