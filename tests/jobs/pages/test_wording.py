from __future__ import annotations

import pytest
from pages import HOSTILE

from jobs.pages.wording import duration, images, listing, percent, plain, shown


@pytest.mark.parametrize(
    ("part", "whole", "text"),
    [
        (0, 5, "0 %"),
        (5, 5, "100 %"),
        (1, 2, "50.0 %"),
        (1999, 2000, "99.95 %"),
        (1, 10**6, "< 0.01 %"),
        (10**6 - 1, 10**6, "> 99.99 %"),
        (3, 0, "0 %"),
    ],
)
def test_only_all_is_a_hundred_percent(part: float, whole: float, text: str) -> None:
    assert percent(part, whole) == text


@pytest.mark.parametrize(("seconds", "text"), [(6.44, "6.4 s"), (192, "3 min 12 s"), (7500, "2 h 5 min")])
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_numbers_of_things() -> None:
    assert [images(1), images(2000)] == ["1 image", "2,000 images"]
    assert listing(["a", "b"]) == "a, b"
    assert listing(["a", "b", "c", "d", "e"]) == "a, b, c and 2 more"


@pytest.mark.parametrize("text", HOSTILE)
def test_text_from_outside_is_isolated_and_has_nothing_that_a_browser_obeys(text: str) -> None:
    body = shown(text).removeprefix("<bdi>").removesuffix("</bdi>")
    assert not set(body) & set("<>\x00\x1b\r\n\u202e\u2066")
    assert plain(text).isprintable()


def test_long_text_is_cut() -> None:
    assert len(plain("x" * 10_000)) == 400
