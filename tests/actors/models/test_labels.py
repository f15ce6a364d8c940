"""Class names from files and from the config."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from actors.models.labels import read_labels
from actors.models.spec import Model

if TYPE_CHECKING:
    from pathlib import Path


def labelled(model: Model, path: Path, data: bytes) -> Model:
    path.write_bytes(data)
    return replace(model, labels=str(path))


@pytest.mark.parametrize(
    "data",
    [b"cat\ndog\ncrane\ncrane", b"cat\ndog\ncrane\ncrane\n\n", b"\xef\xbb\xbfcat\r\ndog \r\ncrane\r\ncrane\r\n"],
)
def test_labels_are_the_lines_of_a_file(model: Model, tmp_path: Path, data: bytes) -> None:
    assert read_labels(labelled(model, tmp_path / "labels", data)) == ["cat", "dog", "crane", "crane"]


def test_labels_may_hold_any_script_and_separator(model: Model, tmp_path: Path) -> None:
    names = ["猫", "a, b", "fin\u2028de\x0bligne", "#1"]
    assert read_labels(labelled(model, tmp_path / "labels", "\n".join(names).encode())) == names


def test_labels_may_stand_in_the_config(model: Model) -> None:
    assert read_labels(replace(model, labels=["cat", 7, "yes"])) == ["cat", "7", "yes"]
    assert read_labels(model) is None
