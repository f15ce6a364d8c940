from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from actors.errors import JobError
from actors.tasks.prompts import read_prompts

TEMPLATES = ["a photo of a {}.", "a {} in a {}"]


def test_templates_wrap_labels_of_a_list_or_file(tmp_path: Path) -> None:
    wanted = {
        "cat": ["a photo of a cat.", "a cat in a cat"],
        "red dog": ["a photo of a red dog.", "a red dog in a red dog"],
    }
    assert read_prompts(["cat", "red dog"], TEMPLATES, {}) == wanted
    (tmp_path / "labels.txt").write_text("cat\nred dog\n")
    assert read_prompts(str(tmp_path / "labels.txt"), TEMPLATES, {}) == wanted


def test_texts_by_label_stay_as_they_are() -> None:
    given = {"cat": "a kitten", "dog": ["a dog", "a puppy"]}
    assert read_prompts(given, TEMPLATES, {}) == {"cat": ["a kitten"], "dog": ["a dog", "a puppy"]}


@pytest.mark.parametrize(
    ("given", "templates", "message"),
    [
        (None, TEMPLATES, "task.prompts is not given"),
        ({}, TEMPLATES, "task.prompts is not given"),
        (["cat", "dog", "cat"], TEMPLATES, "names cat twice"),
        ({"cat": []}, TEMPLATES, "cat has"),
        ({"cat": 3}, TEMPLATES, "cat has 3"),
        (["cat"], ["a photo"], "has no place for the label"),
        (["cat"], [], "task.templates: is empty"),
        (3, TEMPLATES, "task.prompts=3: neither a path nor a list"),
        ("missing.txt", TEMPLATES, "task.prompts=missing.txt: no such file"),
    ],
)
def test_prompts_that_cannot_be_used(given: Any, templates: list[str], message: str) -> None:
    with pytest.raises(JobError, match=message):
        read_prompts(given, templates, {})
