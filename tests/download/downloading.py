"""What the tests of downloads share: a small archive, and a place to download it into, looked at all the time."""

from __future__ import annotations

import hashlib
import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from dogbreed.download.dataset import download_dataset
from dogbreed.download.guard import ArchiveLimits

LIMITS = ArchiveLimits(max_files=100, max_gb=0.01, max_ratio=100)
SETTINGS: dict[str, Any] = {"limits": LIMITS, "retries": 3, "backoff_s": 0.01, "timeout_s": 20.0}
NOISE = np.random.default_rng(0).bytes(200_000)
TREE = {f"{split}/00{n}.Breed/{n}.jpg": NOISE[n:] for split in ("train", "valid") for n in (1, 2, 3)}


def zipped(tree: dict[str, bytes] = TREE, top: str = "dogImages/") -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, content in tree.items():
            archive.writestr(zipfile.ZipInfo(top + name), content)  # with no time: the same bytes in every process
    return packed.getvalue()


ZIP = zipped()
SHA256 = hashlib.sha256(ZIP).hexdigest()
OTHER = zipped({"train/other.jpg": b"other"}, top="")


class Place:
    """A folder to download into, looked at after every line that is said."""

    def __init__(self, root: Path) -> None:
        self.root, self.lines = root, list[str]()

    def get(self, url: str, **settings: Any) -> None:
        try:
            assert download_dataset(url, self.root, say=self.say, **SETTINGS | settings) == self.root
        finally:
            self.check()

    def say(self, line: str) -> None:
        self.lines.append(line)
        self.check()

    def check(self) -> None:
        assert self.tree() in (None, TREE)

    def tree(self) -> dict[str, bytes] | None:
        """None where there is no folder."""
        if not self.root.exists():
            return None
        files = [path for path in self.root.rglob("*") if path.is_file() and not path.name.startswith(".")]
        return {path.relative_to(self.root).as_posix(): path.read_bytes() for path in files}

    def beside(self) -> list[str]:
        return sorted(path.name for path in self.root.parent.iterdir() if path != self.root)

    @property
    def said(self) -> str:
        return "\n".join(self.lines)
