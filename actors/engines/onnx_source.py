"""The .onnx file that an engine loads: the user's own, or one exported from a network. Runs once in each worker."""

from __future__ import annotations

import os
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from actors.errors import JobError
from actors.exporting.export_cache import exported
from actors.messages import one_line
from actors.models.onnx_files import (
    _ONE_SCALE,
    OnnxFile,
    _external_names,
    _missing,
    _nodes,
    _precision,
    _read_beside,
    _read_graph,
)
from actors.storage.uris import is_remote, local_path

if TYPE_CHECKING:
    from collections.abc import Iterator

    from actors.engines.configs import EngineConfig
    from actors.models.spec import Model


@contextmanager
def local_file(model: Model, *, half: bool = False) -> Iterator[OnnxFile]:
    """The files of ``model`` on this machine: where they lie, fetched for as long as the context is open, or made of a
    state_dict and kept.

    Args:
        model: what to run.
        half: whether what is made computes in fp16.

    Raises:
        JobError: a file is missing or no ONNX model, or none can be made.
    """
    if not model.is_onnx:
        yield OnnxFile(exported(model, half=half), "fp16" if half else "fp32")
        return
    graph, data = _read_graph(model)
    names = _external_names(graph, model.where)
    mixes_images = any(node.op_type in _ONE_SCALE for node in _nodes(graph))
    if not is_remote(model.checkpoint):
        path = Path(os.fsdecode(local_path(model.checkpoint)))
        for name in names:
            if not (path.parent / name).is_file():
                raise _missing(model, name)
        yield OnnxFile(path, _precision(graph), mixes_images)
        return
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        path = Path(folder) / "model.onnx"
        path.write_bytes(data)
        for name in names:
            fetched = Path(folder) / name
            fetched.parent.mkdir(parents=True, exist_ok=True)
            fetched.write_bytes(_read_beside(model, name))
        yield OnnxFile(path, _precision(graph), mixes_images)


def wrong_precision(config: EngineConfig, model: Model, held: str) -> JobError:
    """The job's error where ``config`` wants another precision than the one that a file holds."""
    return JobError(
        f"engine.precision={config.precision.value}: {model.where} holds {held}, and {config.name} takes it as it is",
        cure="set engine.precision=auto, or export the model in that precision",
    )


def wrong_size(model: Model, error: Exception) -> JobError:
    """The job's error where a graph that was loaded does not run on two blank images of the size that it is given."""
    height, width = model.preprocess.size
    return JobError(
        f"{model.where}: fails on two images of {height} by {width} pixels: {one_line(error)}",
        cure="give model.preprocess.crop the size that the model takes",
    )
