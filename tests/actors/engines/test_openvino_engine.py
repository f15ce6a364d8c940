from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from onnx_models import SIDE, images, make_model, plainly, save_onnx

from actors.engines.base import load_engine
from actors.engines.configs import OpenVinoEngineConfig, Precision
from actors.engines.openvino_library import load_openvino
from actors.errors import JobError
from actors.models.spec import Model

if TYPE_CHECKING:
    from pathlib import Path

    from torch import nn

CPU = OpenVinoEngineConfig(threads=1)
HAS_BF16 = "BF16" in load_openvino().Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def test_only_the_last_two_batch_sizes_stay_compiled(model: Model, path: Path, network: nn.Module) -> None:
    save_onnx(network, path)
    engine: Any = load_engine(CPU, model)
    for size in (3, 4, 3, 5, 3):
        engine(images(size))
    assert list(engine._requests) == [5, 3]


def test_one_graph_takes_batches_of_all_sizes_and_gives_the_same_answers(
    model: Model, path: Path, network: nn.Module
) -> None:
    save_onnx(network, path)
    engine: Any = load_engine(replace(CPU, dynamic=True), model)
    for size in (3, 4, 1, 5, 3):
        np.testing.assert_allclose(engine(images(size))["logits"], plainly(network, images(size)), atol=1e-5)
    assert len(engine._requests) == 1


def test_a_file_for_batches_of_one_size_is_not_dynamic(model: Model, path: Path, network: nn.Module) -> None:
    save_onnx(network, path, batch=2)
    engine: Any = load_engine(replace(CPU, dynamic=True), model)
    np.testing.assert_allclose(engine(images(3))["logits"], plainly(network, images(3)), atol=1e-5)
    assert list(engine._requests) == [2]


def test_a_file_may_change_after_loading(model: Model, path: Path, network: nn.Module) -> None:
    save_onnx(network, path, external=True)
    engine = load_engine(CPU, model)
    with (path.parent / "data" / "weights.bin").open("r+b") as file:
        file.write(bytes(4000))
    np.testing.assert_allclose(engine(images(5))["logits"], plainly(network, images(5)), atol=1e-5)


def test_half_precision_in_the_file_is_computed_as_fp32(model: Model, path: Path, network: nn.Module) -> None:
    save_onnx(network, path, takes="float16")
    engine = load_engine(CPU, model)
    found = engine(images(3))["logits"]
    assert (engine.precision, found.dtype) == ("fp32", np.float32)
    assert 0 < np.abs(found - plainly(network, images(3))).max() < 0.02
    with torch.no_grad():
        rounded = network.half().float()
    np.testing.assert_allclose(found, plainly(rounded, images(3)), atol=2e-3)


def test_a_quantized_file_runs_as_stored(model: Model, path: Path) -> None:
    weights = np.random.default_rng(0).integers(-128, 128, (4, 3, 3, 3), dtype=np.int8)
    constants = {"quantized": weights, "scale": np.array(1 / 128, np.float32), "zero": np.array(0, np.int8)}
    nodes = [
        helper.make_node("DequantizeLinear", ["quantized", "scale", "zero"], ["weights"]),
        helper.make_node("Conv", ["image", "weights"], ["all"]),
        helper.make_node("GlobalAveragePool", ["all"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["out"]),
    ]
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 3, SIDE, SIDE])
    out = helper.make_tensor_value_info("out", TensorProto.FLOAT, ["n", 4])
    stored = [numpy_helper.from_array(values, name) for name, values in constants.items()]
    onnx.save(make_model(nodes, [image], [out], stored), path)
    engine = load_engine(CPU, model)
    convolution = torch.nn.Conv2d(3, 4, 3, bias=False)
    convolution.weight.data = torch.from_numpy(weights / np.float32(128))
    mean = torch.nn.Sequential(convolution, torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())
    assert engine.precision == load_engine(replace(CPU, precision=Precision.int8), model).precision == "int8"
    np.testing.assert_allclose(engine(images(3))["out"], plainly(mean, images(3)), atol=1e-3)
    with pytest.raises(JobError, match=r"engine\.precision=fp32: .* holds int8.*\n.*engine\.precision=auto"):
        load_engine(replace(CPU, precision=Precision.fp32), model)


@pytest.mark.skipif(HAS_BF16, reason="this CPU has bf16")
def test_bf16_is_refused_on_a_cpu_without_it(model: Model, path: Path, network: nn.Module) -> None:
    save_onnx(network, path)
    with pytest.raises(JobError, match=r"engine\.precision=bf16: .* FP32 .*\n.*engine\.precision=fp32"):
        load_engine(replace(CPU, precision=Precision.bf16), model)


@pytest.mark.skipif(not HAS_BF16, reason="needs a CPU with AVX-512 or AMX")
def test_bf16_runs_when_asked_for(model: Model, path: Path, network: nn.Module) -> None:
    save_onnx(network, path)
    engine = load_engine(replace(CPU, precision=Precision.bf16), model)
    found = engine(images(3))["logits"]
    assert (engine.precision, found.dtype) == ("bf16", np.float32)
    assert 1e-5 < np.abs(found - plainly(network, images(3))).max() < 0.05


def test_details_name_the_cpu_and_the_threads_that_run(model: Model, path: Path, network: nn.Module) -> None:
    save_onnx(network, path)
    details = load_engine(CPU, model).details
    assert load_openvino().__version__.startswith(details["openvino"])
    assert "FP32" in details["cpu"]
    assert int(load_engine(OpenVinoEngineConfig(threads=4096), model).details["threads"]) < 4096
