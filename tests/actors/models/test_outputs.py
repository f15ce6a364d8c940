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


def test_detections_of_any_number_keep_one_size() -> None:
    found = {"boxes": torch.ones(3, 4), "scores": torch.ones(3), "labels": torch.ones(3, dtype=torch.int64)}
    outputs = named([found, {name: value[:1] for name, value in found.items()} | {"masks": torch.ones(1, 1, 9, 9)}])
    assert {name: tuple(value.shape) for name, value in outputs.items()} == {
        "boxes": (2, 300, 4),
        "scores": (2, 300),
        "labels": (2, 300),
    }
    assert outputs["scores"].sum(dim=1).tolist() == [3, 1]


@pytest.mark.parametrize("returned", [None, [], {"boxes": [FIRST]}, 3.0])
def test_no_tensors_are_reported(returned: Any) -> None:
    with pytest.raises(JobError, match=f"returns a {type(returned).__name__} without tensors"):
        named(returned)
