"""Detects models whose answer for an image depends on the rest of its batch, and runs their images one at a time. Runs
where a predictor is built.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from actors.device_errors import DeviceError
from actors.engines.base import InTurn
from actors.errors import JobError
from actors.messages import one_line
from actors.predicting.probes import noise

if TYPE_CHECKING:
    from collections.abc import Mapping

    from actors.engines.base import Engine
    from actors.pixel_arrays import Pixels

    Answers = Mapping[str, np.ndarray]

ONE_BY_ONE = "one_by_one"
"""The key in `Engine.details` for the reason why each image runs alone."""


def mixing(engine: Engine, beside: Answers, size: tuple[int, int], *, where: str) -> str:
    """Returns the reason why each image must run alone; empty if the batch affects answers only by rounding.

    Compares the answers for an image alone, with another image, and at another position. A graph that was exported for
    one image, and then given a free batch size, may return the first answer for every image; a graph that quantises a
    batch with a single scale, or normalises over it, returns answers that depend on the other images.

    Args:
        engine: the engine to try.
        beside: its answers for `actors.predicting.probes.noise`.
        size: height and width of its images.
        where: names the model in messages.

    Raises:
        JobError: running alone would not help: a single image fails, or gets a different answer each time.
    """
    first, second = noise(size)
    moved = engine(np.stack([second, first]))
    try:
        alone = engine(first[None])
    except DeviceError:
        raise
    except Exception:  # noqa: BLE001  some networks drop the image axis for a single image, and jobs pad batches
        alone = engine(np.stack([first, first]))
    limit = _LIMITS.get(engine.precision, _COARSE)
    if _agree(_entry(beside, 0), _entry(moved, 1), limit):
        seen = "" if _agree(_entry(beside, 0), _entry(alone, 0), limit) else "alone and beside another image"
    else:
        seen = "at another place of a batch"
    if not seen:
        return ""
    try:
        again = engine(first[None])
    except Exception as error:
        raise JobError(
            f"{where}: the answer for the same image differs {seen}, and it fails on a single image: {one_line(error)}",
            fix=_FIX,
        ) from error
    if not _agree(_entry(alone, 0), _entry(again, 0), limit):
        raise JobError(f"{where}: gives a different answer for the same image each time", fix=_FIX)
    return f"the model gives a different answer for the same image {seen}"


def independent(engine: Engine, reason: str) -> Engine:
    """Returns ``engine``, wrapped in `OneByOne` if ``reason``, the result of `mixing`, is not empty."""
    return OneByOne(engine, reason) if reason and ONE_BY_ONE not in engine.details else engine


class OneByOne(InTurn):
    """Runs the images of a batch one at a time. See `actors.engines.base.Engine`.

    Args:
        engine: runs the images.
        reason: goes into the report.
    """

    def __init__(self, engine: Engine, reason: str) -> None:
        self._engine = engine
        self.name, self.device, self.precision = engine.name, engine.device, engine.precision
        self.details = {ONE_BY_ONE: reason, **engine.details}
        self.uncounted = engine.uncounted

    def __call__(self, pixels_nhwc: Pixels) -> dict[str, np.ndarray]:
        parts = [self._engine(pixels_nhwc[place : place + 1]) for place in range(len(pixels_nhwc))]
        self.uncounted = self._engine.uncounted
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def release(self) -> None:
        self._engine.release()


# Distance of two answers that rounding explains, relative to the norm of one. torchvision's models reach 3e-7 in fp32.
_LIMITS = {"fp32": 1e-3, "fp16": 1e-2}
_COARSE = 5e-2  # bf16 and int8
_FIX = "export it in evaluation mode, with a dynamic batch size and, if quantised, with static quantisation"


def _entry(answers: Answers, place: int) -> dict[str, np.ndarray]:
    return {name: output[place] for name, output in answers.items()}


def _agree(one: Answers, other: Answers, limit: float) -> bool:
    """Returns True if all outputs agree. Different shapes are left to `actors.predicting.probes.probe`."""
    return all(
        _distance(one[name], other[name]) <= limit or _distance(_in_order(one[name]), _in_order(other[name])) <= limit
        for name in one.keys() & other.keys()
        if one[name].shape == other[name].shape and one[name].size
    )


def _in_order(entry: np.ndarray) -> np.ndarray:
    """Sorts the entry, since rounding may swap two boxes of a detector that sorts them by score."""
    return np.sort(entry, axis=0) if entry.ndim else entry


def _distance(one: np.ndarray, other: np.ndarray) -> float:
    """Returns the norm of the difference over that of ``one``; for integers, the fraction that differs."""
    if one.dtype.kind != "f":
        return float((one != other).mean()) * _INTEGER_WEIGHT
    known = np.isfinite(one) & np.isfinite(other)
    one, other = one[known].astype(np.float64), other[known].astype(np.float64)
    norm = np.linalg.norm(one)
    return float(np.linalg.norm(one - other) / norm) if norm else 0.0


_INTEGER_WEIGHT = 0.1  # rounding may change a few of many integers, such as the classes of pixels
