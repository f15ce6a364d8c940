"""Compares exported forms with the model itself on real images. Runs on the driver of an export."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from actors.engines.base import load_engine
from actors.engines.configs import ENGINE_CONFIGS, Device, EngineConfig
from actors.errors import JobError
from actors.exporting.postprocess import NMS
from actors.models.bundle_files import ENGINES
from actors.predicting.form_agreement import agreement
from actors.recipe import Recipe
from actors.trials.engine_trial import try_engine

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from actors.engines.tolerance import Tolerance
    from actors.exporting.postprocess import Postprocess
    from actors.models.spec import Model
    from actors.tasks.base import Task
    from jobs.bundling.forms import WrittenForm
    from jobs.bundling.images import RealImages


@dataclass(frozen=True)
class Reference:
    """The answers that count as correct."""

    engine: str
    """Label of the engine that produced them."""
    outputs: Mapping[str, np.ndarray]
    """Outputs of the network, each with an entry per image."""
    images_per_s: float


@dataclass(frozen=True)
class FormParity:
    """Result of comparing one form; a row of the table."""

    form: str
    precision: str
    engine: str
    device: str = ""
    images: int = 0
    largest_difference: float | None = None
    """Largest difference of any real number in the outputs."""
    mean_difference: float | None = None
    flips: int | None = None
    """Number of images whose best class differs; None if there are no classes."""
    images_per_s: float | None = None
    figures: dict[str, float] = field(default_factory=dict)
    """Figures of the task; see `actors.tasks.parity.Agreement`."""
    breaches: list[str] = field(default_factory=list)
    outputs: list[dict[str, Any]] = field(default_factory=list)
    """Name, dtype and shape of each output."""

    @property
    def passed(self) -> bool:
        return not self.breaches

    def to_json(self) -> dict[str, Any]:
        return {**{name: value for name, value in vars(self).items() if name != "outputs"}, "passed": self.passed}


def answer(model: Model, engine: EngineConfig, images: RealImages) -> Reference:
    """Runs ``model`` in the ``engine`` that is its reference.

    Raises:
        JobError: the model does not run.
    """
    recipe = Recipe(model, engine)
    trial, answers = try_engine(recipe, images.pixels_nhwc, batch_size=_batch_size(images))
    if len(answers.rows) < len(images.names):
        failed = np.setdiff1d(np.arange(len(images.names)), answers.rows)
        raise JobError(
            f"{model.where}: {engine.label} fails on {images.names[failed[0]]}", fix="export a model that runs"
        )
    return Reference(engine.label, answers.outputs, trial.images_per_s)


@dataclass(frozen=True)
class Proof:
    """Everything needed to compare forms."""

    images: RealImages
    reference: Reference
    task: Task
    steps: Postprocess
    tolerance: Tolerance

    def of(self, form: WrittenForm, source: Model, folder: Path) -> FormParity:
        """Runs ``form`` from its files. An engine failure is a breach."""
        engine = ENGINE_CONFIGS[ENGINES[form.name][0]](device=Device.cpu)
        row = FormParity(form.name, form.precision, engine.name, "cpu", len(self.images.names))
        model = form.model(source, folder)
        try:
            # Loaded separately, to run the file rather than a network in memory.
            loaded = load_engine(engine, model)
            trial, answers = try_engine(
                Recipe(model, engine), self.images.pixels_nhwc, batch_size=_batch_size(self.images), loaded=loaded
            )
        except JobError as error:
            return _failed(row, error.problem)
        except Exception as error:  # noqa: BLE001  whatever a library raises: the form does not work
            return _failed(row, f"{type(error).__name__}: {error}")
        if len(answers.rows) < len(self.images.names):
            return _failed(row, f"fails on {len(self.images.names) - len(answers.rows)} images")
        return self._compared(row, form.postprocess, answers.outputs, trial.images_per_s)

    def _compared(
        self, row: FormParity, kind: str, outputs: Mapping[str, np.ndarray], images_per_s: float
    ) -> FormParity:
        wanted = self.steps.of(self.reference.outputs) if kind == self.steps.kind else dict(self.reference.outputs)
        agreed = agreement(self.task, kind, wanted, outputs, self.tolerance).naming(self.images.names)
        # Boxes with nearly equal scores may be in a different order.
        largest, mean = (None, None) if kind == NMS else _differences(wanted, outputs)
        flips = agreed.figures.get("flips")
        return FormParity(
            row.form, row.precision, row.engine, row.device, row.images, largest, mean,
            None if flips is None else int(flips), images_per_s, agreed.figures, agreed.breaches, described(outputs),
        )  # fmt: skip


def described(outputs: Mapping[str, np.ndarray]) -> list[dict[str, Any]]:
    """Returns the name, dtype and shape of each output; null stands for the number of images."""
    return [
        {"name": name, "dtype": str(values.dtype), "shape": [None, *values.shape[1:]]}
        for name, values in outputs.items()
    ]


def _failed(row: FormParity, reason: str) -> FormParity:
    return FormParity(row.form, row.precision, row.engine, row.device, row.images, breaches=[reason])


def _differences(
    wanted: Mapping[str, np.ndarray], given: Mapping[str, np.ndarray]
) -> tuple[float, float] | tuple[None, None]:
    """Returns the largest and mean difference of real numbers in outputs of equal name and shape, or None."""
    pairs = [(wanted[name], given[name]) for name in wanted if name in given]
    apart = [
        np.abs(np.subtract(one, other, dtype=np.float64)).ravel()
        for one, other in pairs
        if one.shape == other.shape and one.dtype.kind == other.dtype.kind == "f"
    ]
    if not apart:
        return None, None
    joined = np.concatenate(apart)
    return float(joined.max()), float(joined.mean())


def _batch_size(images: RealImages) -> int:
    return min(_BATCH_SIZE, len(images.names))


_BATCH_SIZE = 16
