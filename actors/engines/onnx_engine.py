"""Runs an .onnx file, the user's or an exported one, in onnxruntime on the requested provider. Loaded once in each
worker that predicts.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime

from actors.device_errors import device_errors
from actors.engines.base import InTurn, default_threads
from actors.engines.configs import Precision, Provider
from actors.engines.graph_source import local_file, outside, wrong_precision, wrong_size
from actors.engines.onnx_input import ONE_BY_ONE, PRELUDE_INPUT, PRELUDE_OUTPUT, image_input
from actors.engines.onnx_sessions import SESSION_ERRORS, Runtime, choose_runtime
from actors.errors import JobError
from actors.messages import one_line
from actors.models.forms import form_of
from actors.models.onnx_files import not_numbers
from actors.models.output_shapes import uncounted

if TYPE_CHECKING:
    from actors.engines.configs import OnnxEngineConfig
    from actors.models.graph_file import GraphFile
    from actors.models.spec import Model
    from actors.pixel_arrays import Pixels


class OnnxEngine(InTurn):
    """See `actors.engines.base.Engine`. Outputs keep their names in the file; exported files use the names of
    `actors.models.outputs.named`.

    Raises:
        JobError: the provider is missing, the files are broken, or the model does not accept images of the configured
            size.
    """

    name = "onnxruntime"

    @device_errors()
    def __init__(self, config: OnnxEngineConfig, model: Model, int8_graph: bytes | None = None) -> None:
        runtime = choose_runtime(config, config.threads or default_threads())
        self.device = runtime.device
        _check_half(config, model, runtime)
        with local_file(model, precision=config.precision, int8_graph=int8_graph) as file:
            self.precision = file.precision
            _check_precision(config, model, file.precision)
            self._session = _open(_keeping(runtime, file), model, file)
            one_by_one = file.mixes_images
            model = outside(model, file)
        self._input = image_input(self._session.get_inputs(), model, one_by_one=one_by_one)
        prelude = self._input.prelude(model.preprocess)
        self._prelude = None if prelude is None else _prelude_runtime(runtime).open(prelude)
        self._outputs = _output_names(self._session, model)
        self._is_short = False
        self.details = {
            "onnxruntime": onnxruntime.__version__,
            "provider": self._session.get_providers()[0],
            "threads": str(runtime.threads),
            **({"provider_reason": runtime.reason} if runtime.reason else {}),
            **({"one_by_one": ONE_BY_ONE} if one_by_one else {}),
        }
        self._try(model)

    @device_errors()
    def __call__(self, pixels_nhwc: Pixels) -> dict[str, np.ndarray]:
        outputs = map(_as_float32, self._input.run(self._run, pixels_nhwc))
        return dict(zip((name for name in self._outputs if name not in self.uncounted), outputs, strict=True))

    def release(self) -> None:
        # onnxruntime frees memory at the end of a run. Tested on CPU only; on a GPU, smaller batches reuse the cache.
        self._is_short = self.device == "cpu"

    def _run(self, pixels_nhwc: np.ndarray, num_images: int) -> list[np.ndarray]:
        """Returns the outputs for the first ``num_images``. Pixels are copied to the device once, as uint8."""
        options, self._is_short = _run_options(release=self._is_short), False
        value = onnxruntime.OrtValue.ortvalue_from_numpy(pixels_nhwc, self.device)
        if self._prelude is not None:
            binding = self._prelude.io_binding()
            binding.bind_ortvalue_input(PRELUDE_INPUT, value)
            binding.bind_output(PRELUDE_OUTPUT, self.device)
            self._prelude.run_with_iobinding(binding, options)
            value = binding.get_outputs()[0]
        binding = self._session.io_binding()
        binding.bind_ortvalue_input(self._input.name, value)
        for name in self._outputs:
            binding.bind_output(name, self.device)
        self._session.run_with_iobinding(binding, options)
        outputs = binding.copy_outputs_to_cpu()
        by_name = dict(zip(self._outputs, outputs, strict=True))
        self.uncounted = uncounted(by_name, len(pixels_nhwc))
        return [output[:num_images] for name, output in by_name.items() if name not in self.uncounted]

    def _try(self, model: Model) -> None:
        """Runs two blank images: a graph can load and still fail on images of this size."""
        try:
            self(np.zeros((2, *model.preprocess.size, 3), np.uint8))
        except SESSION_ERRORS as error:
            raise wrong_size(model, error) from error


def _check_half(config: OnnxEngineConfig, model: Model, runtime: Runtime) -> None:
    """Raises `JobError` before a network is exported in fp16 for a CPU."""
    if form_of(model).has_network and config.precision is Precision.fp16 and runtime.device == "cpu":
        raise JobError(
            "engine.precision=fp16: engine=onnxruntime supports it only on a GPU, and runs on the CPU here",
            fix="set engine.precision=fp32",
        )


def _keeping(runtime: Runtime, file: GraphFile) -> Runtime:
    """Returns ``runtime`` with a cache for TensorRT engines, next to an exported file."""
    if not file.is_exported:
        return runtime
    # TensorRT derives its file names from names in the graph, not from the weights or onnxruntime's version.
    folder = file.path.with_name(f"tensorrt-{onnxruntime.__version__}")
    return replace(runtime, built=folder, is_half=file.precision == "fp16")


def _check_precision(config: OnnxEngineConfig, model: Model, found: str) -> None:
    if config.precision is not Precision.auto and config.precision.value != found:
        raise wrong_precision(config, model, found)


def _open(runtime: Runtime, model: Model, file: GraphFile) -> Any:
    try:
        with device_errors():
            return runtime.open(str(file.path))
    except SESSION_ERRORS as error:
        fix = "choose engine=torch" if file.is_exported else "copy it again, or export it again"
        raise JobError(f"{model.where}: onnxruntime cannot load it: {one_line(error)}", fix=fix) from error


def _prelude_runtime(runtime: Runtime) -> Runtime:
    """Returns the runtime for pre-processing: TensorRT would spend seconds on four nodes; CUDA shares its memory."""
    return replace(runtime, provider=Provider.cuda) if runtime.provider is Provider.tensorrt else runtime


def _output_names(session: Any, model: Model) -> list[str]:
    """Returns the output names. All outputs must be numeric tensors: onnxruntime kills the process if text or a
    sequence is bound to memory.
    """
    outputs = session.get_outputs()
    others = [node for node in outputs if node.type not in _NUMBERS]
    if outputs and not others:
        return [node.name for node in outputs]
    seen = ", ".join(f"{node.name} is {node.type}" for node in others) or "it has none"
    raise not_numbers(model, seen)


_KINDS = ("float", "float16", "double", "bool", *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)))
_NUMBERS = {f"tensor({kind})" for kind in _KINDS}


def _run_options(*, release: bool) -> Any:
    options = onnxruntime.RunOptions()
    if release:
        options.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
    return options


def _as_float32(output: np.ndarray) -> np.ndarray:
    return output.astype(np.float32, copy=False) if np.issubdtype(output.dtype, np.floating) else output
