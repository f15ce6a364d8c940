"""Traces a PyTorch network into an OpenVINO graph, in a tenth of the time of an export to ONNX. Runs once per node, for
engine=openvino.
"""

from __future__ import annotations

import copy
import logging
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.jit import TracerWarning  # type: ignore[attr-defined]  # PyTorch's stubs lack it

from actors.engines.openvino_library import load_openvino
from actors.exporting.exporter_errors import cause, quietly
from actors.models.network import build_network
from actors.models.outputs import named
from actors.models.pixel_input import PixelInput

if TYPE_CHECKING:
    from pathlib import Path

    from torch import nn

    from actors.models.spec import Model
    from actors.preprocess import Preprocess

LOG = logging.getLogger("shardlens")


def trace(model: Model, path: Path, *, network: nn.Module | None = None) -> bool:
    """Writes a graph from normalised pixels, float32 of shape (n, *model.preprocess.input_shape) for any n, to all
    outputs of the network, named by `actors.models.outputs.named`; floating point is float32.

    A trace records the operators of one call, so it is wrong if the network's Python code depends on the images.
    Nothing is written if the trace of two images gives other outputs than the network for three others, or if PyTorch
    warns of Python code that depends on tensors, unless it depends on their shapes alone.

    Args:
        model: a model that has a network.
        path: the .xml file; the weights go to a .bin file next to it.
        network: the result of `build_network` for ``model``, if already built.

    Returns:
        False if the network cannot be traced, and has to be exported.

    Raises:
        JobError: the network cannot be built, or OpenVINO is missing.
    """
    openvino = load_openvino()
    outputs = _Outputs(build_network(model) if network is None else network)
    try:
        with quietly(), torch.no_grad():
            graph = _graph(outputs, *(_numbers(num_images, model.preprocess) for num_images in (2, 3)))
        graph.reshape([-1, *model.preprocess.input_shape])
        for output, name in zip(graph.outputs, outputs.names, strict=True):
            output.get_tensor().set_names({name})
        openvino.save_model(graph, str(path), compress_to_fp16=False)
    except Exception as error:  # noqa: BLE001  the exporter tells what is wrong with the network
        LOG.debug("%s: cannot be traced, so it is exported: %s", model.network_key, cause(error))
        for file in (path, path.with_suffix(".bin")):  # unfinished
            file.unlink(missing_ok=True)
        return False
    return True


class _Outputs(torch.nn.Module):
    """The network with its outputs as a tuple, whose ``names`` are known after a call."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.names: list[str] = []

    def forward(self, numbers: torch.Tensor) -> tuple[torch.Tensor, ...]:
        outputs = named(self.network(numbers))
        self.names = list(outputs)
        tensors = outputs.values()
        return tuple(tensor.to(torch.float32) if tensor.is_floating_point() else tensor for tensor in tensors)


def _numbers(num_images: int, preprocess: Preprocess) -> torch.Tensor:
    """Returns normalised noise in the layout of the network."""
    random = np.random.default_rng(num_images)
    pixels = PixelInput(preprocess)
    numbers_nhwc: torch.Tensor = pixels(
        torch.from_numpy(random.integers(0, 256, (num_images, *preprocess.size, 3), np.uint8))
    )
    return (numbers_nhwc if pixels.is_nhwc else numbers_nhwc.permute(0, 3, 1, 2)).contiguous()


def _without_values(network: nn.Module) -> nn.Module:
    """Returns a copy on the device meta, whose tensors have shapes but no values: PyTorch raises where Python code
    needs a value. Does not copy the weights.
    """
    tensors = (*network.parameters(), *network.buffers())
    return copy.deepcopy(network, {id(tensor): tensor.to("meta") for tensor in tensors})


def _graph(outputs: nn.Module, example: torch.Tensor, other: torch.Tensor) -> Any:
    """Traces ``outputs`` with ``example``, and checks the trace with the ``other`` input.

    Raises:
        ValueError: the trace gives other outputs.
        Exception: PyTorch's, if Python code depends on the values of tensors.
    """
    from openvino.frontend import FrontEndManager  # noqa: PLC0415  optional, and imported without its converter
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder  # noqa: PLC0415  as above

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", TracerWarning)
        TracerWarning.ignore_lib_warnings()  # type: ignore[no-untyped-call]  # in PyTorch's own code, they are harmless
        # PyTorch's own check imports two seconds of modules for distributed tensors.
        decoder = TorchScriptPythonDecoder(outputs, example_input=example, trace_kwargs={"check_trace": False})
        if any(issubclass(one.category, TracerWarning) for one in caught):
            _without_values(outputs)(example.to("meta"))
    for right, traced in zip(outputs(other), decoder.pt_module(other), strict=True):
        if right.shape != traced.shape or not torch.allclose(right, traced, rtol=1e-4, atol=1e-6, equal_nan=True):
            raise ValueError("its trace gives other outputs for other images")
    frontend = FrontEndManager().load_by_framework("pytorch")
    return frontend.convert(frontend.load(decoder))
