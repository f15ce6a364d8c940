from __future__ import annotations

from typing import Any

import pytest
from pages import failed, picture, thumbnail

from jobs.pages.captions import captioned
from jobs.pages.gallery import Picture

BOX = {"label": "car", "score": 0.5}


@pytest.mark.parametrize(
    ("row", "title", "lines"),
    [
        (
            {"label": "cat", "score": 0.75, "top_labels": ["cat", "dog"], "top_scores": [0.75, 0.25]},
            "cat · 75.0 %",
            ["then dog · 25.0 %"],
        ),
        ({"label": "a", "score": 1.0, "top_labels": ["a", "b"], "top_scores": [1.0, 0.002]}, "a · 100 %", []),
        ({"label": "cat", "score": 12.5}, "cat · 12.5", []),
        (
            {"detections": [BOX, {**BOX, "score": 0.9}, {**BOX, "label": "dog"}]},
            "2 car, 1 dog",
            ["best 90.0 %"],
        ),
        ({"detections": []}, "no object", []),
        (
            {"width": 10, "height": 10, "classes": [{"label": "sky", "pixels": 25}, {"label": "sea", "pixels": 75}]},
            "sea 75.0 % and 1 more",
            ["sky 25.0 %"],
        ),
        ({"age": 31.25}, "age 31.25", []),
        ({}, "", []),
    ],
)
def test_the_answer_of_each_task_in_words(row: dict[str, Any], title: str, lines: list[str]) -> None:
    found = captioned(Picture({"image_id": "a.jpg", **row}))
    assert (found.title, list(found.lines)) == (title, lines)


def test_a_mistake_names_the_known_label() -> None:
    found = captioned(picture("c.jpg", "dog", known="cat"))
    assert found.is_wrong
    assert found.alt == "image c.jpg, dog · 75.0 %, known: cat"
    assert not captioned(picture("c.jpg", "dog", known="dog")).is_wrong
    assert not captioned(picture("c.jpg", "dog", known="0")).is_wrong  # the class number


def test_a_failed_image_has_its_kind_and_message() -> None:
    found = captioned(failed("x.jpg", "cut off", "ff d8"))
    assert (found.title, found.message, found.note, found.source) == ("decode/truncated", "cut off", "ff d8", "")


def test_sizes_come_from_the_thumbnail() -> None:
    found = captioned(Picture({"image_id": "a"}, thumbnail(8, 12)))
    assert (found.width, found.height, found.is_small) == (8, 12, True)
    assert found.source.startswith("data:image/webp;base64,")
    assert not captioned(Picture({"image_id": "a"}, thumbnail())).is_small
