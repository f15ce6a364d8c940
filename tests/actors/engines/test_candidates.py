from __future__ import annotations

import pytest

from actors.engines.candidates import candidates, is_reference, reference, wants_gpu
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
from actors.engines.hardware import Hardware
from actors.engines.tolerance import Tolerance
from actors.models.spec import Model

STATE_DICT = Model("networks:tiny", checkpoint="tiny.pt")
ONNX_FILE = Model(checkpoint="tiny.onnx")
IR = Model(checkpoint="tiny.xml")
PROGRAM = Model(checkpoint="tiny.pt2", sha256="0" * 64)
SCRIPT = Model(checkpoint="tiny.pt", sha256="0" * 64)
WITH_OPENVINO = (("torch", "2.13.0"), ("openvino", "2026.4.1"))
XEON = Hardware("Xeon", ("avx2", "avx512_bf16", "amx_bf16"), None, None, WITH_OPENVINO)
EPYC = Hardware("EPYC", ("avx2",), None, None, WITH_OPENVINO)
PLAIN = Hardware("EPYC", ("avx2",), None, None, WITH_OPENVINO[:1])
T4 = Hardware("Xeon", ("avx2",), "Tesla T4", (7, 5), WITH_OPENVINO)
H100 = Hardware("Xeon", ("avx2",), "H100", (9, 0), WITH_OPENVINO)


def labels(found: Hardware, model: Model = STATE_DICT, config: EngineConfig | None = None) -> list[str]:
    return [candidate.label for candidate in candidates(config or AutoEngineConfig(), model, found)]


def test_a_cpu_computes_in_bf16_only_where_that_is_not_emulated() -> None:
    fp32 = ["openvino fp32", "onnxruntime fp32", "torch fp32 compiled"]
    assert labels(EPYC) == fp32
    assert labels(PLAIN) == fp32[1:]
    assert labels(XEON) == [
        "openvino bf16",
        "openvino fp32",
        "onnxruntime fp32",
        "torch bf16",
        "torch bf16 compiled",
        "torch fp32 compiled",
    ]


def test_a_gpu_computes_in_the_half_precision_that_it_has() -> None:
    ways = ("", " compiled", " compiled in pieces of 128", " compiled with CUDA graphs")
    assert {f"torch bf16{way}" for way in ways} < set(labels(H100))
    assert {f"torch fp16{way}" for way in ways} < set(labels(T4))
    assert not [label for found in (XEON, EPYC, PLAIN) for label in labels(found) if "CUDA" in label or "128" in label]
    assert not {label for label in labels(T4) if "bf16" in label or "openvino" in label}


def test_a_file_is_run_by_what_reads_it() -> None:
    assert labels(XEON, ONNX_FILE) == ["openvino bf16", "openvino fp32"]
    assert labels(H100, ONNX_FILE) == ["onnxruntime auto tensorrt"]
    assert labels(PLAIN, ONNX_FILE) == []


def test_an_ir_runs_in_openvino_which_is_its_own_reference() -> None:
    assert labels(XEON, IR) == ["openvino bf16"]
    assert labels(EPYC, IR) == labels(H100, IR) == []
    assert reference(AutoEngineConfig(threads=2), IR) == OpenVinoEngineConfig(threads=2)
    for precision, is_same in ((Precision.auto, True), (Precision.int8, True), (Precision.bf16, False)):
        assert is_reference(OpenVinoEngineConfig(precision=precision), IR) is is_same


def test_a_model_for_cpus_wants_no_gpu() -> None:
    assert wants_gpu(AutoEngineConfig(), IR) is False
    assert wants_gpu(AutoEngineConfig(), PROGRAM) is None
    assert wants_gpu(TorchEngineConfig(device=Device.cuda), STATE_DICT) is True


@pytest.mark.parametrize("model", [PROGRAM, SCRIPT])
def test_a_program_of_pytorch_runs_in_pytorch_alone(model: Model) -> None:
    assert labels(XEON, model) == ["torch bf16", "torch bf16 compiled", "torch fp32 compiled"]
    assert labels(H100, model) == [label for label in labels(H100) if label.startswith("torch ")]
    assert reference(AutoEngineConfig(), model) == TorchEngineConfig(precision=Precision.fp32)


def test_what_the_config_says_is_kept() -> None:
    config = AutoEngineConfig(precision=Precision.bf16, device=Device.cpu, threads=3)
    found = candidates(config, STATE_DICT, XEON)
    assert [candidate.label for candidate in found] == ["openvino bf16", "torch bf16", "torch bf16 compiled"]
    assert {(candidate.device, candidate.threads) for candidate in found} == {(Device.cpu, 3)}


def test_int8_is_tried_only_on_request() -> None:
    config = AutoEngineConfig(precision=Precision.int8)
    assert labels(XEON, config=config) == labels(T4, config=config) == ["openvino int8", "onnxruntime int8"]
    assert labels(PLAIN, config=config) == ["onnxruntime int8"]
    assert labels(XEON, ONNX_FILE, config) == ["openvino int8"]
    assert not [label for found in (XEON, EPYC, PLAIN, T4, H100) for label in labels(found) if "int8" in label]


def test_a_widened_tolerance_asks_for_int8_on_cpus() -> None:
    for tolerance in (Tolerance(flip_ratio=0.05), Tolerance(cosine=0.9)):
        config = AutoEngineConfig(tolerance=tolerance)
        assert labels(XEON, config=config) == ["openvino int8", *labels(XEON)]
        assert labels(PLAIN, config=config) == ["onnxruntime int8", *labels(PLAIN)]
        assert labels(H100, config=config) == labels(H100)
        assert labels(XEON, ONNX_FILE, config) == labels(XEON, ONNX_FILE)
    narrowed = AutoEngineConfig(tolerance=Tolerance(flip_ratio=0.001))
    assert labels(XEON, config=narrowed) == labels(XEON, config=AutoEngineConfig(tolerance="exact")) == labels(XEON)


@pytest.mark.parametrize(
    "config",
    [
        TorchEngineConfig(precision=Precision.bf16),
        TorchEngineConfig(compile=True),
        OnnxEngineConfig(),
        OpenVinoEngineConfig(),
    ],
)
def test_an_engine_that_is_named_is_the_only_one(config: EngineConfig) -> None:
    assert not is_reference(config, STATE_DICT)
    assert candidates(config, STATE_DICT, XEON) == [config]


def test_the_reference_is_plain_fp32_or_the_file_itself() -> None:
    right = reference(AutoEngineConfig(device=Device.cpu, threads=2), STATE_DICT)
    assert right == TorchEngineConfig(precision=Precision.fp32, device=Device.cpu, threads=2)
    assert is_reference(right, STATE_DICT)
    assert is_reference(TorchEngineConfig(), STATE_DICT)
    assert candidates(TorchEngineConfig(), STATE_DICT, XEON) == []
    assert is_reference(OnnxEngineConfig(), ONNX_FILE)
    assert not is_reference(OnnxEngineConfig(provider=Provider.tensorrt), ONNX_FILE)
    tensorrt = OnnxEngineConfig(provider=Provider.tensorrt)
    assert reference(tensorrt, ONNX_FILE) == OnnxEngineConfig(provider=Provider.cuda)
