"""Formats numbers and text for the pages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from markupsafe import Markup

from actors.escapes import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

_MAX_SHOWN = 400  # maximum characters of untrusted text


def plain(text: object, most: int = _MAX_SHOWN) -> str:
    """Formats untrusted text for an attribute: shortened, with control characters escaped."""
    return printable(shortened(str(text), most))


def shown(text: object) -> Markup:
    """Formats untrusted text for the body of a page, isolated so that its direction has no effect outside."""
    return Markup("<bdi>{}</bdi>").format(plain(text))


def shortened(text: str, most: int = _MAX_SHOWN) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def percent(part: float, whole: float = 1.0) -> str:
    """Formats a share: ``7.5 %``, ``99.95 %``, ``< 0.01 %``; ``0 %`` and ``100 %`` only for exactly none and all."""
    share = part / whole * 100 if whole else 0.0
    least = min(share, 100 - share)
    if least <= 0:
        return f"{share:.0f} %"
    if least < 0.01:  # noqa: PLR2004
        return "< 0.01 %" if share < 50 else "> 99.99 %"  # noqa: PLR2004
    return f"{share:.{1 if least >= 0.1 else 2}f} %"  # noqa: PLR2004


def duration(seconds: float) -> str:
    """Formats seconds: ``6.4 s``, ``3 min 12 s``, ``2 h 5 min``."""
    if seconds < 60:  # noqa: PLR2004
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:,} h {minutes} min" if hours else f"{minutes} min {rest} s"


def images(number: int) -> str:
    """Formats a number of images: ``1 image``, ``2,000 images``."""
    return f"{number:,} image{'' if number == 1 else 's'}"


def listing(names: Sequence[str], most: int = 3) -> str:
    """Formats the first of ``names``, and the number of others: ``a, b, c and 5 more``."""
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest:,} more" if rest > 0 else "")
