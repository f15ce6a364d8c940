from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest
from networks import tiny
from onnx import TensorProto, helper, numpy_helper
from onnx_models import make_model, save_onnx, save_with_constant
from web import serve_folder

from actors.errors import JobError
from actors.models.onnx_files import digest
from actors.models.spec import Model

if TYPE_CHECKING:
    from places import Place


def test_the_digest_is_the_same_wherever_the_files_lie(place: Place, tmp_path: Path) -> None:
    save_onnx(tiny(), tmp_path / "a.onnx", external=True)
    local = digest(Model(checkpoint=str(tmp_path / "a.onnx")))
    uri = place.put("b.onnx", (tmp_path / "a.onnx").read_bytes())
    place.put("data/weights.bin", (tmp_path / "data" / "weights.bin").read_bytes())
    assert digest(Model(checkpoint=uri, storage_options=place.options)) == local


def test_external_data_on_a_web_server_is_asked_for_with_the_token_of_the_model(tmp_path: Path) -> None:
    save_onnx(tiny(), tmp_path / "a.onnx", external=True)
    with serve_folder(tmp_path) as (address, requests):
        found = digest(Model(checkpoint=f"{address}/a.onnx?token=x/y"))
    assert found == digest(Model(checkpoint=str(tmp_path / "a.onnx")))
    assert set(requests) == {"/a.onnx?token=x/y", "/data/weights.bin?token=x/y"}


@pytest.mark.parametrize(
    "location", ["../secret", "/etc/passwd", "a/../../b", "..", "", ".", "C:\\x", "file:x", "nul\0", b"\xff\xfe"]
)
def test_external_data_outside_the_folder_is_refused(tmp_path: Path, location: Any) -> None:
    path = tmp_path / "a.onnx"
    save_with_constant(path, np.ones(2, np.float32), location if isinstance(location, str) else "12")
    if isinstance(location, bytes):  # not UTF-8, which protobuf cannot write
        path.write_bytes(path.read_bytes().replace(b"location\x12\x0212", b"location\x12\x02" + location))
    with pytest.raises(JobError, match=r"external data lies outside its folder|not a whole ONNX model"):
        digest(Model(checkpoint=str(path)))


@pytest.mark.parametrize("place", ["function", "sparse", "attribute"])
def test_external_data_is_confined_wherever_a_model_may_name_it(tmp_path: Path, place: str) -> None:
    save_onnx(tiny(), tmp_path / "a.onnx")
    model = onnx.load(tmp_path / "a.onnx")
    if place == "sparse":
        tensor = model.graph.sparse_initializer.add().values
    else:
        node = (model.functions.add() if place == "function" else model.graph).node.add(op_type="Constant")
        tensor = node.attribute.add(name="value", type=onnx.AttributeProto.TENSOR).t
    tensor.data_type, tensor.data_location = TensorProto.FLOAT, TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../secret")
    (tmp_path / "a.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(JobError, match=r"external data lies outside its folder, at '\.\./secret'"):
        digest(Model(checkpoint=str(tmp_path / "a.onnx")))


def test_data_in_a_graph_inside_a_node_counts(tmp_path: Path) -> None:
    inner = numpy_helper.from_array(np.ones(2, np.float32), "inner")
    branch = helper.make_graph(
        [helper.make_node("Identity", ["inner"], ["y"])],
        "branch",
        [],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [2])],
        [inner],
    )
    model = make_model(
        [helper.make_node("If", ["yes"], ["out"], then_branch=branch, else_branch=branch)],
        [helper.make_tensor_value_info("yes", TensorProto.BOOL, [])],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, [2])],
    )
    stored = model.graph.node[0].attribute[0].g.initializer[0]
    stored.ClearField("raw_data")
    stored.data_location = TensorProto.EXTERNAL
    stored.external_data.add(key="location", value="missing.bin")
    onnx.save(model, tmp_path / "a.onnx")
    with pytest.raises(JobError, match=r"external data missing\.bin is missing"):
        digest(Model(checkpoint=str(tmp_path / "a.onnx")))


@pytest.mark.parametrize(
    ("data", "seen"),
    [
        (b"", "is an empty file"),
        (b"nonsense", "is not a whole ONNX model"),
        (b"<!DOCTYPE html>", "is not a whole ONNX model"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 4\n", "is a Git LFS pointer"),
    ],
)
def test_a_file_without_a_model_is_reported(place: Place, data: bytes, seen: str) -> None:
    uri = place.put("a.onnx", data)
    model = Model(checkpoint=uri, storage_options=place.options)
    with pytest.raises(JobError, match=f"model.checkpoint={uri}: {seen}"):
        digest(model)


def test_half_a_model_is_reported(tmp_path: Path) -> None:
    save_onnx(tiny(), tmp_path / "a.onnx")
    data = (tmp_path / "a.onnx").read_bytes()
    (tmp_path / "a.onnx").write_bytes(data[: len(data) // 2])
    with pytest.raises(JobError, match=r"a\.onnx: is not a whole ONNX model"):
        digest(Model(checkpoint=str(tmp_path / "a.onnx")))


def test_a_folder_and_nothing_are_reported(tmp_path: Path) -> None:
    (tmp_path / "a.onnx").mkdir()
    for name, seen in (("a.onnx", "cannot be read"), ("b.onnx", "no such file")):
        with pytest.raises(JobError, match=rf"{name}: {seen}"):
            digest(Model(checkpoint=str(tmp_path / name)))
