from __future__ import annotations

import pyarrow as pa
import pytest

from jobs.serving.bodies import RequestError
from jobs.serving.protocol import encoded_images, infer_document, model_document

FIELDS = [pa.field("label_id", pa.int32()), pa.field("label", pa.string()), pa.field("all", pa.list_(pa.float32()))]
TENSOR = {"name": "image", "shape": [2], "datatype": "BYTES", "data": ["YQ==", "Yg=="]}


def test_the_model_names_its_inputs_and_outputs() -> None:
    document = model_document("digits", FIELDS)
    assert document["name"] == "digits"
    assert [one["datatype"] for one in document["outputs"]] == ["INT32", "BYTES", "BYTES"]


def test_images_come_as_bytes() -> None:
    assert encoded_images({"inputs": [TENSOR]}, 2) == [b"a", b"b"]


@pytest.mark.parametrize(
    ("document", "status"),
    [
        (None, 400),
        ({"inputs": []}, 400),
        ({"inputs": [1]}, 400),
        ({"inputs": [{**TENSOR, "datatype": "FP32"}]}, 400),
        ({"inputs": [{**TENSOR, "shape": [3]}]}, 400),
        ({"inputs": [{**TENSOR, "data": "YQ=="}]}, 400),
        ({"inputs": [{**TENSOR, "data": [1, 2]}]}, 400),
        ({"inputs": [{**TENSOR, "data": ["YQ=="] * 3, "shape": [3]}]}, 413),
    ],
)
def test_another_request_is_refused(document: object, status: int) -> None:
    with pytest.raises(RequestError) as raised:
        encoded_images(document, 2)
    assert raised.value.status == status


def test_columns_become_tensors() -> None:
    rows = [{"label_id": 1, "label": "a", "all": [0.5]}, {"label_id": 2, "label": "b", "all": []}]
    answer = infer_document("digits", "request 7", FIELDS, rows)
    assert (answer["model_name"], answer["id"]) == ("digits", "request 7")
    assert {one["name"]: one["data"] for one in answer["outputs"]} == {
        "label_id": [1, 2], "label": ["a", "b"], "all": ["[0.5]", "[]"],
    }  # fmt: skip
    assert "id" not in infer_document("digits", None, FIELDS, rows)
