"""Runs the golden images of a bundle through one of its forms, once for each hardware and set of versions. Runs on the
driver, where a job takes its model from a bundle.
"""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from actors.columns import MESSAGE, PIXELS, STAGE, unpack_pixels
from actors.decoding.config import Decode
from actors.decoding.pixel_blocks import pixel_columns
from actors.engines.base import load_engine
from actors.engines.hardware import hardware
from actors.engines.tolerance import Tolerance
from actors.errors import JobError
from actors.exporting.disk_cache import CHECKS, find, keep
from actors.exporting.golden import read_golden
from actors.exporting.source_digest import package_digest, version
from actors.messages import one_line
from actors.predicting.form_agreement import agreement, steps_for, task_of
from actors.preprocess import Preprocess
from actors.tasks.base import Outputs

if TYPE_CHECKING:
    from pathlib import Path

    from actors.engines.configs import EngineConfig
    from actors.models.bundle_files import Bundle
    from actors.models.spec import Model
    from actors.storage.store import Storage


def golden_breach(bundle: Bundle, form: str, model: Model, engine: EngineConfig, storage: Storage) -> str | None:
    """The reason not to use ``form`` here; None if it gives the right answers to the golden images.

    The result is kept on this node, for the same bundle, form, engine, hardware and versions.

    Args:
        bundle: its files have been checked.
        form: one of its forms.
        model: the model that this form is.
        engine: the engine to run it in.
        storage: reaches the bundle.
    """
    key = _key(bundle, form, engine)
    found = find(key, _always, kind=CHECKS)
    if found is None:
        breach = _breach(bundle, form, model, engine, storage)
        with suppress(JobError):  # no cache: the next job checks again
            keep(key, partial(_write, breach), _always, kind=CHECKS)
        return breach
    with suppress(ValueError, OSError):  # pruned meanwhile
        kept: str | None = json.loads((found / _FILE).read_text())["breach"]
        return kept
    return _breach(bundle, form, model, engine, storage)


_FILE = "golden.json"
_LIBRARIES = ("torch", "onnxruntime-gpu", "onnxruntime", "openvino", "numpy", "pillow", "simplejpeg")


def _always(folder: Path) -> bool:  # noqa: ARG001
    return True


def _write(breach: str | None, folder: Path) -> None:
    (folder / _FILE).write_text(json.dumps({"breach": breach}))


def _key(bundle: Bundle, form: str, engine: EngineConfig) -> str:
    parts = (
        bundle.digest,
        form,
        engine.name,
        hardware(with_gpu=False),
        [version(name) for name in _LIBRARIES],
        package_digest("actors"),
    )
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def _breach(bundle: Bundle, form: str, model: Model, engine: EngineConfig, storage: Storage) -> str | None:
    golden = read_golden(bundle.folder, storage)
    task, steps = task_of(bundle.task), bundle.forms[form].postprocess
    # The bundle's own: a job may resize its images in another way.
    preprocess = Preprocess(**bundle.preprocess)
    columns = pixel_columns(golden.images, Decode(), preprocess)
    failed = pc.drop_null(columns[MESSAGE]).to_pylist() if columns[STAGE].null_count < len(golden.images) else []
    if failed:
        return f"a golden image cannot be decoded: {failed[0]}"
    pixels_nhwc = unpack_pixels(pa.chunked_array([columns[PIXELS]]), *preprocess.size)
    try:
        given = load_engine(engine, model)(pixels_nhwc)
    except JobError as error:
        return error.problem
    except Exception as error:  # noqa: BLE001  whatever a library raises: the form does not work here
        return f"{type(error).__name__}: {one_line(error)}"
    wanted = steps_for(steps, task, Outputs.of(golden.outputs), None).of(golden.outputs)
    tolerance = Tolerance(**bundle.tolerance)
    breaches = agreement(task, steps, wanted, given, tolerance).naming(golden.names).breaches
    return breaches[0] if breaches else None
