from __future__ import annotations

import pytest

from jobs.bundling.config import Export
from jobs.cli.config_errors import unknown_key
from jobs.cli.familiar_words import FIXES


@pytest.mark.parametrize("word", ["half", "dynamic", "simplify", "opset", "imgsz", "atol"])
def test_the_words_of_other_exporters_are_answered(word: str) -> None:
    error = unknown_key(f"export.{word}", ["path"])
    assert error.problem == f"export.{word}: there is no such key"
    assert error.fix == FIXES[f"export.{word}"]


def test_none_of_them_is_a_key_and_other_words_get_the_closest_key() -> None:
    assert not {key.removeprefix("export.") for key in FIXES} & set(Export.__dataclass_fields__)
    assert "did you mean export.precision?" in unknown_key("export.precison", ["precision", "path"]).fix
