"""Open Inference Protocol, version 2: encoded images as BYTES in, the task's columns out. Runs in the ingress."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from jobs.serving.bodies import RequestError, check_count, from_base64

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jobs.serving.rows import Row

INPUT = "image"


def model_document(name: str, fields: Sequence[pa.Field]) -> dict[str, Any]:
    """Returns the model's metadata: one input of encoded images, and an output for each of the task's columns."""
    return {
        "name": name,
        "versions": [],
        "platform": "shardlens",
        "inputs": [{"name": INPUT, "datatype": "BYTES", "shape": [-1]}],
        "outputs": [{"name": one.name, "datatype": datatype(one.type), "shape": [-1]} for one in fields],
    }


def encoded_images(document: Any, max_images: int) -> list[bytes]:
    """Decodes the base64 images of an inference request.

    Raises:
        RequestError: 400 for a malformed request, 413 for too many images.
    """
    inputs = document.get("inputs") if isinstance(document, dict) else None
    if not isinstance(inputs, list) or len(inputs) != 1 or not isinstance(inputs[0], dict):
        raise RequestError(400, "give one input, of datatype BYTES")
    (tensor,) = inputs
    data, shape = tensor.get("data"), tensor.get("shape")
    if tensor.get("datatype") != "BYTES" or not isinstance(data, list) or shape != [len(data)] or not data:
        raise RequestError(400, "the input is a BYTES tensor of shape [N], with N images in base64 as data")
    check_count(len(data), max_images)
    return [from_base64(text) for text in data]


def infer_document(name: str, request_id: object, fields: Sequence[pa.Field], rows: Sequence[Row]) -> dict[str, Any]:
    """Returns the response for ``rows`` without errors. Nested columns are BYTES with the JSON of each row."""
    outputs = []
    for one in fields:
        kind, values = datatype(one.type), [row[one.name] for row in rows]
        is_nested = pa.types.is_nested(one.type) or isinstance(one.type, pa.BaseExtensionType)
        data = [json.dumps(value) for value in values] if is_nested else values
        outputs.append({"name": one.name, "datatype": kind, "shape": [len(data)], "data": data})
    answer = {"model_name": name, "outputs": outputs}
    return {**answer, "id": request_id} if isinstance(request_id, str) else answer


def datatype(kind: pa.DataType) -> str:
    """Returns the protocol's name of an Arrow type; BYTES for non-numeric types."""
    return _DATATYPES.get(kind, "BYTES")


_DATATYPES = {
    pa.bool_(): "BOOL",
    pa.uint8(): "UINT8",
    pa.int32(): "INT32",
    pa.int64(): "INT64",
    pa.float16(): "FP16",
    pa.float32(): "FP32",
    pa.float64(): "FP64",
}
