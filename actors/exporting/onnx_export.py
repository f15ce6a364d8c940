"""Makes the .onnx file of a network that is given as architecture and weights. Runs once a node, where an engine that
reads such files loads the model.
"""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from typing import TYPE_CHECKING, Any, cast

import torch

from actors.device_errors import DeviceError, device_errors
from actors.errors import JobError
from actors.messages import one_line
from actors.models.network import build_network
from actors.models.output_shapes import uncounted
from actors.models.outputs import named
from actors.preprocess import scale_and_bias

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from torch import nn

    from actors.models.spec import Model

INPUT_NAME = "pixels_nhwc"


def export(model: Model, path: Path, *, half: bool = False) -> None:
    """Writes a graph from `INPUT_NAME`, uint8 (n, height, width, 3) of any n, to all that the network returns.

    The normalisation is inside. Outputs have the names of `actors.models.outputs.named`; those that are floating are
    float32. Weights of 2 GB and more lie in a second file beside ``path``.

    Args:
        model: of a state_dict.
        path: the .onnx file.
        half: whether the network computes in fp16; the normalisation stays fp32.

    Raises:
        JobError: the network cannot be built, or is not one that PyTorch can export.
        OSError: the file cannot be written.
    """
    graph = _Graph(build_network(model), model)
    pixels_nhwc = torch.zeros((2, *model.preprocess.size, 3), dtype=torch.uint8)
    with _quietly():
        try:
            with device_errors(torch.OutOfMemoryError):
                program = _program(graph, pixels_nhwc, half=half)
        except (JobError, DeviceError):
            raise
        except Exception as error:
            raise JobError(
                f"model.architecture={model.architecture}: cannot be exported to ONNX"
                f"{' in fp16' * half}: {type(error).__name__}: {one_line(error)}",
                cure="choose engine=torch",
            ) from error
        program.save(path)


class _Graph(torch.nn.Module):
    """The network with what stands before and behind it in the file."""

    def __init__(self, network: nn.Module, model: Model) -> None:
        super().__init__()
        scale, bias = scale_and_bias(model.preprocess)
        self.network = network
        width = model.preprocess.size[1]
        self.scale = torch.from_numpy(scale).repeat(width)
        self.bias = torch.from_numpy(bias).repeat(width)
        self.dtype = torch.float32

    def forward(self, pixels_nhwc: torch.Tensor) -> tuple[torch.Tensor, ...]:
        tensors = self.tensors(pixels_nhwc).values()
        return tuple(tensor.to(torch.float32) if tensor.is_floating_point() else tensor for tensor in tensors)

    def tensors(self, pixels_nhwc: torch.Tensor) -> dict[str, torch.Tensor]:
        """What the network returns, by name."""
        # The axes move last: OpenVINO then leaves them where they are, which is how its convolutions like them.
        # Rows of all channels are scaled at a time: onnxruntime takes ten times as long with 3 values.
        rows = pixels_nhwc.flatten(2).to(torch.float32) * self.scale + self.bias
        pixels = rows.reshape(pixels_nhwc.shape).to(self.dtype)
        # Contiguous, since some networks view what they must reshape; it costs nothing in the file.
        return named(self.network(pixels.permute(0, 3, 1, 2).contiguous()))


def _program(graph: _Graph, pixels_nhwc: torch.Tensor, *, half: bool) -> torch.onnx.ONNXProgram:
    with torch.no_grad():
        tensors = graph.tensors(pixels_nhwc)
    uncounted(tensors, len(pixels_nhwc))  # refuses a network that counts images nowhere
    if half:
        graph.network.half()
        graph.dtype = torch.float16
    batch_axis = {0: torch.export.Dim.DYNAMIC}
    traced = torch.export.export(graph, (pixels_nhwc,), dynamic_shapes=(batch_axis,), strict=False)
    made = torch.onnx.export(traced, input_names=[INPUT_NAME], output_names=list(tensors), verbose=False)
    program = cast("torch.onnx.ONNXProgram", made)  # None where a path is given
    _rename_inner(program.model.graph, set(tensors))
    return program


def _rename_inner(graph: Any, names: set[str]) -> None:
    """Gives other names to what is inside and is named as an output: the exporter calls things by what made them."""
    outputs = {id(value) for value in graph.outputs}
    inner = [
        *graph.inputs,
        *graph.initializers.values(),
        *(value for node in graph.all_nodes() for value in node.outputs),
    ]
    for value in inner:
        if value.name in names and id(value) not in outputs:
            value.name = f"{value.name}.inner"


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """The exporter logs, warns and prints much that is of no use to a user; what matters it raises."""
    level = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with (
            warnings.catch_warnings(action="ignore"),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            yield
    finally:
        logging.disable(level)
