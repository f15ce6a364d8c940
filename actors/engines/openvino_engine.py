"""Runs a graph, the user's file or one made from a network, in OpenVINO on a CPU. Loaded once in each worker that
predicts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from actors.device_errors import device_errors
from actors.engines.base import InTurn, default_threads
from actors.engines.configs import Precision
from actors.engines.graph_source import local_file, wrong_precision, wrong_size
from actors.engines.onnx_input import ONE_BY_ONE
from actors.engines.openvino_graph import read_graph
from actors.engines.openvino_library import OPENVINO_ERRORS, load_openvino, plain_errors
from actors.engines.openvino_runtime import OpenVinoRuntime
from actors.models.output_shapes import uncounted

if TYPE_CHECKING:
    from actors.engines.configs import OpenVinoEngineConfig
    from actors.models.spec import Model
    from actors.pixel_arrays import Pixels


class OpenVinoEngine(InTurn):
    """See `actors.engines.base.Engine`. Outputs keep their names from the file; exported files use the names of
    `actors.models.outputs.named`.

    The graph is compiled once per batch size, and the last few are kept; with ``dynamic``, once for all sizes.

    Raises:
        JobError: OpenVINO or the precision is missing, the files are broken, or the model does not accept images of
            that size.
    """

    name = "openvino"
    device = "cpu"

    @device_errors()
    @plain_errors()
    def __init__(self, config: OpenVinoEngineConfig, model: Model, int8_graph: bytes | None = None) -> None:
        load_openvino()  # before a file is fetched or created
        with local_file(model, precision=config.precision, int8_graph=int8_graph, reads_openvino=True) as file:
            self.precision = _precision(config, model, file.precision)
            self._runtime = OpenVinoRuntime(config.threads or default_threads(), self.precision)
            self._graph, self._input, self._outputs = read_graph(self._runtime.core, file, model)
            one_by_one = file.mixes_images
        self._size = model.preprocess.size
        self._is_dynamic = config.dynamic and self._input.batch_size is None
        self._requests: dict[int, Any] = {}
        self._try(model)
        self.details = {
            "openvino": self._runtime.version,
            "threads": str(self._runtime.num_threads(next(iter(self._requests.values())))),
            "cpu": self._runtime.cpu,
            **({"one_by_one": ONE_BY_ONE} if one_by_one else {}),
        }

    @device_errors()
    @plain_errors()
    def __call__(self, pixels_nhwc: Pixels) -> dict[str, np.ndarray]:
        outputs = self._input.run(self._run, pixels_nhwc)
        return dict(zip((name for name in self._outputs if name not in self.uncounted), outputs, strict=True))

    def release(self) -> None:
        self._requests.clear()

    def _run(self, pixels_nhwc: np.ndarray, num_images: int) -> list[np.ndarray]:
        """Returns the outputs for the first ``num_images`` as copies: OpenVINO reuses its own buffers."""
        found = self._request(len(pixels_nhwc)).infer({0: pixels_nhwc}, share_inputs=False, share_outputs=False)
        outputs = [found[place] for place in range(len(self._outputs))]
        by_name = dict(zip(self._outputs, outputs, strict=True))
        self.uncounted = uncounted(by_name, len(pixels_nhwc))
        return [output[:num_images] for name, output in by_name.items() if name not in self.uncounted]

    def _request(self, batch_size: int) -> Any:
        """Returns the request for batches of this size, and marks it as most recently used."""
        batch_size = _ANY if self._is_dynamic else batch_size
        request = self._requests.pop(batch_size, None)
        while len(self._requests) >= _NUM_KEPT:
            del self._requests[next(iter(self._requests))]
        self._requests[batch_size] = request or self._compile(batch_size)
        return self._requests[batch_size]

    def _compile(self, batch_size: int) -> Any:
        self._graph.reshape([batch_size, *self._size, 3])
        return self._runtime.compile(self._graph)

    def _try(self, model: Model) -> None:
        """Runs two blank images: a graph can load and still fail on images of this size."""
        try:
            self(np.zeros((2, *self._size, 3), np.uint8))
        except OPENVINO_ERRORS as error:
            raise wrong_size(model, error) from error


_ANY = -1  # OpenVINO's value for an axis of any length
_NUM_KEPT = 2  # each holds the weights; one for full batches and one for another size suffice


def _precision(config: OpenVinoEngineConfig, model: Model, found: str) -> str:
    """Returns the precision to compute in: fp16 weights run as fp32 or bf16, int8 weights unchanged."""
    is_int8 = found == Precision.int8.value
    if config.precision is Precision.auto:
        return found if is_int8 else Precision.fp32.value
    if is_int8 is not (config.precision is Precision.int8):
        raise wrong_precision(config, model, found)
    return str(config.precision.value)
