"""Figures of a benchmark, and their JSON form. Used on the driver."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from obstore.exceptions import BaseError

from actors.errors import JobError
from actors.messages import one_line
from actors.storage.json_documents import read_object
from actors.storage.store import Storage
from actors.storage.uris import absolute

if TYPE_CHECKING:
    from collections.abc import Mapping

# Version of the JSON form, checked on reading, so that old figures are rejected rather than misread.
VERSION = 1
STAGES = ("listing", "reading", "decoding", "transfer", "model", "writing")
_IN_THE_RUN = STAGES[1:]  # listing ends before the run starts

Rates = dict[str, float | None]
"""Images per second by name; None if there were too few images to measure."""


@dataclass(frozen=True)
class Figures:
    """Measurements of a benchmark."""

    num_images: int
    num_errors: int
    mean_image_bytes: float | None
    """Mean size of the encoded images; an unreadable one counts as 0."""
    plan: Mapping[str, Any]
    """Fields of `Plan`."""
    engine: str
    """Label of the engine, such as ``torch fp32``."""
    stages: Rates
    """Rate of each of `STAGES` in isolation."""
    variants: Mapping[str, Mapping[str, Any]]
    """``whole``, ``without_writing`` and ``without_model``: elapsed_s, images_per_s, steady_images_per_s."""
    limit: Mapping[str, Any]
    """Best plain loop; ``decoding``, the best one that stops after decoding; ``beside_ray``, true if an idle Ray was
    running."""
    machine: Mapping[str, Any]
    """Hardware and library versions, which must be equal for two benchmarks to be comparable."""
    steps: Mapping[str, Any] | None = None
    """Fields of `actors.trials.step_times.StepTimes`; None if no image could be decoded."""

    @property
    def share_of_limit(self) -> float | None:
        """Steady rate of the whole job relative to the plain loop; None on several nodes: the loop runs on one."""
        if self.machine["nodes"] != 1:
            return None
        whole, limit = self.variants["whole"]["steady_images_per_s"], self.limit["images_per_s"]
        return whole / limit if whole and limit else None

    @property
    def bound_by(self) -> str | None:
        """Stage of the run with the lowest rate in isolation; None if decoding or the model could not be measured."""
        known = {name: rate for name in _IN_THE_RUN if (rate := self.stages[name])}
        # The usual bottlenecks: without both rates, the lowest of the others is not meaningful.
        return min(known, key=lambda name: known[name]) if {"decoding", "model"} <= set(known) else None

    def rates(self) -> Rates:
        """Returns all rates, in the order of the printed table."""
        variants = {name.replace("_", " "): one["steady_images_per_s"] for name, one in self.variants.items()}
        limits = {"limit": self.limit["images_per_s"], "decoding limit": self.limit["decoding"]["images_per_s"]}
        return {**self.stages, **variants, **limits}

    def to_json(self) -> dict[str, Any]:
        return {
            "version": VERSION,
            **asdict(self),
            "share_of_limit": self.share_of_limit,
            "bound_by": self.bound_by,
        }

    @classmethod
    def from_json(cls, content: Any) -> Figures:
        """Inverse of `to_json`. Raises KeyError, TypeError or ValueError for other content or another version."""
        if content["version"] != VERSION:
            raise ValueError(f"version {content['version']}, not {VERSION}")
        # Older figures lack the step times.
        figures = cls(
            **{name: content[name] for name in cls.__dataclass_fields__ if name in content or name != "steps"}
        )
        if set(figures.stages) != set(STAGES) or not {"images_per_s", "decoding"} <= set(figures.limit):
            raise ValueError("stages or limit are not those of a benchmark")
        figures.rates()  # checks every key that the table needs
        return figures


def read_figures(path: str) -> Figures:
    """Reads figures written by `write_figures`.

    Raises:
        JobError: the figures are missing, unreadable, or of another version.
    """
    try:
        return Figures.from_json(read_object(absolute(path), Storage()))
    except (OSError, BaseError) as error:
        raise JobError(
            f"benchmark.compare={path}: cannot be read: {one_line(error)}",
            fix="give the benchmark.output of an earlier benchmark, or omit it",
        ) from error
    except (KeyError, TypeError, ValueError) as error:
        raise JobError(
            f"benchmark.compare={path}: not the figures of a benchmark of this version ({one_line(error)})",
            fix="run the earlier benchmark again with this version",
        ) from error


def write_figures(figures: Figures, path: str) -> str:
    """Writes JSON to ``path`` and returns its URI.

    Raises:
        JobError: the file cannot be written.
    """
    uri = absolute(path)
    try:
        Storage().write(uri, json.dumps(figures.to_json(), indent=1).encode())
    except (OSError, BaseError) as error:
        raise JobError(
            f"benchmark.output={path}: cannot be written: {one_line(error)}", fix="give a path that you may write to"
        ) from error
    return uri
