from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from actors.engines.openvino_library import load_openvino
from actors.engines.openvino_runtime import OpenVinoRuntime
from actors.errors import JobError

HAS_BF16 = "BF16" in load_openvino().Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def doubling(length: int) -> Any:
    """Returns a graph that doubles ``length`` numbers."""
    openvino = load_openvino()
    numbers = openvino.opset13.parameter([length], openvino.Type.f32)
    return openvino.Model([openvino.opset13.add(numbers, numbers)], [numbers], "doubling")


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_floats_are_computed_as_fp32(precision: str) -> None:
    request = OpenVinoRuntime(1, precision).compile(doubling(2))
    assert request.get_compiled_model().get_property("INFERENCE_PRECISION_HINT") == load_openvino().Type.f32
    third = np.full(2, 1 / 3, np.float32)
    np.testing.assert_array_equal(request.infer({0: third})[0], 2 * third)


@pytest.mark.skipif(HAS_BF16, reason="this CPU has bf16")
def test_bf16_that_the_cpu_lacks_is_reported() -> None:
    with pytest.raises(JobError, match=r"engine\.precision=bf16: .* on this CPU: .+, FP32 .*\n.*precision=fp32"):
        OpenVinoRuntime(1, "bf16").compile(doubling(2))


@pytest.mark.skipif(not HAS_BF16, reason="needs a CPU with AVX-512 or AMX")
def test_bf16_is_had_where_the_cpu_has_it() -> None:
    request = OpenVinoRuntime(1, "bf16").compile(doubling(2))
    assert request.get_compiled_model().get_property("INFERENCE_PRECISION_HINT") == load_openvino().Type.bf16


def test_workers_are_not_pinned_to_the_same_cpus() -> None:
    compiled = OpenVinoRuntime(1, "fp32").compile(doubling(2)).get_compiled_model()
    assert compiled.get_property("ENABLE_CPU_PINNING") is False


def test_threads_are_those_asked_for_and_no_more_than_there_are_cpus() -> None:
    for asked in (1, 4096):
        runtime = OpenVinoRuntime(asked, "fp32")
        assert 1 <= runtime.num_threads(runtime.compile(doubling(2))) <= min(asked, 4095)


def test_a_graph_may_change_after_it_was_compiled() -> None:
    runtime, graph = OpenVinoRuntime(1, "fp32"), doubling(2)
    first = runtime.compile(graph)
    graph.reshape([3])
    second = runtime.compile(graph)
    for request, length in ((first, 2), (second, 3), (first, 2)):
        assert request.infer({0: np.ones(length, np.float32)})[0].tolist() == [2.0] * length


def test_a_report_learns_version_and_cpu() -> None:
    runtime = OpenVinoRuntime(1, "fp32")
    assert load_openvino().__version__.startswith(runtime.version)
    assert runtime.version.count(".") == 2
    name, capabilities = runtime.cpu.rsplit(", ", 1)
    assert name
    assert "FP32" in capabilities.split()
