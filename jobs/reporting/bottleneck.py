"""Finds the bottleneck of a run, its distance from that limit, and the most effective changes. Pure arithmetic on
measurements of the run.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from actors.tracking.progress_counts import Pace
    from jobs.planning.engine_cache import Choice
    from jobs.planning.planner import Plan

# As printed in the verdict; keys of its shares in report.json.
READ, DECODE, MODEL, START = "reading", "decoding", "the model", "start-up"


@dataclass(frozen=True)
class Measured:
    """Measurements of a finished run.

    Args:
        num_images: number of images processed by this command.
        stage_s: worker seconds per image in `READ`, `DECODE` and `MODEL`.
        total_s: seconds of the whole command.
        pace: images and seconds of the steady part.
        cpus: CPUs of the cluster.
    """

    num_images: int
    stage_s: Mapping[str, float]
    total_s: float
    pace: Pace
    cpus: float

    @property
    def start_s(self) -> float:
        """Seconds of the command outside the steady part."""
        return max(0.0, self.total_s - self.pace.seconds)  # they come from different clocks


@dataclass(frozen=True)
class Advice:
    """A change that would make the run faster."""

    what: str
    speedup: float | None = None
    """Estimated factor by which the command gets faster; None if no measurement allows an estimate."""

    def __str__(self) -> str:
        return self.what if self.speedup is None else f"{self.what}: {self.speedup:.1f} times as fast"


@dataclass(frozen=True)
class Bottleneck:
    """Verdict at the end of a report."""

    bound_by: str
    limit_images_per_s: float
    """Rate of the stages alone, without any overhead between them."""
    share_of_limit: float | None
    """Rate of the steady part over the limit, at most 1; None if the run was too short for a steady part."""
    shares: dict[str, float]
    """Share of each stage in the worker seconds per image."""
    advice: list[Advice] = field(default_factory=list)
    """Suggestions, largest speed-up first."""
    price_per_million: float | None = None
    """Price of a million images at the steady rate, or at the rate of the whole command if there is no steady part;
    None without cluster.price_per_hour."""
    start_price: float | None = None
    """Price of the seconds outside the steady part, which each command pays once; None without a steady part."""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def __str__(self) -> str:
        shares = ", ".join(f"{stage} {share:.0%}" for stage, share in self.shares.items())
        limit = f"the stages alone could reach {self.limit_images_per_s:,.1f} images/s"
        reached = "" if self.share_of_limit is None else f", of which the steady part reached {self.share_of_limit:.0%}"
        return f"bound by {self.bound_by} ({shares}); {limit}{reached}"


def judge(measured: Measured, plan: Plan, choice: Choice, *, price_per_hour: float | None = None) -> Bottleneck | None:
    """Finds the bottleneck of a run; None if it processed no images.

    If workers run all stages, an image takes the sum of their times. With separate read tasks, the slower side is the
    limit.
    """
    if not measured.num_images or not sum(measured.stage_s.values()):
        return None
    limits = _limits(measured, plan)
    slowest = min(limits, key=limits.__getitem__)
    limit = limits[slowest]
    rate = measured.pace.images_per_s
    seconds = sum(measured.stage_s.values())
    # The larger half of the command: a faster stage could not halve it.
    is_start = measured.start_s > measured.total_s / 2
    image_s = 1 / rate if rate else measured.total_s / measured.num_images
    price_per_s = None if price_per_hour is None else price_per_hour / 3600
    advice = _advice(measured, plan, choice, limits)
    return Bottleneck(
        bound_by=START if is_start else _heaviest(measured, slowest),
        limit_images_per_s=limit,
        # Above 1 if the first batches were slow: the stage times include them, the steady part does not.
        share_of_limit=min(1.0, rate / limit) if rate else None,
        shares={stage: value / seconds for stage, value in measured.stage_s.items()},
        advice=sorted(advice, key=lambda one: -(one.speedup or 1.0))[:_MAX_ADVICE],
        price_per_million=None if price_per_s is None else price_per_s * image_s * 1e6,
        start_price=None if price_per_s is None or not rate else price_per_s * measured.start_s,
    )


_MAX_ADVICE = 3  # lines in the report
_MIN_SPEEDUP = 1.05  # advice with a smaller speed-up is dropped: two runs of the same job differ by as much

# The sides of a pipeline: stages that take turns on the same worker.
_ALL, _FEED, _DEVICE = (READ, DECODE, MODEL), (READ, DECODE), (MODEL,)


def _limits(measured: Measured, plan: Plan) -> dict[tuple[str, ...], float]:
    """Computes the images per second that each side of the pipeline can process."""

    def rate(stages: tuple[str, ...], slots: float) -> float:
        seconds = sum(measured.stage_s[stage] for stage in stages)
        return slots / seconds if seconds else float("inf")

    if plan.is_fused:
        return {_ALL: rate(_ALL, plan.workers)}
    return {_FEED: rate(_FEED, plan.num_readers(measured.cpus)), _DEVICE: rate(_DEVICE, plan.workers)}


def _heaviest(measured: Measured, side: tuple[str, ...]) -> str:
    return max(side, key=lambda stage: measured.stage_s[stage])


def _advice(measured: Measured, plan: Plan, choice: Choice, limits: Mapping[tuple[str, ...], float]) -> list[Advice]:
    found = [*_faster_engines(measured, plan, choice), *_more_cpus(measured, plan, limits)]
    if measured.start_s > measured.total_s / 2:
        share, rate = measured.start_s / measured.total_s, measured.pace.images_per_s
        speedup = measured.total_s / measured.num_images * rate if rate else None
        found.append(Advice(f"many more images in one job (start-up took {share:.0%} of this one)", speedup))
    # Reading time is waiting time, since images are read ahead: faster storage reduces it, more CPUs do not.
    without_waiting = _faster(measured, {**measured.stage_s, READ: 0.0})
    if plan.is_fused and without_waiting > _MIN_SPEEDUP:
        found.append(Advice("fewer and larger files (Parquet or tar), nearer to the workers", without_waiting))
    return [one for one in found if one.speedup is None or one.speedup > _MIN_SPEEDUP]


def _faster_engines(measured: Measured, plan: Plan, choice: Choice) -> list[Advice]:
    """Suggests faster engines and batch sizes that trials before the run measured but did not select."""
    rates = choice.calibration.rates.images_per_s if choice.calibration else {}
    found = []
    if choice.missing:
        found.append(Advice(f"a faster engine to choose from: pip install {choice.missing}"))
    if plan.is_fused and (used := rates.get(plan.batch_size)):
        best = max(rates, key=rates.__getitem__)
        # Uses the ratio of two trials: trial times differ from those of the run, which also does other work.
        stages = {**measured.stage_s, MODEL: measured.stage_s[MODEL] * used / rates[best]}
        found.append(Advice(f"batch_size={best}", _faster(measured, stages)))
    taken = next((trial for trial in choice.trials if trial.engine == choice.engine.label), None)
    for trial in choice.trials:
        if taken and plan.is_fused and trial.breaches and trial.images_per_s > taken.images_per_s:
            model_s = measured.stage_s[MODEL] * taken.images_per_s / trial.images_per_s
            what = f"{trial.engine}, if its results are good enough for you (engine.tolerance refused it)"
            found.append(Advice(what, _faster(measured, {**measured.stage_s, MODEL: model_s})))
    return found


def _more_cpus(measured: Measured, plan: Plan, limits: Mapping[tuple[str, ...], float]) -> list[Advice]:
    if plan.is_fused:
        half = {stage: seconds / 2 for stage, seconds in measured.stage_s.items()}
        return [Advice(f"twice the CPUs ({2 * measured.cpus:g})", _faster(measured, half))]
    factor = limits[_DEVICE] / limits[_FEED]
    if factor <= 1:  # the GPUs are the slower side and stay so, as CPUs are added with them
        speedup = measured.total_s / (measured.start_s + measured.pace.seconds / 2)
        return [Advice(f"twice the GPUs ({2 * plan.workers}) with as many CPUs for each", speedup)]
    speedup = measured.total_s / (measured.start_s + measured.pace.seconds / factor)
    return [Advice(f"{factor:.1f} times the CPUs for each GPU, so that it never waits", speedup)]


def _faster(measured: Measured, stage_s: Mapping[str, float]) -> float:
    """Computes the speed-up of the command with ``stage_s`` seconds per image and unchanged start-up."""
    ratio = sum(stage_s.values()) / sum(measured.stage_s.values())
    return measured.total_s / (measured.start_s + measured.pace.seconds * ratio)
