"""Shared parts of the forms of models that include their own network."""

from __future__ import annotations

from typing import TYPE_CHECKING

from actors.errors import JobError
from actors.models.model_files import file_name
from actors.models.node_copies import pinned_content
from actors.models.pinned_files import check_pinned, pin

if TYPE_CHECKING:
    import torch

    from actors.models.spec import Model


def check_alone(model: Model) -> None:
    """Raises `JobError` if keys are set that only a state_dict needs."""
    given = [name for name in _UNSET if getattr(model, name)]
    if given:
        seen = ", ".join(f"model.{name}={getattr(model, name)}" for name in given)
        fix = " ".join(f"model.{name}={_UNSET[name]}" for name in given)
        raise JobError(f"{model.where}: holds its own network, yet {seen}", fix=f"set {fix}, or give a state_dict")


# The unset value of each key that a state_dict needs and a whole model must not have.
_UNSET = {"architecture": "null", "kwargs": "{}", "ema": "false", "prefix": "null", "ignore": "[]"}


class PinnedForm:
    """A network for PyTorch only, in one file that can run code when loaded, so ``model.sha256`` must pin it.
    Subclasses add `network`; see `actors.models.forms.ModelForm`.
    """

    formats: tuple[str, ...]
    kind: str
    """Description of the file in messages."""
    stored_as = "file"
    engines = ("torch",)
    has_network = True

    def owns(self, checkpoint: str) -> bool:
        return file_name(checkpoint).endswith(self.formats)

    def check_keys(self, model: Model) -> None:
        check_pinned(model, self.kind)
        check_alone(model)

    def files(self, model: Model) -> list[str]:
        return [model.checkpoint]

    def digest(self, model: Model, network: torch.nn.Module | None = None) -> str:
        if network is None:
            pinned_content(model)
        return pin(model)

    def graph_file(self, model: Model) -> None:
        """Returns None: the other engines do not run it."""
