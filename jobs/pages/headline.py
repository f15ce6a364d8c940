"""The top of a report: the verdict in one sentence, and the few numbers that everybody asks for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from jobs.pages.wording import duration, images, percent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jobs.pages.facts import RunFacts


class Tile(NamedTuple):
    """A number with its name, and a line below it."""

    name: str
    value: str
    note: str = ""
    tone: str = ""


@dataclass(frozen=True)
class Headline:
    """Verdict and numbers. ``tone`` is good, warn, bad, or empty for a run of nothing."""

    tone: str
    verdict: str
    lead: str
    tiles: Sequence[Tile]


def headline(facts: RunFacts) -> Headline:
    tone, verdict = _verdict(facts)
    tiles = [*_counts(facts), *_quality(facts), *_speed(facts), *_cost(facts)]
    return Headline(tone, verdict, " ".join(_sentences(facts)), tiles)


def _verdict(facts: RunFacts) -> tuple[str, str]:
    if not facts.num_listed:
        return "", "No image to predict: nothing to do"
    if not facts.num_errors:
        whole = "The one image is predicted" if facts.num_listed == 1 else f"All {facts.num_listed:,} images predicted"
        return "good", whole
    if not facts.num_ok:
        return "bad", "The one image failed" if facts.num_listed == 1 else f"All {facts.num_listed:,} images failed"
    return "warn", f"{facts.num_ok:,} of {images(facts.num_listed)} predicted, {facts.num_errors:,} failed"


def _sentences(facts: RunFacts) -> list[str]:
    report, found = facts.report, []
    if facts.num_listed:
        found.append("Every listed image has exactly one outcome.")
    if (ratio := report.get("accuracy_ratio")) is not None:
        found.append(f"The best class is correct for {percent(ratio)} of {images(report['num_labelled'])} with labels.")
    if verdict := report.get("verdict"):
        found.append(f"Speed was limited by {verdict['bound_by']}.")
    if done_before := report.get("num_done_before"):
        found.append(f"An earlier command processed {images(done_before)}.")
    return found


def _counts(facts: RunFacts) -> list[Tile]:
    ok = Tile("Predicted", f"{facts.num_ok:,}", f"of {facts.num_listed:,} listed")
    share = percent(facts.num_errors, facts.num_listed) if facts.num_errors else "none"
    return [ok, Tile("Errors", f"{facts.num_errors:,}", share, "bad" if facts.num_errors else "good")]


def _quality(facts: RunFacts) -> list[Tile]:
    scores, num = facts.scores, int(facts.metrics.get("num_labelled") or facts.report.get("num_labelled") or 0)
    note = f"of {num:,} with a label" if num else ""
    for name, title in (("accuracy", "Accuracy"), ("map", "mAP"), ("mean_iou", "Mean IoU"), ("rmse", "RMSE")):
        if name in scores:
            value = f"{scores[name]:.4g}" if name == "rmse" else percent(scores[name])
            return [Tile(title, value, note)]
    return []


def _speed(facts: RunFacts) -> list[Tile]:
    report, tiles = facts.report, []
    if rate := report.get("images_per_s"):
        pace = (report.get("execution") or {}).get("pace", {}).get("images_per_s")
        tiles.append(Tile("Images/s", f"{rate:,.0f}", f"{pace:,.0f} without start-up" if pace else ""))
    if total := report.get("elapsed_s", {}).get("total"):
        note = "of the last command" if report.get("num_done_before") else "from command to commit"
        tiles.append(Tile("Duration", duration(total), note))
    return tiles


def _cost(facts: RunFacts) -> list[Tile]:
    """Price of the command: that of its images at the steady rate, and that of start-up."""
    verdict = facts.report.get("verdict") or {}
    price = verdict.get("price_per_million")
    if price is None:
        return []
    done = facts.num_listed - int(facts.report.get("num_done_before") or 0)
    unit = f" {facts.report['currency']}" if facts.report.get("currency") else ""
    whole = price * done / 1e6 + (verdict.get("start_price") or 0)
    return [Tile("Cost", f"{whole:,.2f}{unit}", f"{price:,.2f}{unit} for a million images like these")]
