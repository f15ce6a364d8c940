"""A program saved by torch.export: network and weights in one .pt2 archive, for PyTorch only. Loading it can run code,
so model.sha256 must pin it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from actors.models.self_contained import PinnedForm

if TYPE_CHECKING:
    import torch

    from actors.models.spec import Model


class Pt2Form(PinnedForm):
    """See `actors.models.forms.ModelForm`."""

    formats = (".pt2",)
    kind = "a .pt2 archive"

    def network(self, model: Model) -> torch.nn.Module:
        from actors.models import programs  # noqa: PLC0415  torch takes seconds to import

        return programs.load(model)
