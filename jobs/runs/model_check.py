"""Checks a job's model and caches the facts on the node, so that the next command starts without PyTorch. Runs on the
driver.
"""

from __future__ import annotations

import base64
import hashlib
import json
import logging
import math
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from actors.disk_cache import CHECKS, find, keep
from actors.engines.candidates import is_reference, reference
from actors.engines.configs import Device, EngineConfig, OpenVinoEngineConfig
from actors.errors import JobError
from actors.exporting.export_cache import is_current, model_key, write_sources
from actors.exporting.source_digest import package_digest
from actors.models.fingerprint import weights_digest
from actors.models.forms import form_of
from actors.models.labels import read_labels
from actors.models.network import build_network
from actors.predicting.independence import ONE_BY_ONE
from actors.predictor import Predictor

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from torch import nn

    from actors.engines.base import Engine
    from actors.models.spec import Model
    from actors.recipe import Recipe

LOG = logging.getLogger("shardlens")


@dataclass(frozen=True)
class ModelFacts:
    """Facts about a model that runs and fits its task."""

    weights: str
    """Digest of the weights."""
    fields: list[pa.Field]
    """Columns of the task."""
    labels: list[str] | None
    """Class names, if the model has any."""
    image_s: float
    """Seconds per image of the reference engine on one CPU thread."""
    one_by_one: str
    """The result of `actors.predicting.independence.mixing`."""

    def to_json(self) -> str:
        schema = base64.b64encode(pa.schema(self.fields).serialize()).decode()
        return json.dumps({**vars(self), "fields": schema})

    @classmethod
    def from_json(cls, text: str) -> ModelFacts:
        content = json.loads(text)
        schema = pa.ipc.read_schema(pa.py_buffer(base64.b64decode(content.pop("fields"))))
        return cls(**content, fields=list(schema))


@dataclass
class LoadedModel:
    """A model that this process has loaded for the check, until `release`."""

    predictor: Predictor | None
    """The reference predictor, on one thread."""
    network: nn.Module | None
    """Network that ``predictor`` runs; None if the model has none."""

    @property
    def reference_engine(self) -> Engine | None:
        """The engine of ``predictor``, if its answers count as correct."""
        if self.predictor is None:
            return None
        recipe = self.predictor.recipe
        return self.predictor.engine if is_reference(recipe.engine, recipe.model) else None

    def release(self) -> None:
        """Frees the memory of the model, which the driver no longer needs once the engine is chosen."""
        self.predictor = self.network = None


def check_model(recipe: Recipe, before_loading: Callable[[], object]) -> tuple[ModelFacts, LoadedModel | None]:
    """Builds the recipe on the CPU and runs it on blank images, unless the same check has been done on this node.

    A check is the same if these are: weight files, the code of the architecture and of this project, library versions,
    labels, engine and task.

    Args:
        recipe: model, engine and task of the job.
        before_loading: called before the model is loaded, which takes seconds.

    Raises:
        JobError: the model does not run, or does not fit the task.
    """
    recipe = replace(recipe, engine=_on_driver(recipe.engine, recipe.model))
    key = _key(recipe)
    if folder := find(key, is_current, kind=CHECKS):
        with suppress(ValueError, KeyError, TypeError, OSError):  # pruned in the meantime
            return _told(ModelFacts.from_json((folder / _FILE).read_text()), recipe.model), None
    before_loading()
    network = build_network(recipe.model) if form_of(recipe.model).has_network else None
    weights = weights_digest(recipe.model, network)  # before the engine converts the weights
    predictor = Predictor(recipe, network=network)
    one_by_one = predictor.engine.details.get(ONE_BY_ONE, "")
    facts = ModelFacts(weights, predictor.fields, predictor.labels, _image_s(predictor), one_by_one)
    with suppress(JobError):  # not cached: the next command checks again
        keep(key, partial(_write, facts, recipe.model), is_current, kind=CHECKS)
    return _told(facts, recipe.model), LoadedModel(predictor, network)


_FILE = "facts.json"


def _told(facts: ModelFacts, model: Model) -> ModelFacts:
    if facts.one_by_one:
        LOG.warning("%s: %s; running one image at a time", model.where, facts.one_by_one)
    return facts


def _write(facts: ModelFacts, model: Model, folder: Path) -> None:
    (folder / _FILE).write_text(facts.to_json())
    write_sources(folder, model)


def _key(recipe: Recipe) -> str:
    parts = (
        model_key(recipe.model),
        read_labels(recipe.model),
        recipe.engine,
        recipe.task.name,
        recipe.task.identity(),
        package_digest("actors"),
    )
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def _on_driver(engine: EngineConfig, model: Model) -> EngineConfig:
    """Returns the engine for one CPU thread, without compilation: the driver may lack the workers' devices."""
    if engine.name == form_of(model).engines[0]:
        return replace(engine.on_cpu(), threads=1)
    return reference(EngineConfig(device=Device.cpu, threads=1), model)


def _image_s(predictor: Predictor) -> float:
    """Returns seconds per image on one CPU thread, in a batch of up to `_TIMED_IMAGES` that takes a third of
    `_TIMED_S`: the minimum of several calls, as the first are up to 100 times slower.

    CPU seconds, because threads that import modules hold Python's lock meanwhile. A large network runs one image at a
    time.
    """
    size, num_images, least_s = predictor.model.preprocess.size, 1, math.inf
    # OpenVINO predicts in a thread of its own.
    clock = time.perf_counter if predictor.engine.name == OpenVinoEngineConfig.name else time.thread_time
    predictor.engine(np.zeros((1, *size, 3), np.uint8))
    ends_at = time.perf_counter() + _TIMED_S
    while least_s == math.inf or time.perf_counter() < ends_at:
        images_nhwc = np.zeros((num_images, *size, 3), np.uint8)
        started = clock()
        predictor.engine(images_nhwc)
        least_s = min(least_s, (clock() - started) / num_images)
        num_images = max(1, min(_TIMED_IMAGES, int(_TIMED_S / 3 / least_s)))
    return least_s


_TIMED_S, _TIMED_IMAGES = 0.1, 32
