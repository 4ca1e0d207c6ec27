"""The patterns of AWS's service models, which are Java's, read by Python."""

from __future__ import annotations

import functools
import re
import unicodedata

#: Each Unicode category as a character of the private use area, for all that is not ASCII.
_STANDS_FOR = {category: chr(0xE000 + place) for place, category in enumerate("LMNPSZ")}
_PROPERTY = re.compile(r"\\p\{(\w+)\}")
#: What ends a line in Java, so that . does not match it; in Python only the first does.
_LINE_ENDS = re.compile("[\r\u0085\u2028\u2029]")


def matches(pattern: str, value: str) -> bool:
    r"""Whether the whole of `value` matches.

    >>> matches(r"([\p{L}\p{Z}\p{N}_.:/=+\-@]*)", "Hündin 7"), matches(r"([\p{L}\p{Z}\p{N}_.:/=+\-@]*)", "a#b")
    (True, False)
    """
    if "\\p{" in pattern:
        value = "".join(map(_stand_in, value))
    return compiled(pattern).fullmatch(_LINE_ENDS.sub("\n", value)) is not None


@functools.cache
def compiled(pattern: str) -> re.Pattern[str]:
    """The pattern for Python; non-ASCII characters of a category in it are those of `_STANDS_FOR`."""
    translated = _PROPERTY.sub(_members, pattern.replace(r"\p{Print}", "[ -~]"))  # which stands in no class
    translated = re.sub(r"\$\{\d+,\d+\}$", "", translated)  # a count behind the end says nothing
    translated = translated.replace(r"\uD800\uDC00-\uDBFF\uDFFF", r"\U00010000-\U0010FFFF")  # Java's pairs
    return re.compile(translated, re.ASCII)  # as Java's \d and \w


def _members(found: re.Match[str]) -> str:
    """The characters of a property, for the inside of a class."""
    name = found[1]
    if name == "Alnum":
        return "a-zA-Z0-9"
    ascii_members = (chr(code) for code in range(128) if unicodedata.category(chr(code))[0] == name)
    return "".join(map(re.escape, ascii_members)) + _STANDS_FOR[name]


def _stand_in(character: str) -> str:
    if character.isascii():
        return character
    return _STANDS_FOR.get(unicodedata.category(character)[0], character)
