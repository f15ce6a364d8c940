"""Table of the figures of a benchmark, beside those of an earlier one. Runs on the driver."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jobs.benchmarking.figures import Figures


def rates_of(figures: Figures, earlier: Figures | None = None) -> list[list[str]]:
    """Returns a row of cells per rate, with the earlier rate and the ratio if given."""
    before = earlier.rates() if earlier else {}
    rows = [["", "images/s", *(["before", "ratio"] if earlier else [])]]
    for name, rate in figures.rates().items():
        rows.append([name, _rate(rate), *([_rate(before[name]), _ratio(rate, before[name])] if earlier else [])])
    share, share_before = figures.share_of_limit, earlier.share_of_limit if earlier else None
    more = [_percent(share_before), _ratio(share, share_before)] if earlier else []
    rows.append(["share of limit", _percent(share), *more])
    return rows


_TOO_FEW = "too few images"


def unlike(figures: Figures, earlier: Figures) -> list[str]:
    """Lists the differences in the conditions of both measurements, one phrase each."""
    pairs = {
        "engine": (earlier.engine, figures.engine),
        "num_images": (earlier.num_images, figures.num_images),
        "mean_image_bytes": (_rounded(earlier.mean_image_bytes), _rounded(figures.mean_image_bytes)),
    }
    for group, one, other in (("plan", earlier.plan, figures.plan), ("machine", earlier.machine, figures.machine)):
        pairs |= {f"{group}.{key}": (one.get(key), other.get(key)) for key in {**one, **other}}
    return [f"{what} was {old}, now {new}" for what, (old, new) in pairs.items() if old != new]


def notes_of(figures: Figures) -> list[tuple[str, str]]:
    """Returns names and values about images, limit and engine."""
    whole = figures.variants["whole"]
    errors = f", {figures.num_errors:,} of them errors" if figures.num_errors else ""
    size = f" of {figures.mean_image_bytes / 1000:,.1f} kB" if figures.mean_image_bytes else ""
    limit, decoding = figures.limit, figures.limit["decoding"]
    notes = {
        "images": f"{figures.num_images:,}{size}{errors}",
        "whole": f"{whole['elapsed_s']:.1f} s including actor start-up, {whole['images_per_s']:,.1f} images/s",
        "limit": f"plain loop, {_layout(limit)}; decoding alone, {_layout(decoding)}",
        "bound by": figures.bound_by or _TOO_FEW,
        "engine": figures.engine,
        **({"steps": _steps(figures.steps)} if figures.steps else {}),
    }
    return list(notes.items())


def _steps(steps: Mapping[str, Any]) -> str:
    times = {name: steps[f"{key}_ms"] for name, key in _STEPS.items()}
    return (
        f"{', '.join(f'{name} {value:.3g} ms' for name, value in times.items())} an image, one after the other in "
        f"batches of {steps['batch_size']}"
    )


_STEPS = {"pre-processing": "preprocess", "inference": "inference", "post-processing": "postprocess"}


def _layout(loop: Mapping[str, Any]) -> str:
    processes = "1 process" if loop["processes"] == 1 else f"{loop['processes']} processes"
    return f"{processes} of {loop['threads']} threads" if loop["threads"] > 1 else processes


def _rate(rate: float | None) -> str:
    return _TOO_FEW if rate is None else f"{rate:,.1f}"


def _percent(share: float | None) -> str:
    return _TOO_FEW if share is None else f"{share:.1%}"


def _ratio(now: float | None, before: float | None) -> str:
    return f"{now / before:.2f}" if now and before else ""


def _rounded(size: float | None) -> int | None:
    return None if size is None else round(size)
