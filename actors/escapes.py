"""Text from outside made safe to print: file names, labels and messages of others. Used on driver and workers."""

from __future__ import annotations

import re


def printable(text: str) -> str:
    r"""``text`` on one line, with every character escaped that a terminal or a log obeys instead of showing.

    These are control characters (line feed and ``ESC`` included), the line and paragraph separators of Unicode, marks
    that reverse the direction of the text around them, and lone surrogates, which no encoding can write. They come out
    as in Python source: ``\n``, ``\x1b``, ``\u202e``. All other characters, of any script, stay.
    """
    return _OBEYED.sub(_escaped, text)


def printable_lines(text: str) -> str:
    """`printable` for a text that has several lines of our own."""
    return "\n".join(map(printable, text.split("\n")))


_OBEYED = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def _escaped(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape", "surrogatepass").decode("ascii")
