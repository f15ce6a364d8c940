"""Numbers in words, as the pages show them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from markupsafe import Markup

from actors.escapes import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

_MAX_SHOWN = 400  # characters of a text from outside


def plain(text: object) -> str:
    """Text from outside for an attribute: shortened, with characters that a browser obeys as escapes."""
    return printable(shortened(str(text)))


def shown(text: object) -> Markup:
    """Text from outside for the body of a page, isolated so that its direction changes nothing around it."""
    return Markup("<bdi>{}</bdi>").format(plain(text))


def shortened(text: str, most: int = _MAX_SHOWN) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def percent(part: float, whole: float = 1.0) -> str:
    """A share with the digits that matter: ``0.02 %``, ``7.5 %``, ``98.83 %``, ``100 %`` only if nothing is missing."""
    share = part / whole * 100 if whole else 0.0
    if share in (0, 100):
        return f"{share:.0f} %"
    digits = next(digits for digits in (1, 2, 3, 4) if 10.0**-digits <= min(share, 100 - share) or digits == 4)  # noqa: PLR2004
    return f"{share:.{digits}f} %"


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
    """The first of ``names``, and the number of the others: ``a, b, c and 5 more``."""
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest:,} more" if rest > 0 else "")
