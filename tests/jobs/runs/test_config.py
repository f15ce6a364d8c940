from __future__ import annotations

import pytest
from hydra.errors import HydraException

from jobs.cli.config_errors import explain
from jobs.config import to_object
from jobs.runs.config import ListFormat, RunList
from jobs.schemas import compose_verb


def composed(*overrides: str) -> RunList:
    return to_object(compose_verb("runs", list(overrides)), RunList)


def test_the_keys() -> None:
    wanted = composed("output.path=out", "runs.format=json")
    assert (wanted.output.path, wanted.runs.format) == ("out", ListFormat.json)


def test_another_format_is_refused() -> None:
    with pytest.raises(HydraException) as caught:
        composed("output.path=out", "runs.format=xml")
    assert "runs.format" in explain(caught.value).problem
