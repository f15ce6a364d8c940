from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from pages import GALLERY, HOSTILE, LABELLED, facts_of, failed, picture
from parsed_pages import Page

from jobs.pages.gallery import Gallery, Picture
from jobs.pages.page import MAX_BYTES, embedded_json, make_page
from jobs.pages.picture_files import TOO_LATE

CHROMIUM = shutil.which("chromium")
HEADINGS = {"outcomes", "speed", "predictions", "labels", "errors", "pictures", "engine", "provenance"}


def sections(page: Page) -> set[str | None]:
    return {section.get("id") for section in page.of("section")}


def numbers(text: str) -> Any:
    return json.loads(re.findall(r'<script type="application/json" id="numbers">(.*)</script>', text)[0])


def test_a_run_with_labels_has_every_section() -> None:
    page = make_page(facts_of(counters={**LABELLED, "labels/cat": 6}, metrics={"top1": 77.8}), GALLERY)
    found = Page(page)
    assert sections(found) == HEADINGS
    assert "10 listed = 9 ok + 1 errors" in page
    assert numbers(page)["report"]["num_ok"] == 9
    anchors = {one["href"] for one in found.of("a") if one["href"]}
    ids = {f"#{attributes['id']}" for _, attributes in found.elements if "id" in attributes}
    assert {"#cell-0", "#error-1"} < anchors <= ids


def test_a_run_of_nothing_says_so() -> None:
    page = make_page(facts_of(0, {}, counters={}, execution=None, verdict=None), Gallery({}))
    assert sections(Page(page)) == {"outcomes", "provenance"}
    assert "nothing to do" in page


def test_a_page_loads_nothing_and_can_be_read_without_seeing_it() -> None:
    page = make_page(facts_of(counters=LABELLED, metrics={"top1": 77.8}), GALLERY)
    found = Page(page)
    values = [
        value for _, attributes in found.elements for name, value in attributes.items() if name in ("src", "href")
    ]
    assert all((value or "").startswith(("data:", "#")) for value in values)
    assert "url(" not in page
    assert "@import" not in page
    assert all(one["alt"] for one in found.of("img"))
    assert len(found.of("h1")) == len(found.of("main")) == len(found.of("nav")) == 1
    assert len(found.of("caption")) == len(found.of("table"))
    assert all(one["role"] == "img" and one["aria-label"] for one in found.of("svg"))


@pytest.mark.parametrize("text", HOSTILE)
def test_text_from_outside_stays_text(text: str) -> None:
    facts = facts_of(
        5,
        {f"decode/{text}": 5},
        counters={**LABELLED, f"labels/{text}": 5},
        metrics={"top1": 50.0},
        config={"model": {"source": text}, "dataset": {"kind": text, "path": [text]}},
        command=text,
        started_by=text,
    )
    gallery = {
        name: [picture(text, text, known="other"), failed(text, text, text)]
        for name in (f"class/{text}", "mistakes", f"cell/{text}/dog", f"error/decode/{text}")
    }
    page = make_page(facts, Gallery(gallery))
    found = Page(page)
    benign = Page(make_page(facts_of(5, {"decode/x": 5}), Gallery({"class/x": [picture()]})))
    assert {tag for tag, _ in found.elements} - {tag for tag, _ in benign.elements} <= {"h3", "div", "tr", "td"}
    assert [one.get("type") for one in found.of("script")] == ["application/json"]
    assert not [name for _, attributes in found.elements for name in attributes if name.startswith("on")]
    assert not set(page) & set("\x00\x1b\u202e\u2066")
    assert text in str(numbers(page)["report"]["counters"]) or text in numbers(page)["report"]["command"]


def test_the_commands_are_whole() -> None:
    command = f"python -m jobs.batch_infer {' '.join(f'task.prompts.{number}=cat' for number in range(80))}"
    assert command in make_page(facts_of(command=command), GALLERY)


def test_pictures_that_there_was_no_time_for_are_left_out() -> None:
    late = Picture({"image_id": "late.jpg", "label": "cat", "score": 0.5}, b"", TOO_LATE.note)
    message = failed("broken.jpg", "cut off", TOO_LATE.note)
    page = make_page(facts_of(), Gallery({"class/cat": [picture("a.jpg"), late], "error/decode/truncated": [message]}))
    assert "a.jpg" in page
    assert "broken.jpg" in page
    assert "late.jpg" not in page


def test_json_in_a_page_cannot_end_its_element() -> None:
    text = embedded_json({"a": "</script><!--&", "b": float("nan"), "c": [float("inf")]})
    assert not set(text) & set("<>&")
    assert json.loads(text) == {"a": "</script><!--&", "b": None, "c": [None]}


@pytest.mark.parametrize(("num_groups", "num_pictures"), [(3, 600), (1200, 1)])
def test_a_page_is_never_too_large(num_groups: int, num_pictures: int) -> None:
    many = [picture(f"{number}.jpg") for number in range(num_pictures)]
    groups = {f"class/{number}": many for number in range(num_groups)}
    assert sum(len(one.thumbnail) for some in groups.values() for one in some) > MAX_BYTES
    page = make_page(facts_of(), Gallery(groups))
    assert MAX_BYTES / 2 < len(page.encode()) <= MAX_BYTES
    shown = [name for name in groups if f"<summary><bdi>{name.removeprefix('class/')}</bdi>" in page]
    assert shown == list(groups)[: len(shown)]
    assert len(shown) >= min(num_groups, 200)


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
@pytest.mark.slow
def test_a_browser_obeys_no_text(tmp_path: Path) -> None:
    text = "".join(HOSTILE[:4])
    gallery = Gallery({f"class/{text}": [picture(text, text, known="dog"), failed(text, text, text)]})
    place = tmp_path / "report.html"
    place.write_text(make_page(facts_of(5, {f"decode/{text}": 5}, counters={f"labels/{text}": 5}), gallery))
    command = [str(CHROMIUM), "--headless=new", "--no-sandbox", f"--user-data-dir={tmp_path}/profile", "--dump-dom"]
    seen = subprocess.run([*command, place.as_uri()], capture_output=True, text=True, timeout=120, check=True).stdout
    found = Page(seen)
    assert [one.get("type") for one in found.of("script")] == ["application/json"]
    assert all((one["src"] or "").startswith("data:") for one in found.of("img"))
    assert "<script>alert(1)</script>" in found.text
