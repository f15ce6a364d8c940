"""Tries CPU and GPU decoding on images of the dataset: their speed, and whether the model's predictions agree. Runs on
a worker with a GPU, before the first image of the run.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from actors.decoding.config import DecodeDevice
from actors.errors import DecoderMismatchError, JobError
from actors.trials.comparison import Trial, compare
from actors.trials.engine_trial import try_engine
from actors.trials.sampling import Sample, take_sample

if TYPE_CHECKING:
    from collections.abc import Sequence

    from actors.reading.reader import ReadPlan
    from actors.recipe import Agree, Recipe
    from actors.row_ranges import Piece


@dataclass(frozen=True)
class DecodeTrial:
    """Outcome of the trial, for the report."""

    cpu_s: float = 0.0
    """Seconds per image on one CPU."""
    gpu_s: float = 0.0
    """Seconds per image on an otherwise idle GPU."""
    breaches: list[str] = field(default_factory=list)
    """Reasons not to decode on the GPU; empty if it agrees."""


def try_decoders(read: ReadPlan, pieces: Sequence[Piece], reference: Recipe, agree: Agree) -> DecodeTrial:
    """Decodes the images at ``pieces`` both ways, and compares the predictions of ``reference``."""
    try:
        cpu, gpu = (_sample(read, pieces, device) for device in (DecodeDevice.cpu, DecodeDevice.gpu))
    except JobError as error:
        return DecodeTrial(breaches=[error.problem])
    except DecoderMismatchError as error:
        return DecodeTrial(breaches=[error.seen])
    # Equal URI lists also imply equal order: both samples are shuffled with the same seed.
    if cpu.costs is None or gpu.costs is None or cpu.uris != gpu.uris:
        return DecodeTrial(breaches=["the GPU does not decode the images that the CPU does"])
    (_, right), (trial, answers) = (
        try_engine(reference, one.pixels_nhwc, batch_size=read.batch_size) for one in (cpu, gpu)
    )
    compared: Trial = compare(right, trial, answers, agree, cpu.uris)
    return DecodeTrial(cpu.costs.decode_s, gpu.costs.decode_s, compared.breaches)


def _sample(read: ReadPlan, pieces: Sequence[Piece], device: DecodeDevice) -> Sample:
    return take_sample(replace(read, limits=replace(read.limits, device=device)), pieces)
