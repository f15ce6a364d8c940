"""Converts an .onnx file to OpenVINO IR, which is an .xml and a .bin file. Runs where a bundle is created."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from actors.device_errors import device_errors
from actors.engines.openvino_library import OPENVINO_ERRORS, load_openvino, plain_errors
from actors.errors import JobError
from actors.messages import one_line

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def convert(source: Path, target: Path, precision: str, metadata: Mapping[str, str], *, where: str) -> None:
    """Writes the graph of ``source`` to ``target``, an .xml file, and its weights next to it.

    Args:
        source: an .onnx file.
        target: path of the .xml file.
        precision: number format of the weights: fp16 and bf16 halve them; other formats leave them unchanged.
        metadata: becomes ``model_info`` in the file.
        where: names the model in messages.

    Raises:
        JobError: OpenVINO is missing, or cannot read the graph.
    """
    openvino = load_openvino()
    try:
        with device_errors(), plain_errors():
            graph = openvino.Core().read_model(str(source))
    except OPENVINO_ERRORS as error:
        raise JobError(
            f"export.formats=openvino: {where}: openvino cannot read its graph: {one_line(error)}",
            fix="remove openvino from export.formats",
        ) from error
    if precision == "bf16":
        _round_to_bf16(graph, openvino)
    for name, text in sorted(metadata.items()):
        graph.set_rt_info(text, ["model_info", name])
    for place, node in enumerate(graph.get_ordered_ops()):
        if node.get_friendly_name() == node.get_name():  # a default name, numbered across the process
            node.set_friendly_name(f"{node.get_type_name()}.{place}")
    target.parent.mkdir(exist_ok=True)
    openvino.save_model(graph, str(target), compress_to_fp16=precision == "fp16")


def _round_to_bf16(graph: Any, openvino: Any) -> None:
    """Stores the weights of ``graph`` in bf16; OpenVINO has an option only for fp16."""
    operators = openvino.opset13
    for node in graph.get_ops():
        is_weight = node.get_type_name() == "Constant" and len(node.get_output_shape(0)) > 1
        if not is_weight or node.get_element_type() != openvino.Type.f32:
            continue
        rounded = operators.convert(operators.constant(node.get_data(), dtype=openvino.Type.bf16), "f32")
        for user in node.output(0).get_target_inputs():
            user.replace_source_output(rounded.output(0))
