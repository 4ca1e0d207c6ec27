"""What an archive is allowed: so many files, so many bytes, and errors that name it where it holds more."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields

from dogbreed.errors import ConfigError, DataError

CHUNK = 1 << 20  # bytes that are read, counted and written at a time
_SMALL = 1 << 20  # bytes that no ratio makes a bomb: an empty picture of one colour packs a thousandfold


class DamagedError(DataError):
    """An archive that was cut off or changed on its way: another copy of it may be whole."""


class LimitError(DataError):
    """An archive that holds more than its limits allow: a setting lets it in."""


@dataclass(frozen=True)
class ArchiveLimits:
    """How much an archive may hold.

    Attributes:
        max_files: files and folders.
        max_gb: unpacked, in 10^9 bytes.
        max_ratio: of the unpacked bytes to the packed ones, of the whole and of each file in a zip.

    Raises:
        ConfigError: a limit is no number above 0.
    """

    max_files: int
    max_gb: float
    max_ratio: float

    def __post_init__(self) -> None:
        for field in fields(self):
            name, value = f"limits.{field.name}", getattr(self, field.name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < float("inf"):
                raise ConfigError(f"{name}={value!r}", "a number above 0", f"set {name}=NUMBER")

    @property
    def max_bytes(self) -> int:
        """`max_gb` in bytes."""
        return int(self.max_gb * 1e9)


@dataclass(frozen=True)
class Member:
    """One file or folder of an archive.

    Attributes:
        name: as the archive has it, "/" between its parts.
        refused: what it is that is never unpacked, such as "a symbolic link"; "" for a file or a folder.
        is_folder: whether it is one.
        chunks: the content of a file, to be read before the next member is asked for.
    """

    name: str
    refused: str
    is_folder: bool
    chunks: Iterator[bytes]


class Guard:
    """Counts what comes out of one archive, and makes the errors that name it.

    Args:
        label: what the user calls the archive.
        limits: of what it may hold.
        packed_bytes: its size.
    """

    def __init__(self, label: str, limits: ArchiveLimits, packed_bytes: int) -> None:
        self.label, self.limits, self.packed_bytes = label, limits, packed_bytes
        self._members = self._bytes = 0

    def admit(self, members: int = 1) -> None:
        """Count files and folders.

        Raises:
            LimitError: there are too many.
        """
        self._members += members
        if self._members > self.limits.max_files:
            raise self._over(f"more than {self.limits.max_files:,} files and folders", "max_files")

    def spend(self, count: int) -> None:
        """Count bytes that were unpacked.

        Raises:
            LimitError: there are too many of them, or too many for the size of the archive.
        """
        self._bytes += count
        if self._bytes > self.limits.max_bytes:
            raise self._over(f"more than {self.limits.max_gb:,} GB", "max_gb")
        self.check_ratio("it", self._bytes, self.packed_bytes)

    def expect(self, size_bytes: int) -> None:
        """Judge what an archive says it unpacks to.

        Raises:
            LimitError: it is too much.
        """
        if size_bytes > self.limits.max_bytes:
            raise self._over(f"{size_bytes / 1e9:,.1f} GB", "max_gb")

    def check_ratio(self, what: str, unpacked: int, packed: int) -> None:
        """Compare bytes that were unpacked with those that they come from.

        Raises:
            LimitError: they are too many for it.
        """
        if unpacked > max(_SMALL, self.limits.max_ratio * packed):
            raise self._over(f"a bomb: {what} unpacks to over {self.limits.max_ratio:,} times its size", "max_ratio")

    def refusal(self, what: str) -> DataError:
        """The error for an archive that must not be unpacked."""
        return DataError(
            got=f"{self.label}: {what}; nothing was unpacked",
            allowed="files and folders, each once, with names that stay inside, not encrypted",
            hint="get it from another place, or unpack what you trust of it yourself",
        )

    def damage(self, what: str) -> DamagedError:
        """The error for an archive that is not as it was made."""
        return DamagedError(
            got=f"{self.label} is damaged: {what}; nothing was unpacked",
            allowed="a whole .zip, .tar, .tar.gz, .tar.bz2 or .tar.xz",
            hint="get it again",
        )

    def _over(self, what: str, limit: str) -> LimitError:
        return LimitError(
            got=f"{self.label} holds {what}; nothing was unpacked",
            allowed=f"limits.{limit}={getattr(self.limits, limit)}",
            hint=f"if you trust it, raise limits.{limit}",
        )
