"""Makes pictures of changes of all kinds, for comparison.html. Runs on the driver."""

from __future__ import annotations

from dataclasses import replace
from itertools import chain, zip_longest
from typing import TYPE_CHECKING, Any

import numpy as np
from obstore.exceptions import BaseError

from actors.columns import TARGET
from actors.errors import JobError
from actors.messages import one_line
from actors.outputs.numbered_rows import rows_at
from jobs.comparison.vectors import cosine_distances
from jobs.pages.captions import captioned
from jobs.pages.gallery import Picture, image_source
from jobs.pages.picture_files import Thumbnail, make_thumbnails
from jobs.pages.wording import percent

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from actors.outputs import PublishedRun
    from actors.outputs.numbered_rows import FoundRow
    from actors.row_ranges import Identity
    from actors.storage.store import Storage
    from jobs.comparison.answers import Match
    from jobs.comparison.findings import Findings
    from jobs.pages.captions import Captioned

Groups = dict[str, list["Captioned"]]


def make_pictures(findings: Findings, limit: int, image_storage: Storage | None) -> Groups:
    """Makes pictures by group: ``flip/N`` for the flip of that number, ``new/STAGE/ERROR`` and ``lost/STAGE/ERROR``,
    and the titles of the other groups. Boxes and masks are shown as in A, then as in B.

    Args:
        findings: findings to show.
        limit: maximum number of images, taken from all groups in turn.
        image_storage: storage of the images; by default from the config of a run, which holds no secrets.

    Raises:
        JobError: a row cannot be read. An image that cannot be read has a note instead of its picture.
    """
    wanted = _in_turn(_examples(findings), limit)
    matches = {match for some in wanted.values() for match in some}
    both = is_drawn(findings)
    rows_a = rows_at(findings.a, (match.a for match in matches))
    rows_b = rows_at(findings.b, (match.b for match in matches))
    pictures_b = _pictures(findings.b, rows_b.values(), image_storage)
    pictures_a = _pictures(findings.a, rows_a.values() if both else (), image_storage)

    def shown(match: Match) -> list[Captioned]:
        a, b = rows_a[match.a], rows_b[match.b]
        if both:
            sides = {"A": pictures_a[a.identity], "B": pictures_b[b.identity]}
            return [replace(one, title=f"{side}: {one.title}") for side, one in sides.items()]
        return [_caption(pictures_b[b.identity], a.values, b.values)]

    return {name: [one for match in some for one in shown(match)] for name, some in wanted.items()}


def is_drawn(findings: Findings) -> bool:
    """Returns True if an image has two pictures, with the answers of A and of B drawn on them."""
    return findings.a.config["task"]["name"] in ("detect", "segment")


def _examples(findings: Findings) -> dict[str, Sequence[Match]]:
    flips = {f"flip/{place}": flip.examples for place, flip in enumerate(findings.changes.flips[:NUM_FLIPS])}
    failed = {f"{side}/{'/'.join(kind)}": some for (side, kind), some in findings.failures.examples.items()}
    return {**flips, **failed, **findings.changes.examples}


NUM_FLIPS = 24
"""Number of class pairs with pictures."""


def _in_turn(groups: Mapping[str, Sequence[Match]], limit: int) -> dict[str, list[Match]]:
    """Returns the first images of all groups, then the second ones, and so on, up to ``limit``."""
    turns = chain.from_iterable(zip_longest(*([(name, one) for one in some] for name, some in groups.items())))
    kept: dict[str, list[Match]] = {}
    for name, match in [turn for turn in turns if turn is not None][:limit]:
        kept.setdefault(name, []).append(match)
    return kept


def _pictures(run: PublishedRun, rows: Iterable[FoundRow], image_storage: Storage | None) -> dict[Identity, Captioned]:
    values = {row.identity: row.values for row in rows}
    try:
        thumbnails = make_thumbnails(image_source(run, image_storage), values, end=None) if values else {}
    except (OSError, BaseError, JobError, ValueError) as error:
        thumbnails = dict.fromkeys(values, Thumbnail(b"", one_line(error)))
    return {
        identity: captioned(Picture({key: value for key, value in row.items() if key != "mask"}, *thumbnails[identity]))
        for identity, row in values.items()
    }


def _caption(picture: Captioned, a: Mapping[str, Any], b: Mapping[str, Any]) -> Captioned:
    """Returns the picture of B with the answers of both runs below it."""
    if "error" in b or "error" in a:
        return replace(picture, lines=[f"A: {_answer(a)}", f"B: {_answer(b)}"], is_wrong=False)
    if "label" in a:
        lines = [f"A {_score(a['score'])}", f"B {_score(b['score'])}"]
        known = a.get(TARGET)
        is_wrong = known is not None and str(known) not in (str(b["label"]), str(b["label_id"]))
        title = f"{a['label']} → {b['label']}"
        return replace(picture, title=title, lines=[*lines, *([f"known: {known}"] if known else [])], is_wrong=is_wrong)
    names = [name for name in a if name in b and isinstance(a[name], float | int)]
    vectors = [name for name in a if name in b and name.startswith("embedding")]
    lines = [f"{name} {a[name]:.4g} → {b[name]:.4g}" for name in names]
    lines += [f"{name}: cosine distance {_distance(a[name], b[name]):.4g}" for name in vectors]
    return replace(picture, title=lines[0] if lines else "", lines=lines[1:_NUM_LINES])


_NUM_LINES = 4


def _answer(row: Mapping[str, Any]) -> str:
    if "error" in row:
        return f"{row['stage']}/{row['error']}"
    return f"{row['label']} {_score(row['score'])}" if "label" in row else "an answer"


def _score(value: float) -> str:
    return percent(value) if 0 <= value <= 1 else f"{value:.4g}"


def _distance(a: Sequence[float], b: Sequence[float]) -> float:
    return float(cosine_distances(np.array([a], np.float64), np.array([b], np.float64))[0])
