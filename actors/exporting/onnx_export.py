"""Exports a PyTorch network to an .onnx file. Runs once per node, for engines that read .onnx files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import torch

from actors.device_errors import DeviceError, device_errors
from actors.errors import JobError
from actors.exporting.exporter_errors import cause, quietly
from actors.models.network import build_network
from actors.models.output_shapes import uncounted
from actors.models.outputs import named
from actors.models.pixel_input import PixelInput

if TYPE_CHECKING:
    from pathlib import Path

    from torch import nn

    from actors.models.spec import Model

INPUT_NAME = "pixels_nhwc"


def export(model: Model, path: Path, *, half: bool = False, network: nn.Module | None = None) -> None:
    """Writes a graph from `INPUT_NAME`, uint8 (n, height, width, 3) for any n, to all outputs of the network.

    The graph includes the normalisation. Outputs are named by `actors.models.outputs.named`; floating point is float32.
    Weights of 2 GB or more go to a second file next to ``path``.

    Args:
        model: a model that has a network.
        path: the .onnx file.
        half: computes in fp16; the normalisation stays in fp32.
        network: the result of `build_network` for ``model``, if already built; changed by ``half``.

    Raises:
        JobError: the network cannot be built, or PyTorch cannot export it.
        OSError: the file cannot be written.
    """
    graph = _Graph(build_network(model) if network is None else network, model)
    # Two images: torch.export would treat a batch axis of length 1 as a constant.
    pixels_nhwc = torch.zeros((2, *model.preprocess.size, 3), dtype=torch.uint8)
    with quietly():
        try:
            with device_errors(torch.OutOfMemoryError):
                program = _program(graph, pixels_nhwc, half=half)
        except (JobError, DeviceError):
            raise
        except Exception as error:
            raise JobError(
                f"{model.network_key}: cannot be exported to ONNX{' in fp16' * half}: {cause(error)}",
                fix="choose engine=torch",
            ) from error
        program.save(path)


class _Graph(torch.nn.Module):
    """The network with the pre- and post-processing in the file."""

    def __init__(self, network: nn.Module, model: Model) -> None:
        super().__init__()
        self.network = network
        self.pixels = PixelInput(model.preprocess)
        self.dtype = torch.float32

    def forward(self, pixels_nhwc: torch.Tensor) -> tuple[torch.Tensor, ...]:
        tensors = self.tensors(pixels_nhwc).values()
        return tuple(tensor.to(torch.float32) if tensor.is_floating_point() else tensor for tensor in tensors)

    def tensors(self, pixels_nhwc: torch.Tensor) -> dict[str, torch.Tensor]:
        """Returns the outputs of the network, by name."""
        numbers = self.pixels(pixels_nhwc).to(self.dtype)
        # The layout change comes last: OpenVINO then removes it, since its convolutions prefer NHWC.
        arranged = numbers if self.pixels.is_nhwc else numbers.permute(0, 3, 1, 2)
        # Contiguous, since some networks call view where they need reshape; costs nothing in the exported graph.
        return named(self.network(arranged.contiguous()))


def _program(graph: _Graph, pixels_nhwc: torch.Tensor, *, half: bool) -> torch.onnx.ONNXProgram:
    with torch.no_grad():
        tensors = graph.tensors(pixels_nhwc)
    uncounted(tensors, len(pixels_nhwc))  # rejects a network if any output lacks one entry per image
    if half:
        graph.network.half()
        graph.dtype = torch.float16
    batch_axis = {0: torch.export.Dim.DYNAMIC}
    # strict=True would interpret the network's Python code, which it supports only in part.
    traced = torch.export.export(graph, (pixels_nhwc,), dynamic_shapes=(batch_axis,), strict=False)
    made = torch.onnx.export(traced, input_names=[INPUT_NAME], output_names=list(tensors), verbose=False)
    program = cast("torch.onnx.ONNXProgram", made)  # None if a path is given
    _rename_inner(program.model.graph, set(tensors))
    return program


def _rename_inner(graph: Any, names: set[str]) -> None:
    """Renames inner values named like an output: the exporter names values after their origin."""
    outputs = {id(value) for value in graph.outputs}
    inner = [
        *graph.inputs,
        *graph.initializers.values(),
        *(value for node in graph.all_nodes() for value in node.outputs),
    ]
    for value in inner:
        if value.name in names and id(value) not in outputs:
            value.name = f"{value.name}.inner"
