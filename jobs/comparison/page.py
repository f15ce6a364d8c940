"""Renders comparison.html: the differences of two runs with pictures, in one file that loads nothing and runs no
script. Runs on the driver.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jobs.comparison.drift_chart import drift_chart
from jobs.comparison.gates import breaches
from jobs.comparison.pictures import NUM_FLIPS, is_drawn
from jobs.comparison.table import class_name, figure_lines
from jobs.pages.headline import Tile
from jobs.pages.page import MAX_BYTES, embedded_json, environment
from jobs.pages.wording import images, percent

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Mapping, Sequence

    from actors.outputs import PublishedRun
    from jobs.comparison.failures import Kind
    from jobs.comparison.findings import Findings
    from jobs.comparison.pictures import Groups
    from jobs.pages.captions import Captioned


def make_page(findings: Findings, limits: Sequence[Mapping[str, Any]], pictures: Groups) -> str:
    """Renders the page in at most `MAX_BYTES` of UTF-8, omitting pictures that exceed the limit."""
    while True:
        page = _render(findings, limits, pictures)
        if len(page.encode()) <= MAX_BYTES or not pictures:
            return page
        halves = {name: some[: len(some) // 2] for name, some in pictures.items()}
        pictures = {name: some for name, some in halves.items() if some}


def _render(findings: Findings, limits: Sequence[Mapping[str, Any]], pictures: Groups) -> str:
    changes, failed = findings.changes, findings.failures
    flips = _flips(findings, pictures)
    charts = [drift_chart(one) for one in changes.distributions]
    figures = list(figure_lines(findings))
    others = [(name, pictures[name]) for name in changes.examples if name in pictures]
    kinds = [*_kinds("new", failed.new, pictures), *_kinds("lost", failed.lost, pictures)]
    sections = {
        "limits": "Limits" if limits else "",
        "flips": "Flips" if flips else "",
        "drift": "Drift" if charts or figures else "",
        "classes": "Classes" if changes.classes else "",
        "pictures": "Pictures" if others else "",
        "errors": "Errors" if kinds or failed.num_both else "",
        "runs": "Runs",
    }
    return (
        environment()
        .get_template("comparison.html")
        .render(
            sections=[(key, name) for key, name in sections.items() if name],
            a=findings.a.run_id,
            b=findings.b.run_id,
            tone="bad" if breaches(limits) else "" if _is_changed(findings) else "good",
            verdict=_verdict(findings),
            lead=" ".join(_sentences(findings)),
            tiles=_tiles(findings),
            limits=limits,
            unit=_unit(findings),
            in_pairs=is_drawn(findings),
            flips=flips,
            more_flips=len(changes.flips) > len(flips),
            charts=charts,
            figures=figures,
            classes=changes.classes[:_NUM_CLASSES],
            others=others,
            kinds=kinds,
            num_both=failed.num_both,
            num_changed=failed.num_changed,
            runs=[("A", _about(findings.a)), ("B", _about(findings.b))],
            numbers=embedded_json({**findings.to_json(), "limits": list(limits)}),
        )
    )


_NUM_CLASSES = 40


@dataclass(frozen=True)
class ShownFlip:
    """A row of the table of flips, and its pictures; ``width`` is a percentage of the longest."""

    key: str
    """Anchor in the page."""
    before: str
    after: str
    num: int
    width: float
    pictures: Sequence[Captioned]


@dataclass(frozen=True)
class ShownKind:
    """A kind of error that is ``new`` or ``lost``."""

    key: str
    change: str
    kind: str
    num: int
    pictures: Sequence[Captioned]


def _flips(findings: Findings, pictures: Groups) -> list[ShownFlip]:
    flips = findings.changes.flips[:NUM_FLIPS]
    return [
        ShownFlip(
            f"flip-{place}",
            class_name(flip.before),
            class_name(flip.after),
            flip.num,
            flip.num / flips[0].num * 100,
            pictures.get(f"flip/{place}", ()),
        )
        for place, flip in enumerate(flips)
    ]


def _kinds(change: str, counts: Counter[Kind], pictures: Groups) -> list[ShownKind]:
    return [
        ShownKind(f"{change}-{place}", change, "/".join(kind), number, pictures.get(f"{change}/{'/'.join(kind)}", ()))
        for place, (kind, number) in enumerate(counts.most_common(_NUM_KINDS))
    ]


_NUM_KINDS = 30


def _unit(findings: Findings) -> str:
    figures = findings.changes.figures
    return "pixels" if "pixel_agreement" in figures else "boxes" if "num_matched" in figures else "images"


def _is_changed(findings: Findings) -> bool:
    changes, failed = findings.changes, findings.failures
    return bool(changes.num_flips or changes.drift or failed.num_new or failed.num_lost)


def _verdict(findings: Findings) -> str:
    changes, number = findings.changes, findings.num_answers
    if not number:
        return "No image has an answer in both runs"
    if changes.num_flips is None:
        return (
            f"The answers drift by {changes.drift:.4g}" if changes.drift else f"All {images(number)} have equal answers"
        )
    if not changes.num_flips:
        return f"No answer of {images(number)} flips"
    return f"{changes.num_flips:,} of {images(number)} flip: {percent(changes.num_flips, number)}"


def _sentences(findings: Findings) -> list[str]:
    figures, failed, counts = findings.changes.figures, findings.failures, findings.counts
    found = []
    if "num_labelled" in figures:
        found.append(
            f"Of {images(figures['num_labelled'])} with a known label, A is right for {percent(figures['accuracy_a'])} "
            f"and B for {percent(figures['accuracy_b'])}: {figures['num_broken']:,} broken, "
            f"{figures['num_fixed']:,} fixed."
        )
    if failed.num_new or failed.num_lost:
        found.append(f"{images(failed.num_new)} newly failed, {images(failed.num_lost)} no longer.")
    if counts.num_only_a or counts.num_only_b:
        found.append(f"{images(counts.num_only_a)} are only in A, {images(counts.num_only_b)} only in B.")
    return found


def _tiles(findings: Findings) -> list[Tile]:
    changes, failed, counts = findings.changes, findings.failures, findings.counts
    tiles = [Tile("Images", f"{counts.num_both:,}", f"in both runs, {findings.num_answers:,} with two answers")]
    if changes.flip_ratio is not None:
        tiles.append(Tile("Flip ratio", percent(changes.flip_ratio), f"of the {_flipping(findings)}"))
    if changes.drift is not None:
        tiles.append(Tile("Drift", f"{changes.drift:.4g}", "0 for equal answers"))
    tiles.append(
        Tile("New errors", f"{failed.num_new:,}", f"{failed.num_lost:,} lost", "bad" if failed.num_new else "")
    )
    if counts.num_only_a or counts.num_only_b:
        tiles.append(Tile("In one run alone", f"{counts.num_only_a:,}", f"only in A; {counts.num_only_b:,} only in B"))
    return tiles


def _flipping(findings: Findings) -> str:
    return "pixels" if _unit(findings) == "pixels" else "images with two answers"


def _about(run: PublishedRun) -> list[tuple[str, str]]:
    model = run.config.get("model") or {}
    named = [str(model[key]) for key in ("source", "architecture", "checkpoint") if model.get(key)]
    return [
        ("run", run.run_id),
        ("opened", run.record.opened_at),
        ("model", ", ".join(named) or "unknown"),
        ("fingerprint", run.fingerprint),
        ("dataset", ", ".join(run.dataset_paths) or "unknown"),
        ("answers", f"{run.num_ok:,}"),
        ("errors", f"{run.num_errors:,}" + (f", retried by {run.redriven_by}" if run.redriven_by else "")),
        ("output", run.paths.root),
    ]
