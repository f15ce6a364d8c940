"""The digest of a model's weights, which becomes part of the fingerprint of its rows. Runs on the driver."""

from __future__ import annotations

from typing import TYPE_CHECKING

from actors.models.forms import form_of

if TYPE_CHECKING:
    import torch

    from actors.models.spec import Model


def weights_digest(model: Model, network: torch.nn.Module | None = None) -> str:
    """Returns the SHA-256 of the weights, in hexadecimal. Equal weights have equal digests in any file format; for an
    .onnx model, the digest covers its file and external data.

    Args:
        model: the weights to digest.
        network: the unchanged result of `build_network` for ``model``, to save building it again.
    """
    return form_of(model).digest(model, network)
