from __future__ import annotations

import random
import resource
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper
from onnx_models import SIDE, images, make_model, plainly, save_onnx

from actors.engines.base import load_engine
from actors.engines.configs import Device, OnnxEngineConfig, Precision, Provider
from actors.errors import JobError
from actors.models.spec import Model
from actors.preprocess import Preprocess, scale_and_bias

if TYPE_CHECKING:
    from places import Place
    from torch import nn

CPU = OnnxEngineConfig(device=Device.cpu, threads=1)


def save_graph(path: Path, *nodes: Any, outputs: dict[str, list[Any]], element_type: int = 1) -> None:
    """Writes a graph of ``nodes`` on an ``image``, with the outputs of these shapes and this type (1 is float)."""
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 3, SIDE, SIDE])
    infos = [helper.make_tensor_value_info(name, element_type, shape) for name, shape in outputs.items()]
    onnx.save(make_model(nodes, [image], infos), path)


@pytest.mark.parametrize("number", [1, 2, 7])
@pytest.mark.parametrize("takes", ["float", "float_nhwc", "uint8", "uint8_nhwc"])
def test_scores_are_those_of_pytorch(model: Model, path: Path, network: nn.Module, takes: str, number: int) -> None:
    save_onnx(network, path, takes=takes)
    outputs = load_engine(CPU, model)(images(number))
    assert list(outputs) == ["logits"]
    assert outputs["logits"].dtype == np.float32
    wanted = plainly(network, images(number), normalise=takes.startswith("float"))
    np.testing.assert_allclose(outputs["logits"], wanted, atol=1e-5)


def test_half_precision_in_the_file_is_reported_and_comes_back_as_float32(
    model: Model, path: Path, network: nn.Module
) -> None:
    save_onnx(network, path, takes="float16")
    engine = load_engine(CPU, model)
    found = engine(images(3))["logits"]
    assert engine.precision == "fp16"
    assert found.dtype == np.float32
    assert 0 < np.abs(found - plainly(network, images(3))).max() < 0.02
    assert load_engine(replace(CPU, precision=Precision.fp16), model).precision == "fp16"


@pytest.mark.parametrize("takes", ["float", "uint8_nhwc"])
@pytest.mark.parametrize("batch", [1, 4, 8])
def test_a_fixed_batch_size_takes_any_number_of_images(
    model: Model, path: Path, network: nn.Module, batch: int, takes: str
) -> None:
    save_onnx(network, path, takes=takes, batch=batch)
    engine = load_engine(CPU, model)
    for number in (1, 4, 7, 9):
        wanted = plainly(network, images(number), normalise=takes == "float")
        np.testing.assert_allclose(engine(images(number))["logits"], wanted, atol=1e-5)


def test_batching_changes_nothing(model: Model, path: Path, network: nn.Module) -> None:
    save_onnx(network, path)
    engine = load_engine(CPU, model)
    whole = engine(images(9))["logits"]
    for size in (1, 2, 4):
        parts = [engine(images(9)[start : start + size])["logits"] for start in range(0, 9, size)]
        np.testing.assert_allclose(np.concatenate(parts), whole, atol=1e-5)
    np.testing.assert_array_equal(engine(images(8)[::2])["logits"], engine(images(8)[::2].copy())["logits"])


def test_the_arrays_of_one_call_outlive_the_next(model: Model, path: Path, network: nn.Module) -> None:
    save_onnx(network, path)
    engine = load_engine(CPU, model)
    first = engine(images(3))["logits"]
    kept = first.copy()
    engine(images(3)[::-1])
    assert first.flags.writeable
    np.testing.assert_array_equal(first, kept)


@pytest.mark.parametrize("batch", ["n", 2])
def test_external_data_is_found_wherever_the_model_lies(
    place: Place, tmp_path: Path, network: nn.Module, batch: Any
) -> None:
    save_onnx(network, tmp_path / "tiny.onnx", external=True, batch=batch)
    assert (tmp_path / "data" / "weights.bin").stat().st_size > 4000
    uri = place.put("models/tiny v1.onnx", (tmp_path / "tiny.onnx").read_bytes())
    place.put("models/data/weights.bin", (tmp_path / "data" / "weights.bin").read_bytes())
    preprocess = Preprocess(resize=SIDE, crop=SIDE)
    model = Model(checkpoint=uri, preprocess=preprocess, storage_options=place.options)
    model.check()
    found = load_engine(CPU, model)(images(5))["logits"]
    np.testing.assert_allclose(found, plainly(network, images(5)), atol=1e-5)


def test_every_output_keeps_its_name_and_type(model: Model, path: Path) -> None:
    save_graph(
        path,
        helper.make_node("GlobalAveragePool", ["image"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["colour"]),
        helper.make_node("Shape", ["image"], ["lengths"]),
        helper.make_node("Identity", ["image"], ["same"]),
        outputs={"colour": ["n", 3], "same": ["n", 3, SIDE, SIDE]},
    )
    found = load_engine(CPU, model)(images(4))
    assert {name: array.shape for name, array in found.items()} == {"colour": (4, 3), "same": (4, 3, SIDE, SIDE)}
    scale, bias = scale_and_bias(Preprocess())
    np.testing.assert_allclose(found["same"].transpose(0, 2, 3, 1), images(4) * scale + bias, atol=1e-5)


def test_integers_stay_integers(model: Model, path: Path) -> None:
    save_graph(
        path,
        helper.make_node("GlobalAveragePool", ["image"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["colour"]),
        helper.make_node("ArgMax", ["colour"], ["brightest"], axis=1, keepdims=0),
        outputs={"brightest": ["n"]},
        element_type=TensorProto.INT64,
    )
    assert load_engine(CPU, model)(images(4))["brightest"].dtype == np.int64


@pytest.mark.parametrize(
    ("operator", "element_type", "shape"),
    [("ReduceMean", TensorProto.FLOAT, [1, 1, 1, 1]), ("Shape", TensorProto.INT64, [4])],
)
def test_an_output_without_an_entry_an_image_is_reported(
    model: Model, path: Path, operator: str, element_type: int, shape: list[Any]
) -> None:
    node = helper.make_node(operator, ["image"], ["out"])
    save_graph(path, node, outputs={"out": shape}, element_type=element_type)
    with pytest.raises(JobError, match=r"the model's output out has shape \(.*\) for 2 images"):
        load_engine(CPU, model)


@pytest.mark.parametrize(
    ("node", "output", "seen"),
    [
        (
            helper.make_node("SplitToSequence", ["image"], ["pieces"]),
            helper.make_tensor_sequence_value_info("pieces", TensorProto.FLOAT, None),
            r"pieces is seq\(tensor\(float\)\)",
        ),
        (
            helper.make_node("Cast", ["image"], ["text"], to=TensorProto.STRING),
            helper.make_tensor_value_info("text", TensorProto.STRING, ["n", 3, SIDE, SIDE]),
            r"text is tensor\(string\)",
        ),
    ],
)
def test_an_output_that_is_not_a_tensor_of_numbers_is_named(
    model: Model, path: Path, node: Any, output: Any, seen: str
) -> None:
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 3, SIDE, SIDE])
    number = helper.make_tensor_value_info("number", TensorProto.FLOAT, ["n", 3, SIDE, SIDE])
    nodes = [helper.make_node("Relu", ["image"], ["number"]), node]
    onnx.save(make_model(nodes, [image], [number, output]), path)
    with pytest.raises(JobError, match=seen):
        load_engine(CPU, model)


def test_a_model_that_loads_and_does_not_run_is_reported_when_it_is_loaded(model: Model, path: Path) -> None:
    wrong = helper.make_node("Reshape", ["image", "shape"], ["out"])
    constant = helper.make_node("Constant", [], ["shape"], value_ints=[-1, 7])
    save_graph(path, constant, wrong, outputs={"out": ["n", 7]})
    with pytest.raises(JobError, match=r"fails on two images of 32 by 32 pixels: .*\n.*model\.preprocess\.crop"):
        load_engine(CPU, model)


@pytest.mark.parametrize(("precision", "takes"), [("bf16", "float"), ("fp16", "float"), ("fp32", "float16")])
def test_a_precision_that_the_file_lacks_is_reported(
    model: Model, path: Path, network: nn.Module, precision: str, takes: str
) -> None:
    save_onnx(network, path, takes=takes)
    with pytest.raises(
        JobError, match=rf"engine\.precision={precision}: .* holds fp(32|16).*\n.*engine\.precision=auto"
    ):
        load_engine(replace(CPU, precision=Precision[precision]), model)


def test_fp16_of_a_state_dict_is_refused_on_a_cpu_and_nothing_is_exported(
    tmp_path: Path, network: nn.Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHARDLENS_CACHE", str(tmp_path / "cache"))
    torch.save(network.state_dict(), tmp_path / "tiny.pt")
    model = Model("networks:tiny", checkpoint=str(tmp_path / "tiny.pt"))
    with pytest.raises(
        JobError, match=r"engine\.precision=fp16: .* on a GPU alone.*\n  cure: set engine\.precision=fp32"
    ):
        load_engine(replace(CPU, precision=Precision.fp16), model)
    assert not (tmp_path / "cache").exists()


def test_damaged_files_are_reported_and_nothing_else_happens(model: Model, path: Path, network: nn.Module) -> None:
    save_onnx(network, path)
    whole, chance = path.read_bytes(), random.Random(0)  # noqa: S311  no secret
    told = 0
    for _ in range(60):
        data = bytearray(whole)
        start = chance.randrange(len(data))
        if chance.random() < 0.3:
            del data[start:]
        else:
            data[start : start + 4] = chance.randbytes(chance.randrange(8))
        path.write_bytes(data)
        try:
            load_engine(CPU, model)
        except JobError as error:
            assert "tiny.onnx" in error.problem  # noqa: PT017  a change of a weight is no error
            told += 1
    assert told > 20


def test_loading_says_nothing(model: Model, path: Path, network: nn.Module, capfd: pytest.CaptureFixture[str]) -> None:
    save_onnx(network, path)
    load_engine(OnnxEngineConfig(), model)(images(2))
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(JobError, match=r"tiny\.onnx"):
        load_engine(OnnxEngineConfig(), model)
    assert capfd.readouterr() == ("", "")


def test_a_report_learns_the_provider_and_why(model: Model, path: Path, network: nn.Module) -> None:
    save_onnx(network, path)
    details = load_engine(OnnxEngineConfig(threads=2), model).details
    assert details["provider"] in {"CPUExecutionProvider", "CUDAExecutionProvider"}
    assert details["provider_reason"]
    assert details["threads"] == "2"
    assert details["onnxruntime"] == onnxruntime.__version__
    assert "provider_reason" not in load_engine(replace(CPU, provider=Provider.cpu), model).details


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux for the size of the process")
def test_memory_that_is_released_goes_back_with_the_next_batch(model: Model, path: Path, network: nn.Module) -> None:
    def process_bytes() -> int:
        return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()

    save_onnx(network, path)
    engine = load_engine(CPU, model)
    engine(np.zeros((4000, SIDE, SIDE, 3), np.uint8))  # takes 100 MB and more
    before = process_bytes()
    engine.release()
    np.testing.assert_allclose(engine(images(3))["logits"], plainly(network, images(3)), atol=1e-5)
    assert process_bytes() < before - (80 << 20)


def test_what_quantises_by_one_scale_a_batch_runs_one_by_one(model: Model, path: Path) -> None:
    nodes = [
        helper.make_node("DynamicQuantizeLinear", ["image"], ["whole", "scale", "zero"]),
        helper.make_node("DequantizeLinear", ["whole", "scale", "zero"], ["out"]),
    ]
    save_graph(path, *nodes, outputs={"out": ["n", 3, SIDE, SIDE]})
    engine = load_engine(CPU, model)
    pixels = np.stack([np.full((SIDE, SIDE, 3), level, np.uint8) for level in (0, 100, 101, 255)])
    alone = [engine(pixels[place : place + 1])["out"][0] for place in range(len(pixels))]
    assert np.array_equal(engine(pixels)["out"], np.stack(alone))
    assert "one_by_one" in engine.details


def test_what_quantises_batches_of_a_fixed_size_is_refused(model: Model, path: Path) -> None:
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [4, 3, SIDE, SIDE])
    out = helper.make_tensor_value_info("out", TensorProto.UINT8, [4, 3, SIDE, SIDE])
    node = helper.make_node("DynamicQuantizeLinear", ["image"], ["out", "scale", "zero"])
    onnx.save(make_model([node], [image], [out]), path)
    with pytest.raises(JobError, match="quantises batches of 4 by one scale each"):
        load_engine(CPU, model)
