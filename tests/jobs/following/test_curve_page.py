from __future__ import annotations

import re
from html.parser import HTMLParser
from xml.etree import ElementTree as ET

from jobs.following.curve import Point
from jobs.following.curve_page import curve_page, curve_svg

HOSTILE = "<script>alert(1)</script>\"'&\x1b[31m\u202e.pt"


class Tags(HTMLParser):
    """Collects the elements of a page, and those left open."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[str] = set()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert not any(name.startswith("on") for name, _ in attrs)
        self.seen.add(tag)
        if tag not in ("meta", "link"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_names_and_messages_are_text_wherever_they_stand() -> None:
    points = [Point(HOSTILE, 0.5, is_best=True), Point(HOSTILE, None, error=HOSTILE, fix=HOSTILE)]
    page, tags = curve_page("top1", points), Tags()
    tags.feed(page)
    assert tags.open == []
    assert "script" not in tags.seen
    assert "\x1b" not in page
    assert "\u202e" not in page
    assert page.count("&lt;script&gt;alert(1)&lt;/script&gt;") == 8
    assert not re.search(r"https?://", page), "nothing is fetched"


def test_higher_scores_stand_higher_and_failures_are_crosses() -> None:
    points = [Point("a", 0.2), Point("b", 0.8, is_best=True), Point("c", None)]
    chart = ET.fromstring(curve_svg("accuracy", points))  # noqa: S314  our own text
    low, high = chart.findall("circle")
    assert (low.get("cy"), high.get("cy")) == ("260.0", "30.0")
    assert float(low.get("cx", "")) < float(high.get("cx", ""))
    assert (high.get("class"), high.findtext("title")) == ("best", "b: 0.8")
    assert [mark.findtext("title") for mark in chart.findall("path[@class='wrong']")] == ["c: no score"]
    assert curve_svg("accuracy", [Point("a", 0.4)]).count("<circle") == 1
    assert "No checkpoint has this score yet" in curve_page("accuracy", [Point("c", None)])
