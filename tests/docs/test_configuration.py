"""The config reference matches the dataclasses."""

from __future__ import annotations

import re

import pytest
from config_reference import PAGE, VERBS, keys, reference

from jobs.schemas import GROUPS


def test_the_page_is_up_to_date() -> None:
    written = PAGE.read_text(encoding="utf-8")
    assert written == reference(), "run: PYTHONPATH=. .venv/bin/python tests/fixtures/config_reference.py"


@pytest.mark.parametrize("schema", [schema for schemas in GROUPS.values() for schema in schemas])
def test_every_key_of_a_choice_is_on_the_page_with_its_meaning(schema: type) -> None:
    (group,) = [group for group, schemas in GROUPS.items() if schema in schemas]
    rows = re.findall(r"^\| `(.*?)` \| .*? \| (.*) \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    explained = {name for name, meaning in rows if meaning.strip()}
    assert {key.name for key in keys(schema, f"{group}.")} - {"task.name"} <= explained


def test_every_verb_with_a_config_has_its_section() -> None:
    headings = re.findall(r"^## `(.*)`$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert headings == [title for title, _ in VERBS]
