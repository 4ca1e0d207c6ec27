"""Lists of files to leave out, and names of objects in S3: only what is below its place is ever touched."""

from __future__ import annotations

import base64
import random
from pathlib import Path

import fsspec
from hypothesis import strategies as some

from dogbreed.data.datamodule import BreedDataModule
from dogbreed.data.exclusions import Exclusion, read_exclusions, write_exclusions
from dogbreed.errors import DogbreedError, RequestError
from dogbreed.server.s3 import S3
from launch.files.stores import split_uri
from tests.fuzzing.bases import make_photos
from tests.fuzzing.case import Case, wrong
from tests.fuzzing.splices import draw_splices, splice
from tests.fuzzing.values import example

_PREFIX = "s3://dogs/photos/"
_PARTS = some.sampled_from(
    ["s3:", "", "dogs", "photos", "..", ".", "a.jpg", "%2e%2e", "\\", "?", "#", "*", "\0", "é", "file:"]
)
_URIS = some.lists(_PARTS | some.text(max_size=5), max_size=7).map("/".join)


class Cases:
    """A case is a list's content, or an object's name."""

    def __init__(self, bases: Path, work: Path) -> None:
        self._photos, self._work = make_photos(bases), work
        self._s3: S3 | None = None

    def make(self, rng: random.Random, number: int) -> Case:
        """A list with changes of its bytes; or a name that begins as it should, or not."""
        if rng.random() < 0.5:
            return {"uri": rng.choice(("", _PREFIX, _PREFIX, _PREFIX, "s3://dogs/")) + example(_URIS, number)}
        paths = sorted(path.relative_to(self._photos).as_posix() for path in self._photos.glob("*/*/*.jpg"))
        chosen = [Exclusion(path, 'a reason, "so"') for path in rng.sample(paths, 6)]
        write_exclusions(self._work / "list.csv", [*chosen, Exclusion("../../x.jpg", "elsewhere")])
        content = (self._work / "list.csv").read_bytes()
        return {"list": base64.b64encode(splice(content, draw_splices(content, rng, content))).decode()}

    def check(self, case: Case) -> str:
        """What is named is taken, or the list or name is refused."""
        return self._fetch(case["uri"]) if "uri" in case else self._leave_out(base64.b64decode(case["list"]))

    def _leave_out(self, content: bytes) -> str:
        file = self._work / "damaged.csv"
        file.write_bytes(content)
        try:
            listed = read_exclusions(file, self._photos)
            module = BreedDataModule(self._photos, exclude=file, num_workers=0, batch_size=4)
            module.setup()
        except DogbreedError:
            return "refused"
        for split in ("train", "val", "test"):
            for path in module.split(split).paths:
                if Path(path).relative_to(self._photos).as_posix() in listed:
                    wrong("a picture of the list is used", path)
        return "right"

    def _fetch(self, uri: str) -> str:
        if self._s3 is None:
            self._s3 = S3([_PREFIX])
            self._s3._files = fsspec.filesystem("memory")  # which is asked as s3fs is, and has nothing
        try:
            bucket, key = split_uri(uri)
            if f"s3://{bucket}/{key}".rstrip("/") != uri.rstrip("/"):
                wrong("another place in S3", (bucket, key))
        except DogbreedError:
            pass
        try:
            self._s3.fetch(uri, 1000)
        except RequestError as error:
            str(error).encode(errors="backslashreplace")
            if error.got.endswith("there is no such object") and (
                not uri.startswith(_PREFIX) or ".." in uri.split("/")
            ):
                wrong("an object elsewhere is asked for", uri)
            return "refused"
        return "right"
