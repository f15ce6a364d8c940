"""The figures of a benchmark, as they are kept in JSON. Used on the driver."""

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

VERSION = 1
STAGES = ("listing", "reading", "decoding", "transfer", "model", "writing")
_IN_THE_RUN = STAGES[1:]  # listing is over before

Rates = dict[str, float | None]
"""Images a second by name; None where there were too few images to tell."""


@dataclass(frozen=True)
class Figures:
    """What was measured."""

    num_images: int
    num_errors: int
    mean_image_bytes: float | None
    plan: Mapping[str, Any]
    engine: str
    """Its label, such as ``torch fp32``."""
    stages: Rates
    """Each of `STAGES` alone."""
    variants: Mapping[str, Mapping[str, Any]]
    """``whole``, ``without_writing`` and ``without_model``: elapsed_s, images_per_s, steady_images_per_s."""
    limit: Mapping[str, Any]
    """The best plain loop, ``decoding`` the best that stops there, and whether an idle Ray was beside them."""
    machine: Mapping[str, Any]

    @property
    def share_of_limit(self) -> float | None:
        """Steady rate of the whole over that of the plain loop; None on several nodes, of which that ran on one."""
        if self.machine["nodes"] != 1:
            return None
        whole, limit = self.variants["whole"]["steady_images_per_s"], self.limit["images_per_s"]
        return whole / limit if whole and limit else None

    @property
    def bound_by(self) -> str | None:
        """The stage of the run that is the slowest alone; None where too few of them could be measured."""
        known = {name: rate for name in _IN_THE_RUN if (rate := self.stages[name])}
        return min(known, key=lambda name: known[name]) if {"decoding", "model"} <= set(known) else None

    def rates(self) -> Rates:
        """All of them, in the order in which they are shown."""
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
        """Raises KeyError, TypeError or ValueError for what is no `to_json`, or of another version."""
        if content["version"] != VERSION:
            raise ValueError(f"version {content['version']}, not {VERSION}")
        figures = cls(**{name: content[name] for name in cls.__dataclass_fields__})
        if set(figures.stages) != set(STAGES) or not {"images_per_s", "decoding"} <= set(figures.limit):
            raise ValueError("stages or limit are not those of a benchmark")
        figures.rates()
        return figures


def read_figures(path: str) -> Figures:
    """Those that `write_figures` wrote.

    Raises:
        JobError: there are none.
    """
    try:
        return Figures.from_json(read_object(absolute(path), Storage()))
    except (OSError, BaseError) as error:
        raise JobError(
            f"benchmark.compare={path}: cannot be read: {one_line(error)}",
            cure="give the benchmark.output of an earlier benchmark, or leave it away",
        ) from error
    except (KeyError, TypeError, ValueError) as error:
        raise JobError(
            f"benchmark.compare={path}: not the figures of a benchmark of this version ({one_line(error)})",
            cure="measure anew with this version, and compare with that",
        ) from error


def write_figures(figures: Figures, path: str) -> str:
    """Writes JSON to ``path``; gives its URI.

    Raises:
        JobError: that cannot be written.
    """
    uri = absolute(path)
    try:
        Storage().write(uri, json.dumps(figures.to_json(), indent=1).encode())
    except (OSError, BaseError) as error:
        raise JobError(
            f"benchmark.output={path}: cannot be written: {one_line(error)}", cure="give a path that you may write to"
        ) from error
    return uri
