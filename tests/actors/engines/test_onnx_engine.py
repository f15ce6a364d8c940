from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from onnx_models import SIDE, images, make_model, plainly, save_onnx

from actors.engines.base import load_engine
from actors.engines.configs import Device, OnnxEngineConfig, Precision, Provider
from actors.errors import JobError
from actors.models.spec import Model

if TYPE_CHECKING:
    from torch import nn

CPU = OnnxEngineConfig(device=Device.cpu, threads=1)


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
    with pytest.raises(JobError, match=r"engine\.precision=fp32: .* holds fp16.*\n.*engine\.precision=auto"):
        load_engine(replace(CPU, precision=Precision.fp32), model)


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


def test_details_name_the_provider_and_the_reason(model: Model, path: Path, network: nn.Module) -> None:
    save_onnx(network, path)
    details = load_engine(OnnxEngineConfig(threads=2), model).details
    assert details["provider"] in {"CPUExecutionProvider", "CUDAExecutionProvider"}
    assert details["provider_reason"]
    assert details["threads"] == "2"
    assert "provider_reason" not in load_engine(replace(CPU, provider=Provider.cpu), model).details


def test_a_graph_with_one_scale_per_batch_runs_images_one_by_one(model: Model, path: Path) -> None:
    nodes = [
        helper.make_node("DynamicQuantizeLinear", ["image"], ["whole", "scale", "zero"]),
        helper.make_node("DequantizeLinear", ["whole", "scale", "zero"], ["out"]),
    ]
    image, out = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 3, SIDE, SIDE]) for name in ("image", "out")
    )
    onnx.save(make_model(nodes, [image], [out]), path)
    engine = load_engine(CPU, model)
    pixels = np.stack([np.full((SIDE, SIDE, 3), level, np.uint8) for level in (0, 100, 101, 255)])
    alone = [engine(pixels[place : place + 1])["out"][0] for place in range(len(pixels))]
    assert np.array_equal(engine(pixels)["out"], np.stack(alone))
    assert "one_by_one" in engine.details


def test_a_graph_with_one_scale_per_fixed_batch_is_refused(model: Model, path: Path) -> None:
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [4, 3, SIDE, SIDE])
    out = helper.make_tensor_value_info("out", TensorProto.UINT8, [4, 3, SIDE, SIDE])
    node = helper.make_node("DynamicQuantizeLinear", ["image"], ["out", "scale", "zero"])
    onnx.save(make_model([node], [image], [out]), path)
    with pytest.raises(JobError, match="quantises batches of 4 by one scale each"):
        load_engine(CPU, model)
