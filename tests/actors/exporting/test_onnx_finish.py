from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from digit_images import DIGITS, digit_pixels

from actors.errors import JobError
from actors.exporting.onnx_export import export
from actors.exporting.onnx_finish import finish

METADATA = {"task": '{"name": "classify"}', "labels": '["zero"]'}


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("exported") / "raw.onnx"
    export(DIGITS, path)
    return path


def run(path: Path, count: int) -> np.ndarray:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: digit_pixels(count)})[0]


@pytest.mark.parametrize("separate_weights", [False, True])
def test_the_file_answers_as_before_for_any_number_of_images(
    exported: Path, tmp_path: Path, *, separate_weights: bool
) -> None:
    finish(exported, tmp_path / "model.onnx", METADATA, separate_weights=separate_weights)
    for count in (1, 3, 8):
        np.testing.assert_allclose(run(tmp_path / "model.onnx", count), run(exported, count), rtol=1e-5)
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"model.onnx", "model.onnx.data"} if separate_weights else {"model.onnx"}
    if separate_weights:
        assert (tmp_path / "model.onnx.data").stat().st_size > 10 * (tmp_path / "model.onnx").stat().st_size


def test_it_describes_itself_and_keeps_no_trace_of_this_machine(exported: Path, tmp_path: Path) -> None:
    finish(exported, tmp_path / "model.onnx", METADATA)
    proto = onnx.load(tmp_path / "model.onnx")
    onnx.checker.check_model(proto)
    assert {entry.key: entry.value for entry in proto.metadata_props} == METADATA
    data = (tmp_path / "model.onnx").read_bytes()
    assert b"stack_trace" in exported.read_bytes()
    assert b"stack_trace" not in data
    assert str(Path(__file__).parents[3]).encode() not in data
    ends = (*proto.graph.input, *proto.graph.output)
    assert {value.type.tensor_type.shape.dim[0].dim_param for value in ends} == {"batch"}


def test_a_graph_for_a_fixed_number_of_images_is_refused(exported: Path, tmp_path: Path) -> None:
    proto = onnx.load(exported)
    proto.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 4
    onnx.save(proto, tmp_path / "fixed.onnx")
    with pytest.raises(JobError, match="pixels_nhwc takes batches of 4"):
        finish(tmp_path / "fixed.onnx", tmp_path / "model.onnx", {})
    assert not (tmp_path / "model.onnx").exists()


def test_inner_axes_of_another_length_keep_their_names(tmp_path: Path) -> None:
    def value(name: str, *axes: str | int) -> onnx.ValueInfoProto:
        return onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, axes)

    nodes = [onnx.helper.make_node("Relu", ["x"], ["r"]), onnx.helper.make_node("Relu", ["r"], ["y"])]
    inner = [value("r", "n", 3), value("range", "columns")]
    graph = onnx.helper.make_graph(nodes, "g", [value("x", "n", 3)], [value("y", "n", 3)], value_info=inner)
    onnx.save(onnx.helper.make_model(graph), tmp_path / "raw.onnx")
    finish(tmp_path / "raw.onnx", tmp_path / "model.onnx", METADATA)
    found = onnx.load(tmp_path / "model.onnx").graph.value_info
    assert [one.type.tensor_type.shape.dim[0].dim_param for one in found] == ["batch", "columns"]
