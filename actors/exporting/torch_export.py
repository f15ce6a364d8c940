"""Writes a network in PyTorch's formats: a .pt2 archive from torch.export, and weights as safetensors. Runs where a
bundle is built.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import safetensors.torch
import torch

from actors.errors import JobError
from actors.exporting.exporter_errors import cause, quietly
from actors.exporting.postprocess_layers import StoredIn, followed_by
from actors.models.network import build_network
from actors.models.transformers_networks import VisionNetwork

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import nn

    from actors.exporting.postprocess import Postprocess
    from actors.models.spec import Model


def export_pt2(model: Model, path: Path, precision: str, postprocess: Postprocess, metadata: Mapping[str, str]) -> None:
    """Writes a program from normalised float32 pixels to the outputs of the network, for any number of images.

    The weights are stored in ``precision``; the program computes in fp32.

    Raises:
        JobError: PyTorch cannot export the network.
        OSError: the file cannot be written.
    """
    network = followed_by(postprocess, build_network(model))
    if precision != "fp32":
        network = StoredIn(network, _DTYPES[precision])
    # Two images: torch.export would treat a batch axis of length 1 as a constant.
    pixels = torch.zeros((2, *model.preprocess.input_shape))
    batch_axis = {0: torch.export.Dim.DYNAMIC}
    with quietly():
        try:
            # Already in evaluation mode, and an exported program has no eval().
            program = torch.export.export(network, (pixels,), dynamic_shapes=(batch_axis,), strict=False)
        except Exception as error:
            raise JobError(
                f"export.formats=pt2: {model.network_key} cannot be exported: {cause(error)}",
                fix="leave pt2 out of export.formats",
            ) from error
        _allow_any_dtype(program)
        torch.export.save(program, path, extra_files=dict(sorted(metadata.items())))


def _allow_any_dtype(program: torch.export.ExportedProgram) -> None:
    """Removes the checks that weights have their stored dtype: an engine may convert them all."""
    for node in list(program.graph.nodes):
        if node.target is torch.ops.aten._assert_tensor_metadata.default:  # noqa: SLF001  the exporter adds it
            program.graph.erase_node(node)
    program.graph_module.recompile()


def save_weights(network: nn.Module, path: Path, precision: str) -> None:
    """Writes the state_dict of ``network`` in ``precision``; integers are unchanged. Raises OSError."""
    dtype = _DTYPES[precision]
    if isinstance(network, VisionNetwork):  # transformers expects its own network's names
        network = network.model
    tensors = {
        # Copies, since safetensors rejects tensors that share memory, such as tied weights.
        name: value.to(dtype if value.is_floating_point() else value.dtype).clone().contiguous()
        for name, value in network.state_dict().items()
        if isinstance(value, torch.Tensor)
    }
    safetensors.torch.save_file(tensors, path, metadata={"format": "pt"})


_DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
