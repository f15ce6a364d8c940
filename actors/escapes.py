"""Makes text from outside, such as file names and labels, safe to print. Used on driver and workers."""

from __future__ import annotations

import re


def printable(text: str) -> str:
    r"""Escapes the characters that a terminal or a log interprets instead of showing; returns one line.

    These are control characters (line feed and ``ESC`` included), the line and paragraph separators of Unicode, marks
    that change the direction of text, and lone surrogates, which no encoding can write. They are written as in Python
    source: ``\n``, ``\x1b``, ``\u202e``. All other characters, of any script, stay.
    """
    return _OBEYED.sub(_escaped, text)


def printable_lines(text: str) -> str:
    """Applies `printable` to each line of a text whose line breaks are our own."""
    return "\n".join(map(printable, text.split("\n")))


_OBEYED = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def _escaped(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape", "surrogatepass").decode("ascii")
