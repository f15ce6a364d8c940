from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from model_inputs import CASES, CHANNELS, PIXELS_NHWC, expected_channels, expected_numbers, make_preprocess
from networks import tiny
from onnx import TensorProto, helper
from onnx_models import INPUTS, SIDE, make_model, save_onnx
from programs import save_ir

from actors.engines.onnx_input import image_input
from actors.engines.openvino_graph import read_graph
from actors.engines.openvino_library import load_openvino
from actors.errors import JobError
from actors.models.graph_file import GraphFile
from actors.models.spec import Model
from actors.preprocess import Preprocess

CORE = load_openvino().Core()


@pytest.fixture
def model(tmp_path: Path) -> Model:
    """Returns a recipe; the test writes its file."""
    return Model(checkpoint=str(tmp_path / "a.onnx"), preprocess=Preprocess(resize=SIDE, crop=SIDE))


def read(model: Model) -> Any:
    return read_graph(CORE, GraphFile(Path(model.checkpoint), "fp32"), model)


def run(model: Model, pixels_nhwc: np.ndarray) -> list[np.ndarray]:
    graph = read(model).graph
    graph.reshape(list(pixels_nhwc.shape))
    found = CORE.compile_model(graph, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})(pixels_nhwc)
    return [found[place] for place in range(len(graph.outputs))]


SHAPE = ["n", 3, SIDE, SIDE]
Tensors = dict[str, tuple[int, list[Any]]]


def save(model: Model, nodes: list[Any], inputs: Tensors, outputs: Tensors) -> None:
    """Writes a graph with tensors of these types and shapes."""
    takes, gives = (
        [helper.make_tensor_value_info(name, *what) for name, what in tensors.items()] for tensors in (inputs, outputs)
    )
    onnx.save(make_model(nodes, takes, gives), model.checkpoint)


def save_identity(model: Model, kind: int, shape: list[Any]) -> None:
    save(model, [helper.make_node("Identity", ["x"], ["y"])], {"x": (kind, shape)}, {"y": (kind, shape)})


@pytest.mark.parametrize("batch", ["n", 4])
@pytest.mark.parametrize("takes", INPUTS)
def test_what_a_file_takes_is_what_onnxruntime_says(model: Model, takes: str, batch: Any) -> None:
    save_onnx(tiny(), Path(model.checkpoint), takes=takes, batch=batch)
    session = onnxruntime.InferenceSession(model.checkpoint, providers=["CPUExecutionProvider"])
    graph = read(model)
    assert graph.input == image_input(session.get_inputs(), model)
    assert graph.outputs == ["logits"]
    assert graph.graph.input().get_element_type().get_type_name() == "u8"
    assert graph.graph.input().get_partial_shape()[-1] == 3


@pytest.mark.parametrize("layout", ["nchw", "nhwc"])
@pytest.mark.parametrize("keys", CASES, ids=str)
def test_floats_are_normalised_as_the_keys_say(model: Model, keys: dict[str, Any], layout: str) -> None:
    model.preprocess = make_preprocess(**keys)
    save_identity(model, TensorProto.FLOAT, shape_of(model.preprocess, layout))
    (found,) = run(model, PIXELS_NHWC)
    found_nhwc = found.transpose(0, 2, 3, 1) if layout == "nchw" else found
    np.testing.assert_allclose(found_nhwc, expected_numbers(model.preprocess), atol=2e-5)


@pytest.mark.parametrize("layout", ["nchw", "nhwc"])
@pytest.mark.parametrize("keys", CHANNELS, ids=str)
def test_bytes_have_the_channels_that_the_keys_say(model: Model, keys: dict[str, Any], layout: str) -> None:
    model.preprocess = make_preprocess(**keys)
    save_identity(model, TensorProto.UINT8, shape_of(model.preprocess, layout))
    (found,) = run(model, PIXELS_NHWC)
    found_nhwc = found.transpose(0, 2, 3, 1) if layout == "nchw" else found
    np.testing.assert_array_equal(found_nhwc, expected_channels(model.preprocess))


def shape_of(preprocess: Preprocess, layout: str) -> list[Any]:
    sides = dict(zip("hw", preprocess.size, strict=True))
    return [{"n": "n", "c": preprocess.channels, **sides}[axis] for axis in layout]


@pytest.mark.parametrize("layout", ["nchw", "nhwc"])
@pytest.mark.parametrize("kind", [TensorProto.UINT8, TensorProto.FLOAT, TensorProto.FLOAT16])
def test_pixels_come_in_as_the_file_wants_them(model: Model, kind: int, layout: str) -> None:
    model.preprocess.mean, model.preprocess.std = [0.1, 0.2, 0.3], [0.4, 0.5, 0.6]
    shape = SHAPE if layout == "nchw" else ["n", SIDE, SIDE, 3]
    save_identity(model, kind, shape)
    pixels = np.random.default_rng(0).integers(0, 256, (3, SIDE, SIDE, 3), dtype=np.uint8)
    (found,) = run(model, pixels)
    wanted = pixels if kind == TensorProto.UINT8 else (pixels / 255 - [0.1, 0.2, 0.3]) / [0.4, 0.5, 0.6]
    assert found.dtype == (np.uint8 if kind == TensorProto.UINT8 else np.float32)
    found_nhwc = found.transpose(0, 2, 3, 1) if layout == "nchw" else found
    np.testing.assert_allclose(found_nhwc, wanted, atol=2e-3 if kind == TensorProto.FLOAT16 else 1e-6)


def test_outputs_keep_their_names_and_floats_are_float32(model: Model) -> None:
    kinds = {"double": TensorProto.DOUBLE, "brain": TensorProto.BFLOAT16, "half": TensorProto.FLOAT16}
    nodes = [helper.make_node("Cast", ["x"], [name], to=kind) for name, kind in kinds.items()]
    nodes += [helper.make_node("Identity", ["x"], ["same"]), helper.make_node("Identity", ["same"], ["again"])]
    nodes += [helper.make_node("Greater", ["x", "again"], ["greater"])]
    kinds |= {"again": TensorProto.FLOAT, "same": TensorProto.FLOAT, "greater": TensorProto.BOOL}
    outputs = {name: (kind, SHAPE) for name, kind in kinds.items()}
    save(model, nodes, {"x": (TensorProto.FLOAT, SHAPE)}, outputs)
    assert read(model).outputs == list(outputs)
    pixels = np.random.default_rng(0).integers(0, 256, (2, SIDE, SIDE, 3), dtype=np.uint8)
    *found, greater = run(model, pixels)
    assert {output.dtype for output in found} == {np.dtype(np.float32)}
    for output in found:
        np.testing.assert_allclose(output, found[-1], rtol=1 / 128)  # bf16 has 8 bits
    assert not greater.any()
    assert greater.dtype == np.bool_


@pytest.mark.parametrize(
    ("kind", "shape", "message"),
    [
        (TensorProto.DOUBLE, SHAPE, r"its input is x double \(\?, 3, 32, 32\), not a batch of images"),
        (TensorProto.FLOAT, ["n", 3], r"its input is x float \(\?, 3\), not a batch of images"),
        (TensorProto.FLOAT, ["n", 1, SIDE, SIDE], r"has 1 channels, not 3"),
        (TensorProto.FLOAT, ["n", 3, 48, SIDE], r"takes 48 by 32\n.*preprocess\.crop=\[48,32\]"),
    ],
)
def test_a_model_of_another_image_size_is_reported(model: Model, kind: int, shape: list[Any], message: str) -> None:
    save_identity(model, kind, shape)
    with pytest.raises(JobError, match=message):
        read(model)


def test_an_input_without_a_shape_is_reported(model: Model) -> None:
    save_identity(model, TensorProto.FLOAT, SHAPE)
    made = onnx.load(model.checkpoint)
    made.graph.input[0].type.tensor_type.ClearField("shape")
    onnx.save(made, model.checkpoint)
    with pytest.raises(JobError, match=r"its input is x float \(\), not a batch of images"):
        read(model)


def test_several_inputs_are_reported(model: Model) -> None:
    inputs: Tensors = {"x": (TensorProto.FLOAT, SHAPE), "tokens": (TensorProto.INT64, ["n", 5])}
    nodes = [helper.make_node("Identity", [name], [f"{name}2"]) for name in inputs]
    save(model, nodes, inputs, {f"{name}2": what for name, what in inputs.items()})
    with pytest.raises(JobError, match=r"takes 2 inputs \(x float \(\?, 3, 32, 32\), tokens int64 \(\?, 5\)\)"):
        read(model)


def test_a_file_that_openvino_cannot_load_is_reported_in_a_line(model: Model) -> None:
    pieces = helper.make_tensor_sequence_value_info("pieces", TensorProto.FLOAT, None)
    image = helper.make_tensor_value_info("x", TensorProto.FLOAT, SHAPE)
    onnx.save(make_model([helper.make_node("SplitToSequence", ["x"], ["pieces"])], [image], [pieces]), model.checkpoint)
    with pytest.raises(JobError, match=r"a\.onnx: openvino cannot load it: [^\n]*SplitToSequence.*\n.*onnxruntime"):
        read(model)


def test_an_ir_whose_weights_were_cut_is_to_be_copied_again(tmp_path: Path) -> None:
    model = save_ir(tiny(5), tmp_path / "a.xml")
    (tmp_path / "a.bin").write_bytes(b"short")
    with pytest.raises(JobError, match=r"a\.xml: openvino cannot load it: .*\n  fix: copy its \.xml and \.bin again"):
        read_graph(load_openvino().Core(), GraphFile(tmp_path / "a.xml", "fp32"), model)


def test_the_fix_for_a_network_of_pytorch_is_pytorch(tmp_path: Path) -> None:
    model = Model("networks:tiny", checkpoint="a.pt")
    (tmp_path / "made.onnx").write_bytes(b"nonsense")
    with pytest.raises(JobError, match=r"model\.checkpoint=a\.pt: openvino cannot load it: .*\n.*engine=torch"):
        read_graph(CORE, GraphFile(tmp_path / "made.onnx", "fp32", is_exported=True), model)
