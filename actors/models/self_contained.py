"""The keys of a model that brings its own network. Used by the forms of such models."""

from __future__ import annotations

from typing import TYPE_CHECKING

from actors.errors import JobError

if TYPE_CHECKING:
    from actors.models.spec import Model


def check_alone(model: Model) -> None:
    """Raises `JobError` if keys are given that only a state_dict needs."""
    given = [name for name in _UNSET if getattr(model, name)]
    if given:
        seen = ", ".join(f"model.{name}={getattr(model, name)}" for name in given)
        cure = " ".join(f"model.{name}={_UNSET[name]}" for name in given)
        raise JobError(f"{model.where}: holds its own network, yet {seen}", cure=f"set {cure}, or give a state_dict")


# What the config calls a key that a state_dict needs and a whole model must not have.
_UNSET = {"architecture": "null", "kwargs": "{}", "ema": "false", "prefix": "null", "ignore": "[]"}
