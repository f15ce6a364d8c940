from __future__ import annotations

from collections import OrderedDict
from typing import Any

import pytest
import torch

from actors.errors import JobError
from actors.models.outputs import named

FIRST, SECOND = torch.zeros(2, 3), torch.ones(2)


@pytest.mark.parametrize(
    ("returned", "names"),
    [
        (FIRST, ["output"]),
        ((FIRST, None, SECOND), ["output_0", "output_2"]),
        (["note", FIRST], ["output_1"]),
        ({"scores": FIRST, "hidden": None, 7: SECOND}, ["scores", "7"]),
        (OrderedDict(b=FIRST, a=SECOND), ["b", "a"]),
    ],
)
def test_each_tensor_has_a_name_and_keeps_its_place(returned: Any, names: list[str]) -> None:
    found = named(returned)
    assert list(found) == names
    assert found[names[0]] is FIRST


@pytest.mark.parametrize("returned", [None, [], {"boxes": [FIRST]}, 3.0])
def test_no_tensors_are_reported(returned: Any) -> None:
    with pytest.raises(JobError, match=f"returns a {type(returned).__name__} without tensors"):
        named(returned)
