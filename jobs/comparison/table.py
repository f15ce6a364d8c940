"""Prints the table of a comparison, in lines of at most 80 columns except for long names. Runs on the driver."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobs.pages.wording import images

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Iterator, Sequence

    from jobs.comparison.answers import Flip
    from jobs.comparison.failures import Kind
    from jobs.comparison.findings import Findings


def lines_of(findings: Findings) -> Iterator[str]:
    """Returns lines for runs, images, differences of the answers, errors, and the most frequent flips."""
    failed, changes = findings.failures, findings.changes
    for name, run in (("run A", findings.a), ("run B", findings.b)):
        yield _line(name, f"{run.run_id}, model {run.fingerprint}")
        yield _line("", f"{run.num_ok:,} answers, {run.num_errors:,} errors")
    yield from _images(findings)
    if changes.num_flips is not None:
        yield _line("flips", f"{images(changes.num_flips)}; ratio {changes.flip_ratio:.6g}")
    if changes.drift is not None:
        yield _line("drift", f"{changes.drift:.6g}")
    for name, text in figure_lines(findings):
        yield _line(_short(name, 15), text)
    yield _line("new errors", _kinds(failed.new))
    yield _line("lost errors", _kinds(failed.lost))
    if failed.num_both:
        yield _line("errors in both", f"{failed.num_both:,}, {failed.num_changed:,} of them for another reason")
    yield from _flips(changes.flips)


def class_name(name: str | None) -> str:
    """Returns the display name of a class; None stands for a box or pixel without a counterpart."""
    return "(none)" if name is None else name


def _images(findings: Findings) -> Iterator[str]:
    counts = findings.counts
    yield _line("images", f"{counts.num_both:,} in both, {findings.num_answers:,} with an answer in both")
    if counts.num_only_a or counts.num_only_b:
        yield _line("", f"{counts.num_only_a:,} only in A, {counts.num_only_b:,} only in B")
    if counts.num_by_id_alone:
        yield _line("", f"{counts.num_by_id_alone:,} with another URI in B, matched by image_id")
    if counts.num_ambiguous:
        yield _line("", f"{counts.num_ambiguous:,} not matched: several images have their image_id")


def _flips(flips: Sequence[Flip]) -> Iterator[str]:
    if flips:
        yield ""
        yield f"{'in A':<32}{'in B':<32}{'number':>15}"
    for flip in flips[:_NUM_ROWS]:
        yield f"{_class(flip.before):<32}{_class(flip.after):<32}{flip.num:>15,}"
    if len(flips) > _NUM_ROWS:
        yield "comparison.json has more pairs"


def figure_lines(findings: Findings) -> Iterator[tuple[str, str]]:
    """Returns names and texts of the figures on answers."""
    figures = findings.changes.figures
    for one in findings.changes.distributions[:_NUM_ROWS]:
        yield one.name, f"mean {one.mean_a:.6g} in A, {one.mean_b:.6g} in B; PSI {one.stability_index:.4g}"
    if "num_labelled" in figures:
        yield "labels", f"{figures['num_labelled']:,} images"
        yield "accuracy", f"{figures['accuracy_a']:.6f} in A, {figures['accuracy_b']:.6f} in B"
        yield "better or worse", f"{figures['num_fixed']:,} fixed, {figures['num_broken']:,} broken"
    for name in ("num_boxes_a", "num_boxes_b", "num_matched", "num_other_class", "pixel_agreement"):
        if name in figures:
            value = figures[name]
            text = f"{value:,}" if isinstance(value, int) else f"{value:.6f}"
            yield name.removeprefix("num_").replace("_", " "), text
    for name, own in [*figures.get("columns", {}).items()][:_NUM_ROWS]:
        yield name, f"differs by {own['mean_difference']:.4g} on average, {own['largest_difference']:.4g} at most"
    for name, own in [*figures.get("cosine_distance", {}).items()][:_NUM_ROWS]:
        yield name, f"distance {own['mean']:.4g} on average, p99 {own['p99']:.4g}, largest {own['largest']:.4g}"


def _kinds(counts: Counter[Kind]) -> str:
    listed = ", ".join(f"{stage}/{error} {number:,}" for (stage, error), number in counts.most_common(_NUM_KINDS))
    return f"{counts.total():,}{f': {listed}' if listed else ''}"


def _line(name: str, text: str) -> str:
    return f"{name:<16}{text}"


def _class(name: str | None) -> str:
    return _short(class_name(name), 30)


def _short(name: str, length: int) -> str:
    return name if len(name) <= length else f"{name[: length - 1]}…"


_NUM_ROWS, _NUM_KINDS = 10, 4
