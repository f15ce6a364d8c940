"""A TorchScript archive: network and weights in one file, for PyTorch only. Loading it can run code, so model.sha256
must pin it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from actors.models.model_files import file_name
from actors.models.self_contained import PinnedForm

if TYPE_CHECKING:
    import torch

    from actors.models.spec import Model


class TorchScriptForm(PinnedForm):
    """See `actors.models.forms.ModelForm`."""

    formats = (".torchscript", ".torchscript.pt", ".ts", ".jit", ".jit.pt")
    kind = "a TorchScript archive"

    def network(self, model: Model) -> torch.nn.Module:
        from actors.models import scripts  # noqa: PLC0415  torch takes seconds to import

        return scripts.load(model)


def is_pinned_alone(model: Model) -> bool:
    """Returns True for a pinned .pt or .pth file, suffixes that state_dicts also have, without an architecture."""
    return bool(model.sha256) and model.architecture is None and file_name(model.checkpoint).endswith((".pt", ".pth"))
