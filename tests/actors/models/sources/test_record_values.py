from __future__ import annotations

import pytest

from actors.errors import JobError
from actors.models.sources.record_values import interpolation, numbers, side


def test_single_values_are_converted_or_refused_by_name() -> None:
    assert (side([224, 224]), side([288]), side([2, 3])) == (224, 288, [2, 3])
    assert interpolation("timm", "interpolation", "lanczos") == "lanczos"
    assert numbers("timm", "mean", 0.5, 3) == numbers("timm", "mean", (0.5,), 3) == [0.5, 0.5, 0.5]
    assert numbers("timm", "std", (1, 2, 3), 3) == [1.0, 2.0, 3.0]
    with pytest.raises(JobError, match=r"timm: interpolation='random': not one of nearest"):
        interpolation("timm", "interpolation", "random")
    with pytest.raises(JobError, match=r"timm: mean=\(1, 2\): not one number for each of 3 channels"):
        numbers("timm", "mean", (1, 2), 3)
