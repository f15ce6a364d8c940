from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import pytest

from actors.engines.configs import (
    AutoEngineConfig,
    Device,
    EngineConfig,
    OnnxEngineConfig,
    OpenVinoEngineConfig,
    Precision,
    Provider,
    TorchEngineConfig,
)
from actors.engines.tolerance import Tolerance
from actors.errors import JobError
from actors.models.spec import Model

STATE_DICT = Model("networks:tiny", checkpoint="tiny.pt")
ONNX_FILE = Model(checkpoint="tiny.onnx")
CONFIGS = (AutoEngineConfig, TorchEngineConfig, OnnxEngineConfig, OpenVinoEngineConfig)


def test_the_configs_cost_no_library() -> None:
    code = (
        "import sys, actors.engines.configs; print(*sys.modules.keys() & {'torch', 'onnxruntime', 'onnx', 'openvino'})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


@pytest.mark.parametrize("config", CONFIGS)
def test_what_an_engine_gets_by_default_can_work(config: type[EngineConfig]) -> None:
    config().check(ONNX_FILE if config is OnnxEngineConfig else STATE_DICT)


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("threads", [0, -1])
def test_no_threads_are_refused(config: type[EngineConfig], threads: int) -> None:
    for model in (STATE_DICT, ONNX_FILE):
        with pytest.raises(JobError, match=f"engine.threads={threads}: must be at least 1"):
            config(threads=threads).check(model)


@pytest.mark.parametrize("config", CONFIGS)
def test_a_limit_that_cannot_be_is_refused(config: type[EngineConfig]) -> None:
    with pytest.raises(JobError, match=r"engine.tolerance=none: neither"):
        config(tolerance="none").check(STATE_DICT)
    with pytest.raises(JobError, match=r"engine.tolerance.cosine=2.0: not from 0 to 1"):
        config(tolerance=Tolerance(cosine=2)).check(STATE_DICT)


def test_tolerances_are_not_shared() -> None:
    first, second = TorchEngineConfig(), TorchEngineConfig()
    first.tolerance.cosine = 0.5
    assert second.tolerance == Tolerance()


@pytest.mark.parametrize(
    ("device", "provider", "wanted"),
    [
        (Device.auto, Provider.auto, Provider.auto),
        (Device.auto, Provider.tensorrt, Provider.tensorrt),
        (Device.cpu, Provider.auto, Provider.cpu),
        (Device.cpu, Provider.cpu, Provider.cpu),
        (Device.cuda, Provider.auto, Provider.cuda),
        (Device.cuda, Provider.tensorrt, Provider.tensorrt),
    ],
)
def test_device_and_provider_agree_on_one_provider(device: Device, provider: Provider, wanted: Provider) -> None:
    assert OnnxEngineConfig(device=device, provider=provider).wanted_provider() is wanted


@pytest.mark.parametrize(
    ("device", "provider"),
    [(Device.cpu, Provider.cuda), (Device.cpu, Provider.tensorrt), (Device.cuda, Provider.cpu)],
)
def test_device_and_provider_that_disagree_are_refused(device: Device, provider: Provider) -> None:
    with pytest.raises(JobError, match=rf"engine\.provider={provider.value} .* engine\.device={device.value}"):
        OnnxEngineConfig(device=device, provider=provider).check(ONNX_FILE)


@pytest.mark.parametrize(
    ("config", "wants_gpu"),
    [
        (AutoEngineConfig(), None),
        (TorchEngineConfig(device=Device.cuda), True),
        (TorchEngineConfig(device=Device.cpu), False),
        (OnnxEngineConfig(), None),
        (OnnxEngineConfig(provider=Provider.tensorrt), True),
        (OnnxEngineConfig(provider=Provider.cpu), False),
        (OnnxEngineConfig(device=Device.cuda), True),
        (OpenVinoEngineConfig(), False),
        (AutoEngineConfig(precision=Precision.int8), False),
        (OnnxEngineConfig(precision=Precision.int8), False),
    ],
)
def test_a_gpu_is_wanted_where_the_config_says_so(config: EngineConfig, *, wants_gpu: bool | None) -> None:
    assert config.wants_gpu is wants_gpu


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (OpenVinoEngineConfig(device=Device.cuda), r"engine\.device=cuda: engine=openvino runs only on CPUs"),
        (OpenVinoEngineConfig(precision=Precision.fp16), r"engine\.precision=fp16: engine=openvino has fp32 and bf16"),
    ],
)
def test_what_openvino_cannot_do_is_refused(config: EngineConfig, said: str) -> None:
    for model in (STATE_DICT, ONNX_FILE):
        with pytest.raises(JobError, match=said):
            config.check(model)


@pytest.mark.parametrize("config", [TorchEngineConfig(piece=8), TorchEngineConfig(compile=True, piece=0)])
def test_pieces_are_those_of_compiled_networks(config: TorchEngineConfig) -> None:
    with pytest.raises(JobError, match=rf"engine\.piece={config.piece}: .*\n.*engine\.compile=true"):
        config.check(STATE_DICT)
    replace(config, compile=True, piece=3).check(STATE_DICT)
    config.on_cpu().check(STATE_DICT)


@pytest.mark.parametrize(
    "config",
    [TorchEngineConfig(cuda_graphs=True), TorchEngineConfig(compile=True, cuda_graphs=True, device=Device.cpu)],
)
def test_cuda_graphs_are_refused_without_compilation_or_a_gpu(config: TorchEngineConfig) -> None:
    with pytest.raises(JobError, match=r"engine\.cuda_graphs=true: .*\n.*set engine\.compile=true"):
        config.check(STATE_DICT)
    replace(config, compile=True, device=Device.auto).check(STATE_DICT)
    config.on_cpu().check(STATE_DICT)


def test_a_model_that_one_engine_runs_has_the_limits_of_that_engine() -> None:
    ir, program = Model(checkpoint="a.xml"), Model(checkpoint="a.pt2", sha256="0" * 64)
    for config, model, said in (
        (AutoEngineConfig(device=Device.cuda), ir, r"engine=openvino runs only on CPUs"),
        (AutoEngineConfig(precision=Precision.int8), program, r"engine=torch does not run networks in it"),
        (OnnxEngineConfig(), ir, r"engine=onnxruntime: cannot run .*a\.xml\n.*engine=openvino"),
        (OpenVinoEngineConfig(), program, r"engine=openvino: cannot run .*a\.pt2\n.*engine=torch"),
    ):
        with pytest.raises(JobError, match=said):
            config.check(model)
    AutoEngineConfig(precision=Precision.int8).check(ir)
    AutoEngineConfig().check(program)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (TorchEngineConfig(precision=Precision.int8), r"engine=torch does not run networks in it\n.*engine=openvino"),
        (AutoEngineConfig(precision=Precision.int8, device=Device.cuda), r"runs only on CPUs\n.*engine\.device"),
        (OnnxEngineConfig(precision=Precision.int8, provider=Provider.cuda), r"runs only on CPUs\n.*engine\.provider"),
    ],
)
def test_int8_is_refused_where_nothing_runs_it(config: EngineConfig, said: str) -> None:
    with pytest.raises(JobError, match=rf"engine\.precision=int8: {said}"):
        config.check(STATE_DICT)


@pytest.mark.parametrize(
    ("config", "label"),
    [
        (TorchEngineConfig(precision=Precision.fp32), "torch fp32"),
        (TorchEngineConfig(precision=Precision.bf16, compile=True), "torch bf16 compiled"),
        (
            TorchEngineConfig(precision=Precision.bf16, compile=True, cuda_graphs=True),
            "torch bf16 compiled with CUDA graphs",
        ),
        (TorchEngineConfig(compile=True, piece=128), "torch auto compiled in pieces of 128"),
        (OnnxEngineConfig(precision=Precision.fp16), "onnxruntime fp16"),
        (OnnxEngineConfig(provider=Provider.tensorrt), "onnxruntime auto tensorrt"),
    ],
)
def test_a_label_tells_engines_apart(config: EngineConfig, label: str) -> None:
    assert config.label == label
