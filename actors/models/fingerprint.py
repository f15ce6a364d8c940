"""Digest of a model's weights, which identifies its rows. Runs on the driver."""

from __future__ import annotations

from typing import TYPE_CHECKING

from actors.models.network import build_network

if TYPE_CHECKING:
    import torch

    from actors.models.spec import Model


def weights_digest(model: Model, network: torch.nn.Module | None = None) -> str:
    """SHA-256, in hexadecimal, of the weights: equal for equal weights, whatever file holds and wraps them.

    Args:
        model: of an .onnx model, the file and its external data are digested.
        network: what `build_network` gave for ``model`` and nobody changed, so that it is not built again.
    """
    if model.is_onnx:
        from actors.models import onnx_files  # noqa: PLC0415  a state_dict needs no onnx

        return onnx_files.digest(model)
    from actors.models import checkpoints  # noqa: PLC0415  torch takes seconds to import

    return checkpoints.digest(network or build_network(model))
