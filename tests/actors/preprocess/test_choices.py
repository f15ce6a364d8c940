from __future__ import annotations

import inspect
from enum import Enum

from actors.preprocess import choices


def test_hydra_and_python_know_each_choice_by_one_name() -> None:
    found = [
        kind for _, kind in inspect.getmembers(choices, inspect.isclass) if issubclass(kind, Enum) and kind is not Enum
    ]
    assert len(found) == 7
    assert all(member.name == member.value for kind in found for member in kind)
