"""The files of an ONNX model: the graph, and external data in the same folder. Runs on the driver and once in each
worker, before an engine opens them.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from contextlib import contextmanager
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]  # a dependency of onnx, untyped

from actors.errors import JobError
from actors.models.graph_file import GraphFile
from actors.models.model_files import lfs_pointer, reading, sibling
from actors.models.node_copies import local_copy

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from actors.models.spec import Model


def not_numbers(model: Model, seen: str) -> JobError:
    """Returns the error for outputs that are not numeric tensors; ``seen`` lists their names and types."""
    return JobError(
        f"{model.where}: not all of its outputs are tensors of numbers: {seen}",
        fix="cut the file to those that are, with onnx.utils.extract_model, or export it again",
    )


@contextmanager
def local(model: Model) -> Iterator[GraphFile]:
    """Yields the files of an .onnx ``model`` on this machine, for as long as the context is open.

    Raises:
        JobError: a file is missing, or is not an ONNX model.
    """
    with _local_copy(model) as path:
        proto = _proto_in(path, model)
        mixes_images = any(node.op_type in _ONE_SCALE for inner in _graphs(proto) for node in inner.node)
        yield GraphFile(path, _precision(proto), mixes_images)


def files(model: Model) -> list[str]:
    """Returns the URIs of the .onnx file and of its external data. Raises like `digest`."""
    with _local_copy(model) as path:
        names = _external_names(_proto_in(path, model), model.where)
    return [model.checkpoint, *(sibling(model.checkpoint, name) for name in names)]


def digest(model: Model) -> str:
    """Returns the SHA-256, in hexadecimal, of the .onnx file of ``model`` and its external data, in order of name.

    Raises:
        JobError: a file is missing, or is not an ONNX model.
    """
    with _local_copy(model) as path, reading(model.where):
        total = hashlib.sha256(path.read_bytes())
        for name in _external_names(_proto_in(path, model), model.where):
            content = (path.parent / name).read_bytes()
            total.update(f"\n{name} {len(content)}\n".encode())
            total.update(content)
    return total.hexdigest()


def _local_copy(model: Model) -> AbstractContextManager[Path]:
    return local_copy(model, lambda path: _external_names(_proto_in(path, model), model.where), kind="external data")


def _proto_in(path: Path, model: Model) -> Any:
    """Returns the model in the file at ``path``. Raises `JobError` if there is none."""
    with reading(model.where):
        data = path.read_bytes()
    try:
        proto = onnx.load_model_from_string(data)
    except DecodeError:
        proto = onnx.ModelProto()
    if proto.graph.node:  # protobuf parses an empty file, and some other formats, as a model without nodes
        return proto
    if pointer := lfs_pointer(data, model.where):
        raise pointer
    seen = "not a whole ONNX model" if data else "an empty file"
    raise JobError(f"{model.where}: is {seen}", fix="copy it again, or export it again")


def _external_names(proto: Any, where: str) -> list[str]:
    """Returns the paths of the external data, relative to the model's folder. Raises `JobError` for a path that leaves
    it.
    """
    names = {
        entry.value
        for tensor in _tensors(proto)
        if tensor.data_location == onnx.TensorProto.EXTERNAL
        for entry in tensor.external_data
        if entry.key == "location"
    }
    for name in names:
        if not _is_inside(name):
            raise JobError(
                f"{where}: its external data lies outside its folder, at {name!r}",
                fix="save the model again with its data in the same folder",
            )
    return sorted(names)


def _is_inside(name: object) -> bool:
    """Returns True if ``name`` is a relative path that stays below its folder."""
    # protobuf returns bytes if text is not UTF-8. On Windows, backslashes and colons lead to other folders and drives.
    if not isinstance(name, str) or set(name) & set("\\:\0"):
        return False
    path = PurePosixPath(name)
    return bool(path.parts) and not path.is_absolute() and ".." not in path.parts


def _tensors(proto: Any) -> Iterator[Any]:
    """Yields every tensor stored in a model."""
    for inner in _graphs(proto):
        yield from getattr(inner, "initializer", ())  # functions have none
        for sparse in getattr(inner, "sparse_initializer", ()):
            yield from (sparse.values, sparse.indices)
        for node in inner.node:
            for attribute in node.attribute:
                yield from (attribute.t, attribute.sparse_tensor.values, attribute.sparse_tensor.indices)
                yield from attribute.tensors


def _graphs(proto: Any) -> Iterator[Any]:
    """Yields the graph and the functions of a model, and the subgraphs of their nodes, recursively."""
    for graph in (proto.graph, *proto.functions):
        yield from _with_subgraphs(graph)


def _with_subgraphs(graph: Any) -> Iterator[Any]:
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                yield from _with_subgraphs(inner)


# Operators that quantise a whole batch with one scale.
_ONE_SCALE = {"DynamicQuantizeLinear", "DynamicQuantizeMatMul", "DynamicQuantizeLSTM"}


def _precision(proto: Any) -> str:
    # By elements, not by tensors: quantised files keep many small tensors, such as scales, in fp32.
    elements: Counter[str] = Counter()
    for tensor in _tensors(proto):
        if name := _PRECISIONS.get(tensor.data_type):
            elements[name] += _num_elements(tensor)
    return max(elements, key=elements.__getitem__, default="fp32")


def _num_elements(tensor: Any) -> int:
    return math.prod(tensor.dims)


_PRECISIONS = {
    onnx.TensorProto.FLOAT: "fp32",
    onnx.TensorProto.FLOAT16: "fp16",
    onnx.TensorProto.BFLOAT16: "bf16",
    onnx.TensorProto.INT8: "int8",
    onnx.TensorProto.UINT8: "int8",
}
