"""A TorchScript archive: network and weights in one file, for PyTorch alone. Loading one can run code, so that
model.sha256 has to pin it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from actors.models.model_files import file_name
from actors.models.node_copies import pinned_content
from actors.models.pinned_files import check_pinned, pin
from actors.models.self_contained import check_alone

if TYPE_CHECKING:
    import torch

    from actors.models.spec import Model


class TorchScriptForm:
    """See `actors.models.forms.ModelForm`."""

    formats = (".torchscript", ".torchscript.pt", ".ts", ".jit", ".jit.pt")
    stored_as = "file"
    engines = ("torch",)
    has_network = True

    def owns(self, checkpoint: str) -> bool:
        return file_name(checkpoint).endswith(self.formats)

    def check_keys(self, model: Model) -> None:
        check_pinned(model, "a TorchScript archive")
        check_alone(model)

    def files(self, model: Model) -> list[str]:
        return [model.checkpoint]

    def digest(self, model: Model, network: torch.nn.Module | None = None) -> str:
        if network is None:
            pinned_content(model)
        return pin(model)

    def network(self, model: Model) -> torch.nn.Module:
        from actors.models import scripts  # noqa: PLC0415  torch takes seconds to import

        return scripts.load(model)

    def graph_file(self, model: Model) -> None:
        """None: the other engines do not run it."""


def is_pinned_alone(model: Model) -> bool:
    """Returns True for a .pt or .pth file, as state_dicts have, that is pinned and has no architecture."""
    return bool(model.sha256) and model.architecture is None and file_name(model.checkpoint).endswith((".pt", ".pth"))
