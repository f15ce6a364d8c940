"""Runs the golden images of a bundle through one of its forms, once per hardware and set of versions. Runs where the
form of a job is chosen, and in each worker that predicts.
"""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from actors.columns import MESSAGE, PIXELS, STAGE, unpack_pixels
from actors.decoding.config import Decode
from actors.decoding.pixel_blocks import pixel_columns
from actors.disk_cache import CHECKS, find, keep
from actors.engines.hardware import hardware
from actors.engines.tolerance import Tolerance, to_tolerance
from actors.errors import JobError
from actors.exporting.golden import read_golden
from actors.exporting.source_digest import package_digest, version
from actors.messages import one_line
from actors.models.bundle_files import MAIN_FILES, read_bundle
from actors.models.sources.base import Source
from actors.predicting.form_agreement import agreement, steps_for, task_of
from actors.preprocess import Preprocess
from actors.storage.store import Storage
from actors.tasks.base import Outputs

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from actors.engines.base import Engine
    from actors.engines.configs import EngineConfig
    from actors.models.bundle_files import Bundle
    from actors.models.spec import Model


def check_golden(engine: Engine, config: EngineConfig, model: Model) -> None:
    """Compares a loaded engine with the golden images, if its model is a form of a bundle.

    If the engine computes in a precision other than the form's, the tolerance of ``config`` applies.

    Raises:
        JobError: the answers differ from those in the bundle.
    """
    found = bundle_of(model)
    if found is None:
        return
    bundle, form = found
    if engine.precision != bundle.forms[form].precision:
        bundle = replace(bundle, tolerance=asdict(to_tolerance(config.tolerance)))
    run = Run(engine.name, engine.device, engine.precision, lambda: engine)
    breach = golden_breach(bundle, form, run, Storage(model.storage_options))
    if breach is not None:
        raise JobError(
            f"model.source={model.source}: its form {form} does not give the right answers to its golden images in "
            f"{engine.name} {engine.precision} on {engine.device}: {breach}",
            fix="choose another engine or model.form, or export the model again on this hardware",
        )


def bundle_of(model: Model) -> tuple[Bundle, str] | None:
    """Returns the bundle and the form that ``model`` comes from; None if it does not come from a bundle."""
    if not model.source or Source(model.source).library:
        return None
    bundle = read_bundle(model.source, Storage(model.storage_options))
    forms = bundle.forms if bundle else ()
    form = next((form for form in forms if bundle and bundle.uri(MAIN_FILES[form]) == model.checkpoint), None)
    return (bundle, form) if bundle and form else None


@dataclass(frozen=True)
class Run:
    """An engine that runs a form, loaded or not."""

    engine: str
    device: str
    precision: str
    load: Callable[[], Engine]


def golden_breach(bundle: Bundle, form: str, run: Run, storage: Storage) -> str | None:
    """Returns the reason not to use ``form`` here; None if its answers for the golden images are correct.

    The result is cached on this node, for the same bundle, form, engine, hardware and versions.

    Args:
        bundle: a bundle whose files have been checked.
        form: one of its forms.
        run: loads the engine that runs it, if there is no result yet.
        storage: gives access to the bundle.
    """
    key = _key(bundle, form, run)
    with suppress(ValueError, LookupError, OSError):  # pruned since
        if found := find(key, _always, kind=CHECKS):
            kept: str | None = json.loads((found / _FILE).read_text())["breach"]
            return kept
    breach = _breach(bundle, form, run, storage)
    with suppress(JobError):  # no cache: the next job checks again
        keep(key, partial(_write, breach), _always, kind=CHECKS)
    return breach


_FILE = "golden.json"
_LIBRARIES = ("torch", "onnxruntime-gpu", "onnxruntime", "openvino", "numpy", "pillow", "simplejpeg")


def _always(folder: Path) -> bool:  # noqa: ARG001
    return True


def _write(breach: str | None, folder: Path) -> None:
    (folder / _FILE).write_text(json.dumps({"breach": breach}))


def _key(bundle: Bundle, form: str, run: Run) -> str:
    parts = (
        bundle.digest,
        bundle.tolerance,
        form,
        (run.engine, run.device, run.precision),
        hardware(with_gpu=run.device == "cuda"),
        [version(name) for name in _LIBRARIES],
        package_digest("actors"),
    )
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def _breach(bundle: Bundle, form: str, run: Run, storage: Storage) -> str | None:
    golden = read_golden(bundle.folder, storage)
    task, steps = task_of(bundle.task), bundle.forms[form].postprocess
    # The bundle's own: a job may resize its images differently.
    preprocess = Preprocess(**bundle.preprocess)
    columns = pixel_columns(golden.images, Decode(), preprocess)
    failed = pc.drop_null(columns[MESSAGE]).to_pylist() if columns[STAGE].null_count < len(golden.images) else []
    if failed:
        return f"a golden image cannot be decoded: {failed[0]}"
    pixels_nhwc = unpack_pixels(pa.chunked_array([columns[PIXELS]]), *preprocess.size)
    try:
        given = run.load()(pixels_nhwc)
    except JobError as error:
        return error.problem
    except Exception as error:  # noqa: BLE001  whatever a library raises, the form does not work here
        return f"{type(error).__name__}: {one_line(error)}"
    wanted = steps_for(steps, task, Outputs.of(golden.outputs), None).of(golden.outputs)
    tolerance = Tolerance(**bundle.tolerance)
    breaches = agreement(task, steps, wanted, given, tolerance).naming(golden.names).breaches
    return breaches[0] if breaches else None
