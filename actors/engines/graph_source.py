"""The graph that an engine loads: the user's own file, or one made from a network. Runs once in each worker."""

from __future__ import annotations

import tempfile
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from actors.engines.configs import Precision
from actors.errors import JobError
from actors.exporting.export_cache import export_folder, exported
from actors.messages import one_line
from actors.models.forms import form_of
from actors.models.graph_file import GraphFile

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from torch import nn

    from actors.engines.configs import EngineConfig
    from actors.models.spec import Model


def local_file(
    model: Model,
    *,
    precision: Precision = Precision.auto,
    int8_graph: bytes | None = None,
    reads_openvino: bool = False,
) -> AbstractContextManager[GraphFile]:
    """Returns the file of ``model`` that an engine opens, on this machine: its own, or one made from its network.

    Args:
        model: the model to run.
        precision: fp16 exports the network in fp16, int8 uses ``int8_graph``; ignored if the model has its own file.
        int8_graph: the result of `actors.exporting.quantisation.quantised`.
        reads_openvino: True if the engine also opens OpenVINO IR, which is faster to make than an .onnx file.

    Raises:
        JobError: a file is missing or is not an ONNX model, or none can be exported; on the call or on entry.
    """
    own = form_of(model).graph_file(model)
    if own is not None:
        return own
    if precision is Precision.int8:
        return _quantised_file(model, int8_graph)
    half = precision is Precision.fp16
    if reads_openvino and not half:
        path = exported_to_openvino(model)
        return nullcontext(GraphFile(path, "fp32", is_exported=True, takes_pixels=path.suffix == ".onnx"))
    return nullcontext(
        GraphFile(exported(model, half=half), "fp16" if half else "fp32", is_exported=True, takes_pixels=True)
    )


def exported_to_openvino(model: Model, *, network: nn.Module | None = None) -> Path:
    """Returns the .xml file that `actors.engines.openvino_trace.trace` writes for ``model``, or the .onnx file if its
    network cannot be traced. Reused, and raises, like `exported`.
    """

    def make(folder: Path) -> None:
        from actors.engines.openvino_trace import trace  # noqa: PLC0415  imports PyTorch

        trace(model, folder / _TRACED, network=network)

    path = export_folder(model, "actors.engines.openvino_trace", "openvino", make) / _TRACED
    return path if path.exists() else exported(model, network=network)


_TRACED = "model.xml"


@contextmanager
def _quantised_file(model: Model, int8_graph: bytes | None) -> Iterator[GraphFile]:
    if int8_graph is None:
        raise JobError(
            f"engine.precision=int8: {model.where} has to be quantised on images first",
            fix="run a job, which quantises it on its dataset, or give a Recipe the int8_graph that "
            "actors.exporting.quantisation.quantised returns",
        )
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        path = Path(folder) / "model.onnx"
        path.write_bytes(int8_graph)
        yield GraphFile(path, Precision.int8.value, takes_pixels=True)


def outside(model: Model, file: GraphFile) -> Model:
    """Returns ``model`` with the part of its pre-processing that ``file`` leaves to the engine."""
    return replace(model, preprocess=model.preprocess.for_pixels()) if file.takes_pixels else model


def wrong_precision(config: EngineConfig, model: Model, found: str) -> JobError:
    """Returns the error for a ``config`` that requests a precision other than that of the file."""
    return JobError(
        f"engine.precision={config.precision.value}: {model.where} holds {found}, and {config.name} cannot convert it",
        fix="set engine.precision=auto, or export the model in that precision",
    )


def wrong_size(model: Model, error: Exception) -> JobError:
    """Returns the error for a loaded graph that does not run on two blank images of the configured size."""
    height, width = model.preprocess.size
    return JobError(
        f"{model.where}: fails on two images of {height} by {width} pixels: {one_line(error)}",
        fix="give model.preprocess.crop the size that the model takes",
    )
