"""Numbers as people say them."""

from __future__ import annotations

import math

#: Stands where there is no value.
NOTHING = "\N{EN DASH}"

#: Between a number and its unit, so that no line ends there.
_TIE = "\N{NO-BREAK SPACE}"


def percent(share: float, digits: int = 0) -> str:
    """A share in percent; what is there, but rounds to nothing, is said so.

    >>> [percent(share).replace("\N{NO-BREAK SPACE}", " ") for share in (0.8274, 0.001, 0)]
    ['83 %', '< 1 %', '0 %']
    """
    if math.isnan(share):
        return "no number"
    least = 10.0**-digits
    return f"<{_TIE}{least:.{digits}f}{_TIE}%" if 0 < share * 100 < least / 2 else f"{share * 100:.{digits}f}{_TIE}%"


def duration(seconds: float) -> str:
    """A time in the two units that matter.

    >>> [duration(s).replace("\N{NO-BREAK SPACE}", " ") for s in (0.0004, 0.85, 3.21, 59.7, 120, 133, 7260)]
    ['< 1 ms', '0.85 s', '3.2 s', '1 min', '2 min', '2 min 13 s', '2 h 1 min']
    """
    if 0 < seconds < 0.001:
        return f"<{_TIE}1{_TIE}ms"
    if seconds < 9.95:
        if 0 < seconds < 0.01:
            return f"{seconds * 1000:.0f}{_TIE}ms"
        return f"{seconds:.2f}{_TIE}s" if 0 < seconds < 1 else f"{seconds:.2g}{_TIE}s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole}{_TIE}s"
    minutes, rest = divmod(whole, 60)
    parts = [(minutes, "min"), (rest, "s")] if minutes < 60 else [(minutes // 60, "h"), (minutes % 60, "min")]
    return _TIE.join(f"{number}{_TIE}{unit}" for number, unit in parts if number)


def amount(value: float) -> str:
    """A number with four digits that matter.

    >>> [amount(value) for value in (0.000012345, 3.0, 0.12345, 1234567.0, float("nan"), float("inf"))]
    ['1.234e-05', '3', '0.1235', '1,234,567', 'NaN', 'infinity']
    """
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "infinity" if value > 0 else "-infinity"
    return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:.4g}"


def measure(name: str, value: float | None) -> str:
    """A metric by its name, such as "val/acc": a loss as a number, all others as shares of pictures.

    >>> measure("val/loss", 0.98765)
    '0.9877'
    """
    if value is None or math.isnan(value):
        return NOTHING
    return f"{value:#.4g}" if name.rsplit("/", 1)[-1] == "loss" else percent(value, 1)


def sentence(text: str) -> str:
    """The text with a capital and a full stop, where it lacks them; nothing for nothing.

    >>> sentence("look at the loader"), sentence("Done!"), sentence("")
    ('Look at the loader.', 'Done!', '')
    """
    text = text.strip()
    return text[:1].upper() + text[1:] + ("" if not text or text[-1] in ".!?:" else ".")


def count(number: int, one: str, many: str | None = None) -> str:
    """A number with its noun.

    >>> count(1, "class", "classes"), count(1200, "picture")
    ('1 class', '1,200 pictures')
    """
    return f"{number:,} {one if number == 1 else many or one + 's'}"
