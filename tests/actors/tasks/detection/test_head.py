from __future__ import annotations

import inspect

import pytest

from actors.tasks.detection.head import Head
from actors.tasks.detection.heads import HEADS


@pytest.mark.parametrize("name", HEADS)
def test_every_head_has_the_interface(name: str) -> None:
    head = HEADS[name]
    assert head.name == name
    assert head.layout
    assert isinstance(head.is_suppressed, bool)
    for method in ("recognises", "output_names", "check", "parts", "candidates"):
        wanted = inspect.signature(getattr(Head, method)).parameters
        assert list(inspect.signature(getattr(head, method)).parameters) == list(wanted)[1:]
