"""Chooses the form of a bundle that a job runs: one that its engine takes, and that gives the right answers here.
Runs on the driver, before the model is checked.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from actors.engines.base import load_engine
from actors.engines.configs import AUTO, ENGINE_CONFIGS, Device, Precision
from actors.errors import JobError
from actors.exporting.postprocess import SCORES, SOFTMAX, TOPK
from actors.models.bundle_files import ENGINES, MAIN_FILES
from actors.models.sources.bundle_source import default_form, is_library, preprocess_of, safe_kwargs
from actors.predicting.box_steps import for_suppressed
from actors.predicting.golden_check import Run, bundle_of, golden_breach
from actors.preprocess import Preprocess
from actors.storage.store import Storage
from actors.tasks.classify import Classify
from actors.tasks.raw import Raw
from actors.tasks.scores import Activation
from jobs.job import Job

if TYPE_CHECKING:
    from actors.engines.configs import EngineConfig
    from actors.models.bundle_files import Bundle
    from actors.models.spec import Model
    from actors.tasks.base import Task

LOG = logging.getLogger("shardlens")
AnyJob = TypeVar("AnyJob", bound=Job)


def with_form(job: AnyJob) -> AnyJob:
    """The job with the form of its bundle that is to run; the same job if its model comes from elsewhere.

    Raises:
        JobError: the bundle has no form for the engine, or none that passes its golden images here.
    """
    model, found = job.model, bundle_of(job.model)
    if found is None:
        return job
    (bundle, _), storage = found, Storage(job.model.storage_options)
    where = f"model.source={model.source}"
    if model.sha256 not in ("", bundle.digest):
        raise JobError(
            f"model.sha256={model.sha256}: {where} has a bundle.json with SHA-256 {bundle.digest}",
            fix="copy the bundle again, or correct the key",
        )
    refused: list[str] = []
    for form in _forms(job, bundle, where):
        chosen = _model(model, bundle, form)
        config = _engine(job.engine, form)
        run = Run(config.name, "cpu", bundle.forms[form].precision, partial(load_engine, config, chosen))
        breach = golden_breach(bundle, form, run, storage)
        if breach is None:
            LOG.info("%s: form %s, %s", where, form, bundle.forms[form].precision)
            return replace(job, model=chosen, task=_task(job.task, chosen, bundle, form))
        refused.append(f"{form}: {breach}")
        LOG.warning("%s: form %s is not used: its golden images fail here: %s", where, form, breach)
    raise JobError(
        f"{where}: no form for engine={job.engine.name} gives the right answers here: {'; '.join(refused)}",
        fix="export the model again on this hardware and with these versions, or choose another engine",
    )


_BY_ENGINE = {
    AUTO: ("onnx", "openvino", "safetensors", "pt2"),
    "torch": ("safetensors", "pt2"),
    "onnxruntime": ("onnx", "safetensors"),
    "openvino": ("openvino", "onnx", "safetensors"),
}


def _forms(job: Job, bundle: Bundle, where: str) -> list[str]:
    """The forms to try, the best first. Raises `JobError` if there is none, or the one that is named cannot be used."""
    model, engine = job.model, job.engine
    if model.form != AUTO:
        _require(model.form, job, bundle, where)
        return [model.form]
    order = sorted(_BY_ENGINE[engine.name], key=lambda form: _is_fixed_otherwise(form, engine, bundle))
    if model.architecture and not is_library(model.architecture):  # named by the user, to be used
        order = ["safetensors", *order]
    found = [form for form in dict.fromkeys(order) if form in bundle.forms and _refusal(form, model, bundle) is None]
    if not found:
        wanted = next((form for form in order if form in bundle.forms), order[0])
        _require(wanted, job, bundle, where)
    return found


def _is_fixed_otherwise(form: str, engine: EngineConfig, bundle: Bundle) -> bool:
    """Returns True for a graph in another precision than ``engine`` asks for, and for any where it asks for a GPU."""
    if form == "safetensors" or form not in bundle.forms:
        return False
    wanted = engine.precision.value
    return wanted not in (Precision.auto.value, bundle.forms[form].precision) or engine.device is Device.cuda


def _require(form: str, job: Job, bundle: Bundle, where: str) -> None:
    """Raises `JobError` if ``form`` cannot be used."""
    there = ", ".join(sorted(bundle.forms))
    if form not in ENGINES:
        raise JobError(f"model.form={form}: there is no such form", fix=f"{where} has {there}")
    if form not in bundle.forms:
        raise JobError(
            f"{where}: has no form {form} for engine={job.engine.name}, but {there}",
            fix="choose engine=auto, or also export that form",
        )
    if job.engine.name not in (AUTO, *ENGINES[form]):
        raise JobError(
            f"model.form={form}: engine={job.engine.name} does not run it", fix=f"choose engine={ENGINES[form][0]}"
        )
    if fix := _refusal(form, job.model, bundle):
        raise JobError(f"{where}: its form {form} runs code that the bundle names", fix=fix)


def _refusal(form: str, model: Model, bundle: Bundle) -> str | None:
    """The fix if ``form`` would run code of which only the bundle itself says that it is the user's; else None."""
    pin = f"if you trust it, set model.sha256={bundle.digest}"
    if model.sha256 or form in ("onnx", "openvino"):
        return None
    if form == "pt2":
        return pin
    is_named = is_library(bundle.architecture) or model.architecture is not None
    return None if is_named else f"set model.architecture={bundle.architecture}; or, {pin}"


def _model(model: Model, bundle: Bundle, form: str) -> Model:
    """The model that ``form`` is, with what the user changed. Raises `JobError` for changes without effect."""
    record = bundle.forms[form]
    # What the default form left to the pipeline is what the model has, unless the user changed it.
    told = preprocess_of(bundle, default_form(bundle))
    changed = {name: value for name, value in vars(model.preprocess).items() if value != told[name]}
    inside = [name for name in _INSIDE if name in changed]
    if record.normalises and inside:
        raise JobError(
            f"model.preprocess.{inside[0]}: form {form} of model.source={model.source} normalises its input inside",
            fix=f"omit it, or name a form with weights alone; the bundle has {', '.join(sorted(bundle.forms))}",
        )
    is_network = form == "safetensors"
    return replace(
        model,
        architecture=(model.architecture or bundle.architecture) if is_network else None,
        kwargs={**safe_kwargs(bundle), **model.kwargs} if is_network else {},
        checkpoint=bundle.uri(MAIN_FILES[form]),
        preprocess=Preprocess(**{**preprocess_of(bundle, form), **changed}),
        sha256=record.files[MAIN_FILES[form]].sha256 if form == "pt2" else "",
    )


def _task(task: Task, model: Model, bundle: Bundle, form: str) -> Task:
    """The task without the steps that the graph ends with. Raises `JobError` if the graph's outputs do not fit it."""
    steps = bundle.forms[form].postprocess
    if steps == TOPK and task.name != Raw.name:
        raise JobError(
            f"task={task.name}: the form {form} gives the best classes alone, as it was exported",
            fix="choose task=raw, or export the model without export.postprocess=topk",
        )
    if steps == SOFTMAX and isinstance(task, Classify) and task.activation.value == bundle.task["activation"]:
        return replace(task, activation=Activation.none, output=SCORES)
    return for_suppressed(task, bundle, form, task.class_names(model))


_INSIDE = ("channels", "channel_order", "layout", "rescale_factor", "mean", "std", "standardize")


def _engine(config: EngineConfig, form: str) -> EngineConfig:
    """The engine for golden images: on the CPU, since the driver need not have the devices of the workers."""
    name = ENGINES[form][0] if config.name == AUTO else config.name
    return ENGINE_CONFIGS[name](device=Device.cpu)
