"""Prepares an exported .onnx file for distribution: with metadata, without traces of this machine, with its weights
inside or in a second file. Runs where a bundle is built.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnx

from actors.errors import JobError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def finish(source: Path, target: Path, metadata: Mapping[str, str], *, separate_weights: bool = False) -> None:
    """Writes the graph of ``source`` to ``target``, for any number of images.

    Args:
        source: an .onnx file, with its external data next to it.
        target: path of the new file; its external data has the same name plus ``.data``.
        metadata: becomes the file's ``metadata_props``.
        separate_weights: writes the weights as external data; always the case for graphs of 2 GB or more.

    Raises:
        JobError: the graph accepts only a fixed number of images.
    """
    proto = onnx.load(source)
    _require_any_batch(proto.graph)
    proto.graph.ClearField("metadata_props")
    for node in _nodes(proto.graph):
        # The exporter records the user's source lines here, with this machine's paths.
        node.ClearField("metadata_props")
        node.ClearField("doc_string")
    for value in (*proto.graph.value_info, *proto.graph.input, *proto.graph.output):
        value.ClearField("metadata_props")
    _name_batch(proto.graph)
    del proto.metadata_props[:]
    onnx.helper.set_model_props(proto, dict(sorted(metadata.items())))
    data = f"{target.name}.data"
    if separate_weights or proto.ByteSize() >= _MOST_BYTES:
        onnx.save_model(
            proto, target, save_as_external_data=True, all_tensors_to_one_file=True, location=data,
            size_threshold=_LEAST_EXTERNAL_BYTES,
        )  # fmt: skip
    else:
        target.write_bytes(proto.SerializeToString(deterministic=True))


_MOST_BYTES = 2**31 - (1 << 20)  # limit of a protobuf message
_LEAST_EXTERNAL_BYTES = 1024  # scales and shapes stay in the graph


def _require_any_batch(graph: onnx.GraphProto) -> None:
    stored = {tensor.name for tensor in graph.initializer}  # old files list them among the inputs
    for value in graph.input:
        axes = value.type.tensor_type.shape.dim
        if value.name not in stored and axes and axes[0].WhichOneof("value") == "dim_value":
            raise JobError(
                f"export.formats=onnx: the input {value.name} takes batches of {axes[0].dim_value}, and a bundle takes "
                "any number of images",
                fix="export the network itself, or that file with a free batch size",
            )


def _name_batch(graph: onnx.GraphProto) -> None:
    """Names the first axis of inputs and outputs ``batch`` if it is dynamic; exporters number such axes. Inner values
    follow by name: their first axis may be another one, and engines reuse memory if names are equal.
    """
    ends = [value.type.tensor_type.shape.dim for value in (*graph.input, *graph.output)]
    names = {axes[0].dim_param for axes in ends if axes and axes[0].WhichOneof("value") == "dim_param"}
    for value in (*graph.value_info, *graph.input, *graph.output):
        for axis in value.type.tensor_type.shape.dim:
            if axis.WhichOneof("value") == "dim_param" and axis.dim_param in names:
                axis.dim_param = "batch"


def _nodes(graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    """Returns the nodes of a graph and, recursively, of its subgraphs."""
    found = []
    for node in graph.node:
        found.append(node)
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                found += _nodes(inner)
    return found
