"""The .onnx file that an engine loads: the user's own, or one exported from a network. Runs once in each worker."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING

from actors.errors import JobError
from actors.exporting.export_cache import exported
from actors.messages import one_line
from actors.models.forms import form_of
from actors.models.onnx_files import OnnxFile

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from actors.engines.configs import EngineConfig
    from actors.models.spec import Model


def local_file(model: Model, *, half: bool = False) -> AbstractContextManager[OnnxFile]:
    """The .onnx file of ``model`` on this machine: its own, or one exported from its network and kept.

    Args:
        model: the model to run.
        half: compute in fp16; applies only to exported files.

    Raises:
        JobError: a file is missing or is not an ONNX model, or none can be exported; on the call or on entry.
    """
    own = form_of(model).onnx_file(model)
    if own is not None:
        return own
    return nullcontext(OnnxFile(exported(model, half=half), "fp16" if half else "fp32", is_exported=True))


def wrong_precision(config: EngineConfig, model: Model, found: str) -> JobError:
    """The error for a ``config`` that asks for another precision than the one that the file holds."""
    return JobError(
        f"engine.precision={config.precision.value}: {model.where} holds {found}, and {config.name} cannot convert it",
        cure="set engine.precision=auto, or export the model in that precision",
    )


def wrong_size(model: Model, error: Exception) -> JobError:
    """The error for a loaded graph that does not run on two blank images of the configured size."""
    height, width = model.preprocess.size
    return JobError(
        f"{model.where}: fails on two images of {height} by {width} pixels: {one_line(error)}",
        cure="give model.preprocess.crop the size that the model takes",
    )
