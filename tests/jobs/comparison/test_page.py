from __future__ import annotations

import json
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from compared import classified, compared, publish_run
from compared_pictures import LABELS, NAMES, two_runs
from parsed_pages import Page
from places import local_place

from jobs.comparison.config import Compare
from jobs.comparison.gates import check
from jobs.comparison.page import make_page
from jobs.comparison.pictures import make_pictures
from jobs.pages.page import MAX_BYTES

CHROMIUM = shutil.which("chromium")


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    findings = compared(*two_runs(tmp_path_factory.mktemp("compared")))
    limits = check(Compare(max_flip_ratio=0.5, max_new_errors=9), findings)
    return make_page(findings, limits, make_pictures(findings, 100, None))


def test_it_shows_flips_errors_limits_and_both_runs(page: str) -> None:
    found = Page(page)
    sections = {one.get("id") for one in found.of("section")}
    assert sections == {"limits", "flips", "drift", "classes", "errors", "runs"}
    assert "8 of 10 images flip: 80.0 %" in found.text
    assert "2 images newly failed" in found.text
    assert {"exceeded", "kept"} <= set(re.findall(r"exceeded|kept", found.text))
    anchors = {one["href"] for one in found.of("a")}
    ids = {f"#{attributes['id']}" for _, attributes in found.elements if "id" in attributes}
    assert {"#flip-0", "#new-0"} < anchors <= ids
    numbers = json.loads(re.findall(r'<script type="application/json" id="numbers">(.*)</script>', page)[0])
    assert numbers["num_flips"] == 8
    assert all(one["alt"] for one in found.of("img"))
    assert len(found.of("caption")) == len(found.of("table"))


def test_names_and_labels_are_text_and_nothing_is_loaded(page: str) -> None:
    found = Page(page)
    for text in (*(label for label in LABELS if label.isprintable()), *NAMES[:2]):
        assert text in found.text
    assert "\u202e" not in page
    assert [one for one in found.of("script") if one.get("type") != "application/json"] == []
    assert not [name for _, attributes in found.elements for name in attributes if name.startswith("on")]
    links = [value for _, own in found.elements for name, value in own.items() if name in ("src", "href")]
    assert all((value or "").startswith(("data:", "#")) for value in links)


def test_equal_runs_have_a_page_that_says_so(tmp_path: Path) -> None:
    a = publish_run(local_place(tmp_path), "a", classified([("1", "x", 0.5)]))
    found = Page(make_page(compared(a, a), [], {}))
    assert "No answer of 1 image flips" in found.text
    assert {one.get("id") for one in found.of("section")} == {"drift", "classes", "runs"}


def test_a_page_that_would_be_too_large_has_fewer_pictures(tmp_path: Path) -> None:
    findings = compared(*two_runs(tmp_path))
    pictures = make_pictures(findings, 1, None)
    ((name, (one,)),) = pictures.items()
    large = replace(one, source="data:image/webp;base64," + "A" * 300_000)
    page = make_page(findings, [], {name: [large] * 40})
    assert MAX_BYTES / 4 < len(page.encode()) <= MAX_BYTES


@pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")
def test_a_browser_runs_nothing_of_it(page: str, tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text(page, encoding="utf-8")
    shown = subprocess.run(
        [str(CHROMIUM), "--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}",
         "--virtual-time-budget=2000", "--dump-dom", f"file://{tmp_path / 'page.html'}"],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    found = Page(shown.stdout)
    assert len(found.of("section")) == 6
    assert len(found.of("svg")) == 1  # the chart, not the name of an image
