from __future__ import annotations

from dataclasses import astuple, fields
from typing import Any

import pytest
from omegaconf import OmegaConf
from omegaconf.errors import ConfigAttributeError, ValidationError

from actors.engines.configs import TorchEngineConfig
from actors.engines.tolerance import EXACT, Tolerance, to_tolerance
from actors.errors import JobError


def from_config(**overrides: Any) -> Any:
    """Returns the default with overrides as from a command line; Hydra sets the values one by one."""
    config = OmegaConf.structured(TorchEngineConfig)
    for key, value in overrides.items():
        OmegaConf.update(config, key.replace("__", "."), value, merge=True, force_add=False)
    made: Any = OmegaConf.to_object(config)
    return made.tolerance


def test_single_limits_are_set_by_their_names() -> None:
    assert to_tolerance(from_config()) == Tolerance()
    assert to_tolerance(from_config(tolerance__cosine=0.9)) == Tolerance(cosine=0.9)


def test_a_limit_that_there_is_not_is_refused() -> None:
    with pytest.raises(ConfigAttributeError, match="score_diference"):
        from_config(tolerance__score_diference=0.1)
    with pytest.raises(ValidationError, match="much"):
        from_config(tolerance__score_difference="much")


def test_one_word_stands_for_what_equals_fp32() -> None:
    assert to_tolerance(from_config(tolerance="exact")) is EXACT
    strictness, usual = (
        [
            1 - value if limit.name in ("cosine", "box_iou", "pixel_agreement") else value
            for limit, value in by_limit(tolerance)
        ]
        for tolerance in (EXACT, Tolerance())
    )
    assert max(strictness) <= 1.001e-3
    assert all(ours < other for ours, other in zip(strictness, usual, strict=True))


def by_limit(tolerance: Tolerance) -> list[tuple[Any, float]]:
    return list(zip(fields(tolerance), astuple(tolerance), strict=True))


@pytest.mark.parametrize("value", ["strict", None, 0.1])
def test_another_word_is_reported_with_the_fix(value: Any) -> None:
    with pytest.raises(JobError, match=rf"engine.tolerance={value}: (?s:.*)fix: write engine.tolerance=exact"):
        to_tolerance(value)


@pytest.mark.parametrize("limit", [limit.name for limit in fields(Tolerance)])
@pytest.mark.parametrize("number", [-0.1, 1.5, float("nan")])
def test_a_limit_beyond_its_bounds_is_refused(limit: str, number: float) -> None:
    with pytest.raises(JobError, match=rf"engine.tolerance.{limit}={number}: not from 0 to 1"):
        to_tolerance(Tolerance(**{limit: number}))
    to_tolerance(Tolerance(**{limit: 0.0}))
    to_tolerance(Tolerance(**{limit: 1.0}))
