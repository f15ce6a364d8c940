"""OpenVINO on the CPU with exactly the requested threads and precision. Used once in each worker, when a model is
loaded.
"""

from __future__ import annotations

from typing import Any

from actors.engines.configs import Precision
from actors.engines.openvino_library import load_openvino
from actors.errors import JobError


class OpenVinoRuntime:
    """Reads and compiles graphs.

    Args:
        threads: number of CPU threads; OpenVINO uses at most one per CPU.
        precision: ``bf16``; all others compute their floating-point parts in fp32.
    """

    def __init__(self, threads: int, precision: str) -> None:
        openvino = load_openvino()
        self._properties = openvino.properties
        self._precision = precision
        self._float_type = openvino.Type.bf16 if precision == Precision.bf16.value else openvino.Type.f32
        self._settings = self._choose_settings(threads)
        self.version: str = openvino.__version__.partition("-")[0]
        self.core = openvino.Core()
        # With mmap, external weights would be read on first use, when the file may have changed or been deleted.
        self.core.set_property({self._properties.enable_mmap: False})

    @property
    def cpu(self) -> str:
        """Name of the CPU and OpenVINO's capabilities on it; BF16 is listed with AVX-512 or AMX."""
        of = self._properties.device
        capabilities = self.core.get_property("CPU", of.capabilities)
        return f"{self.core.get_property('CPU', of.full_name)}, {' '.join(capabilities)}"

    def compile(self, graph: Any) -> Any:
        """Compiles ``graph``, whose shape is fixed, into a request; later changes to the graph do not affect it.

        Raises:
            JobError: this CPU lacks the precision, which OpenVINO would silently replace with fp32.
        """
        compiled = self.core.compile_model(graph, "CPU", self._settings)
        if compiled.get_property(self._properties.hint.inference_precision) != self._float_type:
            raise JobError(
                f"engine.precision={self._precision}: engine=openvino does not support it on this CPU: {self.cpu}",
                fix="set engine.precision=fp32",
            )
        return compiled.create_infer_request()

    def num_threads(self, request: Any) -> int:
        """Returns the number of threads of a request that `compile` returned."""
        return int(request.get_compiled_model().get_property(self._properties.inference_num_threads))

    def _choose_settings(self, threads: int) -> dict[str, Any]:
        hint = self._properties.hint
        return {
            hint.inference_precision: self._float_type,  # the default is bf16 or fp16 if the CPU has it
            # Off: next to compressed weights, it would round activations to int8.
            hint.dynamic_quantization_group_size: 0,
            hint.performance_mode: hint.PerformanceMode.LATENCY,
            self._properties.num_streams: 1,
            self._properties.inference_num_threads: threads,
            # Workers do not know about each other, and would all be pinned to the first cores of the machine.
            hint.enable_cpu_pinning: False,
            hint.enable_hyper_threading: True,
        }
