"""Exports the model of a job: writes its forms, compares each with the model, and publishes those that pass.
Runs on the driver.
"""

from __future__ import annotations

import logging
import shutil
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from actors.engines.candidates import reference
from actors.engines.configs import Device, EngineConfig
from actors.engines.hardware import hardware
from actors.errors import JobError
from actors.exporting.bundle_folder import place, staging
from actors.exporting.quantisation import NUM_CALIBRATED
from actors.models.forms import form_of
from actors.models.network import build_network
from actors.models.pt2_form import Pt2Form
from actors.predicting.box_steps import settled
from actors.predicting.form_agreement import steps_for
from actors.tasks.base import Outputs
from jobs.bundling.config import PostSteps
from jobs.bundling.contents import Contents, metadata_of
from jobs.bundling.forms import FormPlan, check_form, write_form
from jobs.bundling.images import draw_images
from jobs.bundling.parity import FormParity, Proof, answer

if TYPE_CHECKING:
    from pathlib import Path

    from actors.storage.store import Storage
    from jobs.bundling.config import ExportJob
    from jobs.bundling.forms import WrittenForm
    from jobs.runs.preflight import Preflight

LOG = logging.getLogger("shardlens")


@dataclass(frozen=True)
class Exported:
    """Outcome of an export."""

    rows: list[FormParity]
    is_written: bool
    """True if at least one form passed, so that there is a bundle."""


def check_forms(job: ExportJob) -> None:
    """Raises `JobError` if the model cannot have one of the forms, before any slow step."""
    job.export.check()
    for name in job.export.formats:
        check_form(name, job.model, job.export.precision.value, job.export.postprocess.value)
    if isinstance(form_of(job.model), Pt2Form):
        _check_batches(job)


def _check_batches(job: ExportJob) -> None:
    """Raises `JobError` if a program supports only some batch sizes, which is not allowed in the forms of a bundle."""
    from actors.models.pieces import Pieces  # noqa: PLC0415  brings PyTorch

    network = build_network(job.model)
    if isinstance(network, Pieces):
        raise JobError(
            f"export.formats={','.join(job.export.formats)}: {job.model.where} was exported for batches of "
            f"{network.sizes} images, and the forms of a bundle take any number",
            fix="export it again with dynamic_shapes=({0: torch.export.Dim.DYNAMIC},); as it is, it runs in "
            "engine=torch",
        )


def export_bundle(job: ExportJob, checked: Preflight, uri: str, storage: Storage) -> Exported:
    """Writes the bundle to ``uri``, with the forms that pass; writes nothing if none does.

    Raises:
        JobError: the model does not run, there are no images, or ``uri`` cannot be written.
    """
    is_int8 = job.export.precision == "int8"
    drawn = draw_images(job, job.export.images + NUM_CALIBRATED * is_int8)
    images = drawn.first(job.export.images)
    LOG.info("%s images of the dataset; computing the model's own answers", f"{len(images.names):,}")
    right = answer(job.model, reference(EngineConfig(device=Device.cpu), job.model), images)
    LOG.info("reference %s: %.0f images/s", right.engine, right.images_per_s)
    outputs = Outputs.of(right.outputs, input_hw=job.model.preprocess.size)
    if job.export.postprocess is PostSteps.nms:
        job = replace(job, task=settled(job.task, outputs, checked.labels))
    steps = steps_for(job.export.postprocess.value, job.task, outputs, checked.labels)
    proof = Proof(images, right, job.task, steps, job.export.limits)
    plan = FormPlan(
        job.export.precision.value,
        steps,
        separate_weights=job.export.separate_weights,
        calibration=drawn.pixels_nhwc if is_int8 else None,
        is_narrow=hardware(with_gpu=False).saturates_int8,
    )
    with staging(uri) as folder:
        outcomes = [_try_form(name, job, checked, plan, proof, folder) for name in dict.fromkeys(job.export.formats)]
        rows = [row for row, _ in outcomes]
        passed = [(form, row) for row, form in outcomes if form is not None]
        if passed:
            network = build_network(job.model) if form_of(job.model).has_network else None
            Contents(job, checked, proof, rows).write(folder, passed, network, uri)
            place(folder, uri, storage)
    return Exported(rows, bool(passed))


def _try_form(
    name: str, job: ExportJob, checked: Preflight, plan: FormPlan, proof: Proof, folder: Path
) -> tuple[FormParity, WrittenForm | None]:
    """Writes a form and compares it; if it fails, removes it and returns None."""
    LOG.info("%s %s: exporting", name, plan.precision)
    scratch = folder / f".{name}"
    scratch.mkdir()
    form: WrittenForm | None = None
    try:
        form = write_form(name, job.model, scratch, plan, metadata_of(job, checked))
        LOG.info("%s %s: comparing on %d images", name, form.precision, len(proof.images.names))
        row = proof.of(form, job.model, scratch)
    except JobError as error:
        row = FormParity(name, plan.precision, "-", breaches=[error.problem])
    if form is not None and row.passed:
        for file in form.files:
            (folder / file).parent.mkdir(exist_ok=True)
            (scratch / file).rename(folder / file)
    else:
        form = None
        LOG.warning("%s %s: not written: %s", name, row.precision, row.breaches[0])
    shutil.rmtree(scratch)
    return row, form
