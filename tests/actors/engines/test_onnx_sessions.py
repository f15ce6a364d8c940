from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper
from onnx_models import make_model

from actors.engines.configs import Device, OnnxEngineConfig, Provider
from actors.engines.onnx_sessions import SESSION_ERRORS, Runtime, _num_gpus, choose_runtime
from actors.errors import JobError

NO_GPU = pytest.mark.skipif(_num_gpus() > 0, reason="there is a GPU")
NEGATE = make_model(
    [helper.make_node("Neg", ["x"], ["y"])],
    [helper.make_tensor_value_info("x", TensorProto.FLOAT, [2])],
    [helper.make_tensor_value_info("y", TensorProto.FLOAT, [2])],
).SerializeToString()


def test_the_cpu_is_got_when_asked_for() -> None:
    for config in (OnnxEngineConfig(device=Device.cpu), OnnxEngineConfig(provider=Provider.cpu)):
        runtime = choose_runtime(config, threads=1)
        assert (runtime.provider, runtime.device, runtime.reason) == (Provider.cpu, "cpu", "")
        session = runtime.open(NEGATE)
        assert session.get_providers() == ["CPUExecutionProvider"]
        assert session.run(None, {"x": np.float32([1, 2])})[0].tolist() == [-1, -2]


def test_threads_are_those_asked_for() -> None:
    options = choose_runtime(OnnxEngineConfig(device=Device.cpu), threads=3).open(NEGATE).get_session_options()
    assert (options.intra_op_num_threads, options.inter_op_num_threads) == (3, 1)


@NO_GPU
def test_auto_takes_the_cpu_and_says_why(capfd: pytest.CaptureFixture[str]) -> None:
    runtime = choose_runtime(OnnxEngineConfig(), threads=1)
    runtime.open(NEGATE)
    assert runtime.device == "cpu"
    assert runtime.reason
    assert capfd.readouterr() == ("", "")


@NO_GPU
@pytest.mark.parametrize(
    ("device", "provider", "name"),
    [
        (Device.auto, Provider.cuda, "CUDAExecutionProvider"),
        (Device.cuda, Provider.auto, "CUDAExecutionProvider"),
        (Device.auto, Provider.tensorrt, "TensorrtExecutionProvider"),
        (Device.cuda, Provider.tensorrt, "TensorrtExecutionProvider"),
    ],
)
def test_a_provider_that_is_missing_is_reported(device: Device, provider: Provider, name: str) -> None:
    asked = rf"engine\.device={device.value}, engine\.provider={provider.value}: {name} does not work here: "
    with pytest.raises(JobError, match=rf"{asked}.* was built with .*CPUExecutionProvider\)\n  fix: .*onnxruntime-gpu"):
        choose_runtime(OnnxEngineConfig(device=device, provider=provider), threads=1)


@NO_GPU
def test_a_provider_that_onnxruntime_drops_is_reported() -> None:
    """Skips the check for a GPU and asks the session itself for its providers."""
    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        pytest.skip("this onnxruntime knows no CUDA")
    with pytest.raises(JobError, match=r"here: CUDAExecutionProvider does not work here"):
        Runtime(Provider.cuda, threads=1, asked="here").open(NEGATE)


def test_tensorrt_keeps_what_it_builds_in_the_given_folder(tmp_path: Path) -> None:
    name, plain = "TensorrtExecutionProvider", Runtime(Provider.tensorrt, threads=1, asked="here")
    assert plain._providers()[0] == name
    (found, options), *rest = replace(plain, built=tmp_path, is_half=True)._providers()
    assert (found, rest) == (name, plain._providers()[1:])
    assert options == {
        "trt_engine_cache_enable": "1",
        "trt_engine_cache_path": str(tmp_path),
        "trt_fp16_enable": "1",
    }
    assert replace(plain, built=tmp_path)._providers()[0][1]["trt_fp16_enable"] == "0"
    assert replace(plain, built=tmp_path, provider=Provider.cpu)._providers() == ["CPUExecutionProvider"]


@pytest.mark.skipif(not _num_gpus(), reason="needs a GPU")
@pytest.mark.parametrize("provider", [Provider.auto, Provider.cuda])
def test_a_gpu_is_used(provider: Provider) -> None:
    runtime = choose_runtime(OnnxEngineConfig(provider=provider), threads=1)
    assert runtime.device == "cuda"
    assert runtime.open(NEGATE).get_providers()[0] == "CUDAExecutionProvider"


def test_a_file_without_a_model_raises_what_callers_catch() -> None:
    runtime = choose_runtime(OnnxEngineConfig(device=Device.cpu), threads=1)
    for model in (b"nonsense", NEGATE[:20], "no/such.onnx"):
        with pytest.raises(SESSION_ERRORS):
            runtime.open(model)
