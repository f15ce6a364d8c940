"""Composes configs and converts them to instances of the dataclasses in `jobs.schemas`. Runs on the driver."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from copy import deepcopy
from dataclasses import dataclass, fields, is_dataclass, replace
from functools import partial
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, TypeVar, cast

from omegaconf import MISSING, DictConfig, OmegaConf

from actors.engines.tolerance import to_tolerance
from actors.errors import JobError
from actors.exporting.kept_records import kept_record
from actors.models.sources.registry import complete
from actors.models.spec import Model
from actors.preprocess import Preprocess
from actors.storage.uris import absolute, text_without_users
from jobs.cli.config_errors import unknown_key
from jobs.cli.phases import phase
from jobs.comparison.config import Comparison
from jobs.conversion.config import Conversion
from jobs.evaluating.config import Evaluation
from jobs.following.config import Following
from jobs.pages.config import Reporting
from jobs.replaying.config import ReplayJob
from jobs.schemas import TOLD, compose_verb
from jobs.submission.config import Submission
from jobs.verification.config import Verification

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from jobs.benchmarking.config import BenchmarkJob
    from jobs.bundling.config import ExportJob
    from jobs.evaluating.config import Evaluate, EvaluationJob
    from jobs.following.config import FollowJob
    from jobs.job import Job, Log, Output
    from jobs.serving.config import ServeJob

T = TypeVar("T")


def to_job(config: DictConfig) -> Job:
    """Converts a composed config to a `Job` with a complete model: reads ``model.source``, and the metadata that the
    library of ``model.architecture`` records. Makes the model's paths absolute, because workers run elsewhere.

    Raises:
        JobError: a key is unknown, or the model's source cannot be read.
        UnreachableError: the hub or store of the source does not answer.
        OmegaConfBaseException: a mandatory value is missing; `jobs.cli.entry` reports it.
    """
    given = _given(config.model)
    job = to_incomplete_job(config)
    job.cluster.resolve()  # not on a client of a cluster, whose RAY_ADDRESS is not that of its nodes
    # Not in the config: OmegaConf would interpolate ${...} in values from a source.
    model = {name: getattr(job.model, name) for name in given if name != "preprocess"}
    preprocess = {name: getattr(job.model.preprocess, name) for name in given["preprocess"]}
    with phase("reading what model.source says") if job.model.source else nullcontext():
        job.model = complete({**model, "preprocess": preprocess}, kept_record)
    return job


def to_incomplete_job(config: DictConfig) -> Job:
    """Converts like `to_job` but leaves the source's values at their defaults: cluster clients may lack its files."""
    _refuse_unknown_keys(config)
    job = cast("Job", OmegaConf.to_object(_with_defaults(config)))
    if job.model.checkpoint:
        job.model.checkpoint = absolute(job.model.checkpoint)
    # The word exact or a mapping: OmegaConf 2.3 supports unions of primitive types only.
    job.engine.tolerance = to_tolerance(job.engine.tolerance)
    if isinstance(job.model.labels, str):
        job.model.labels = absolute(job.model.labels)
    return job


def to_benchmark_job(config: DictConfig) -> BenchmarkJob:
    """Converts the config of `jobs.benchmark`. Raises like `to_job`."""
    return cast("BenchmarkJob", _not_planned(to_job(config), "benchmark"))


def to_export_job(config: DictConfig) -> ExportJob:
    """Converts the config of `jobs.export`. Raises like `to_job`."""
    return cast("ExportJob", _not_planned(to_job(config), "export"))


def to_evaluation(config: DictConfig) -> Evaluation:
    """Converts the config of `jobs.evaluate`; with `evaluate.run`, only its keys and output. Raises like `to_job`."""
    if config.evaluate.run is None:
        job = cast("EvaluationJob", _not_planned(to_job(config), "evaluate"))
        return Evaluation(job.evaluate, job.output, job.job)
    _refuse_unknown_keys(config)
    if OmegaConf.is_missing(config, "dataset") and OmegaConf.is_interpolation(config.output, "path"):
        raise JobError(f"evaluate.run={config.evaluate.run}: output.path: not given", fix="give that of the job")
    options, output, log = (OmegaConf.to_object(config[key]) for key in ("evaluate", "output", "log"))
    return Evaluation(cast("Evaluate", options), cast("Output", output), None, bool(config.verbose), cast("Log", log))


def to_incomplete_evaluation(config: DictConfig) -> Evaluation | Job:
    """Converts like `to_evaluation` for a published run, otherwise like `to_incomplete_job`."""
    return to_incomplete_job(config) if config.evaluate.run is None else to_evaluation(config)


def to_following(config: DictConfig) -> Following:
    """Converts the config of `jobs.follow`, which needs no checkpoint. Raises like `to_job`."""
    return Following(to_incomplete_following(config), partial(_job_for, config))


def to_incomplete_following(config: DictConfig) -> FollowJob:
    """Converts like `to_following`, to the config without a checkpoint."""
    job = cast("FollowJob", to_incomplete_job(_with_weights(config)))
    job.checkpoints.path = absolute(job.checkpoints.path)
    return job


def _job_for(config: DictConfig, *, checkpoint: str = "", source: str = "") -> EvaluationJob:
    return cast("EvaluationJob", to_job(_with_weights(config, checkpoint=checkpoint, source=source)))


def _with_weights(config: DictConfig, *, checkpoint: str = "", source: str = "") -> DictConfig:
    """Returns a copy with another ``model.checkpoint``, or with another source and no checkpoint."""
    changed = deepcopy(config)
    OmegaConf.update(changed, "model.checkpoint", MISSING if source else _escaped(checkpoint))
    if source:
        OmegaConf.update(changed, "model.source", _escaped(source))
    return changed


def _not_planned(job: Job, verb: str) -> Job:
    if job.run.plan_only:
        fix = "plan the job itself: python -m jobs.batch_infer --dry-run with the other keys"
        raise JobError(f"run.plan_only=true: jobs.{verb} makes no plan", fix=fix)
    return job


def to_object(config: DictConfig, kind: type[T]) -> T:  # noqa: ARG001  the root schema's class, for the types
    """Converts the config of a verb without a job to an instance of ``kind``. Raises like `to_job`."""
    _refuse_unknown_keys(config)
    return cast("T", OmegaConf.to_object(config))


def to_submission(overrides: Sequence[str]) -> Submission:
    """Composes the config of `jobs.submit` itself from its overrides. Raises like `to_job`."""
    config = compose_verb("submit", overrides)
    return to_object(config, Submission)


def compose_serving(overrides: Sequence[str]) -> ServeJob:
    """Composes the config of `jobs.serve` from its overrides. Raises like `to_job` and `compose_config`."""
    return cast("ServeJob", to_job(compose_verb("serve", overrides)))


def compose_job(groups: Mapping[str, Any], overrides: Sequence[str] = ()) -> Job:
    """Composes the config of `jobs.batch_infer` from Python values instead of overrides. Raises like `to_job`.

    Args:
        groups: maps a key of `Job` to an instance of its config class, which replaces the whole group; to a mapping,
            which changes some of its keys; or to a number or bool. Values are not interpolated.
        overrides: applied before the groups.
    """
    config = compose_verb("batch_infer", overrides)
    for name, value in groups.items():
        given = value
        if is_dataclass(value):
            OmegaConf.update(config, name, type(value), merge=False)
            # Omits values at their defaults, which may be interpolations.
            given = {key.name: item for key in fields(value) if (item := getattr(value, key.name)) != key.default}
        OmegaConf.update(config, name, _escaped(given), merge=isinstance(given, Mapping), force_add=True)
        if isinstance(value, Model):
            _leave_to_source(config.model, value)
    return to_job(config)


def _leave_to_source(node: DictConfig, model: Model) -> None:
    """Marks the keys of ``model`` that are not set and that a source may supply as missing."""
    is_whole = model.preprocess != Preprocess()  # the whole group is set, as in `complete`
    for key in TOLD:
        is_told = not is_whole if key.startswith("preprocess.") else getattr(model, key) in ("", None)
        if is_told:
            OmegaConf.update(node, key, MISSING)


@dataclass(frozen=True)
class ComposedConfig:
    """The config of a verb, composed from its overrides."""

    wanted: Any
    """Instance of the verb's config class."""
    content: dict[str, Any]
    """The same config as plain values, with interpolations unresolved."""


def compose_config(verb: str, overrides: Sequence[str]) -> ComposedConfig:
    """Composes the config of `python -m jobs.VERB` from ``overrides``, for one of `VERBS`. Raises HydraException and
    OmegaConfBaseException like the verb itself; `jobs.cli.config_errors` explains both.
    """
    config = compose_verb(verb, overrides)
    content = cast("dict[str, Any]", OmegaConf.to_container(config, resolve=False))
    return ComposedConfig(VERBS[verb](config), content)


def is_public(option: str) -> bool:
    """Returns True if the storage option ``option``, with or without a provider's prefix, holds no secret."""
    return option.lower().removeprefix("aws_").removeprefix("google_").removeprefix("azure_") in _PUBLIC_OPTIONS


def to_yaml(job: Job) -> str:
    """Formats the job as YAML that composes to the same job. Hides all storage options except public ones (see
    `is_public`) and the webhook URL, and removes users and passwords from URLs.
    """
    config = OmegaConf.structured(replace(job, model=_literal(job.model)))
    # Options not known to be public are treated as secret.
    for node in (config.dataset, config.model, config.output):
        for key in node.storage_options:
            if not is_public(key):
                node.storage_options[key] = "***"
    if config.notify.url is not None:  # a webhook URL is a secret
        config.notify.url = "https://***"
    return text_without_users(OmegaConf.to_yaml(config))


def _literal(model: Model) -> Model:
    """Returns the model with the values of its source escaped against interpolation by OmegaConf."""
    return replace(model, kwargs=_escaped(model.kwargs), labels=_escaped(model.labels))


def _escaped(value: Any) -> Any:
    """Returns a copy of ``value`` escaped against interpolation by OmegaConf, with paths as strings."""
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{key.name: _escaped(getattr(value, key.name)) for key in fields(value)})
    if isinstance(value, Mapping):
        return {key: _escaped(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_escaped(item) for item in value]
    if isinstance(value, PurePath):
        value = str(value)
    # Other strings are kept as they are: an enum member is a string too.
    return value.replace("${", r"\${") if isinstance(value, str) and "${" in value else value


def _given(model: DictConfig) -> dict[str, Any]:
    """Returns the keys of ``model`` that the user or a file in conf/ sets; those of ``preprocess`` are nested."""
    preprocess = model.preprocess
    return {
        **{str(key): None for key in model if not OmegaConf.is_missing(model, key)},
        "preprocess": [str(key) for key in preprocess if not OmegaConf.is_missing(preprocess, key)],
    }


def _with_defaults(config: DictConfig) -> DictConfig:
    """Returns a copy with defaults for the keys that a source may supply; with a source, without a checkpoint."""
    filled, defaults = deepcopy(config), OmegaConf.structured(Model)
    for key in TOLD if config.model.source else TOLD[1:]:
        parent, _, name = f"model.{key}".rpartition(".")
        if OmegaConf.is_missing(OmegaConf.select(filled, parent), name):
            OmegaConf.update(filled, f"{parent}.{name}", OmegaConf.select(defaults, key))
    return filled


def _refuse_unknown_keys(config: DictConfig, prefix: str = "") -> None:
    """Raises `JobError` for a key that was added with a plus sign and is not in the schema."""
    object_type = OmegaConf.get_type(config)
    names = [field.name for field in fields(object_type)] if is_dataclass(object_type) else None
    for key in map(str, config):
        if names is not None and key not in names:
            raise unknown_key(f"{prefix}{key}", names)
        # Reading either would raise; an interpolation does so if its variable is not set here.
        has_value = not OmegaConf.is_missing(config, key) and not OmegaConf.is_interpolation(config, key)
        if has_value and isinstance(node := config[key], DictConfig):
            _refuse_unknown_keys(node, f"{prefix}{key}.")


VERBS: dict[str, Callable[[DictConfig], Any]] = {
    "batch_infer": to_incomplete_job,
    "benchmark": to_incomplete_job,
    "export": to_incomplete_job,
    "evaluate": to_incomplete_evaluation,
    "follow": to_incomplete_following,
    "verify": partial(to_object, kind=Verification),
    "convert": partial(to_object, kind=Conversion),
    "report": partial(to_object, kind=Reporting),
    "compare": partial(to_object, kind=Comparison),
    "replay": partial(to_object, kind=ReplayJob),
}
"""Verbs that run on a cluster, each with the function that converts its config on a client."""
# Option names of obstore, without the provider's prefix.
_PUBLIC_OPTIONS = frozenset({"endpoint", "region", "allow_http", "skip_signature", "virtual_hosted_style_request"})
