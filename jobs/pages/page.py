"""The report of a run as one HTML file, which loads nothing and runs no script. Made on the driver, from the documents
of the run and the pictures of its gallery.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from functools import cache
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup

from actors.columns import TARGET
from jobs.pages.answers import distribution, score_histogram
from jobs.pages.captions import captioned
from jobs.pages.failures import failures
from jobs.pages.gallery import Gallery
from jobs.pages.headline import headline
from jobs.pages.pace import Share, pace
from jobs.pages.picture_files import TOO_LATE
from jobs.pages.provenance import provenance
from jobs.pages.training import training
from jobs.pages.trials import engine_choice
from jobs.pages.truth import truth
from jobs.pages.wording import plain, shown

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from jobs.pages.captions import Captioned
    from jobs.pages.facts import RunFacts
    from jobs.pages.gallery import Picture

_TEMPLATE = "report.html"
MAX_BYTES = 5_000_000
"""Limit of a page, also by mail and in a browser on a phone."""


def make_page(facts: RunFacts, gallery: Gallery) -> str:
    """Makes the page, of at most `MAX_BYTES` in UTF-8: leaves out as many pictures as are too much."""
    page, budget = _render(facts, gallery), _num_bytes(gallery)
    while (size := len(page.encode())) > MAX_BYTES and gallery.groups:
        budget -= size - _TARGET_BYTES
        gallery = _thinned(gallery, budget)
        page = _render(facts, gallery)
    return page


@cache
def environment() -> Environment:
    """The templates of all pages, with the filters ``shown`` and ``plain`` for text from outside."""
    loader = PackageLoader("jobs.pages")
    found = Environment(
        loader=loader, autoescape=select_autoescape(), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    found.filters |= {"shown": shown, "plain": plain}
    return found


def load_templates() -> None:
    """Compiles the templates of the report; `make_page` does it by itself."""
    environment().get_template(_TEMPLATE)


def embedded_json(content: Any) -> Markup:
    """JSON for a ``script`` element of a data type: no text in it can end the element, and NaN becomes null."""
    text = json.dumps(_finite(content), ensure_ascii=True, allow_nan=False, default=str)
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))  # noqa: S704  escaped


@dataclass(frozen=True)
class PictureGroup:
    """Pictures under one heading."""

    name: str
    pictures: Sequence[Captioned]
    key: str = ""
    """Anchor in the page."""


def _render(facts: RunFacts, gallery: Gallery) -> str:
    found = {name: [captioned(one) for one in some if _is_shown(one)] for name, some in gallery.groups.items()}
    groups = {name: some for name, some in found.items() if some}
    names = _class_names(facts, gallery)
    known, speed, failed = truth(facts, groups, names), pace(facts), failures(facts, gallery)
    engine, classes = engine_choice(facts), _classes(groups)
    spread, histogram, curve = distribution(facts), score_histogram(facts), training(facts)
    extremes = [PictureGroup(title, groups[name]) for name, title in _EXTREMES.items() if name in groups]
    sections = {
        "outcomes": "Outcomes",
        "speed": "Speed" if speed else "",
        "predictions": "Predictions" if spread or histogram else "",
        "labels": "Known labels" if known else "",
        "training": "Training" if curve else "",
        "pictures": "Pictures" if classes or extremes else "",
        "errors": "Errors" if failed else "",
        "engine": "Engine" if engine else "",
        "provenance": "Provenance",
    }
    return (
        environment()
        .get_template(_TEMPLATE)
        .render(
            sections=[(key, name) for key, name in sections.items() if name],
            run_id=facts.paths.run_id,
            num_errors=facts.num_errors,
            headline=headline(facts),
            proof=_proof(facts),
            pace=speed,
            spread=spread,
            histogram=histogram,
            classes=classes,
            extremes=extremes,
            truth=known,
            mistakes=groups.get("mistakes", []),
            cells=_cells(gallery, groups),
            training=curve,
            failures=failed,
            engine=engine,
            origin=provenance(facts),
            numbers=embedded_json(_numbers(facts)),
        )
    )


def _is_shown(one: Picture) -> bool:
    """Returns False for an image that there was no time to read, unless it failed: then there is a message."""
    return one.note != TOO_LATE.note or "message" in one.row


_EXTREMES = {
    "least_confident": "Least confident",
    "near_ties": "Near ties: the first two classes have almost the same score",
    "most_confident": "Most confident",
    "nothing_found": "Nothing found",
    "sample": "Drawn from all rows",
}


def _proof(facts: RunFacts) -> dict[str, Any]:
    listed, ok, failed = facts.num_listed, facts.num_ok, facts.num_errors
    parts = [
        Share("predicted", ok / listed if listed else 0, f"{ok:,}", "good"),
        Share("errors", failed / listed if listed else 0, f"{failed:,}", "bad"),
    ]
    return {"listed": listed, "ok": ok, "errors": failed, "parts": parts, "digest": facts.manifest_sha256}


def _classes(groups: Mapping[str, Sequence[Captioned]]) -> list[PictureGroup]:
    return [PictureGroup(name.removeprefix(_CLASS), some) for name, some in groups.items() if name.startswith(_CLASS)]


def _cells(gallery: Gallery, groups: Mapping[str, Sequence[Captioned]]) -> dict[str, PictureGroup]:
    """Pictures of the cells of the confusion matrix, by name of the group."""
    rows = {name: gallery.groups[name][0].row for name in groups if name.startswith(_CELL)}
    return {
        name: PictureGroup(
            f"Known as {row.get(TARGET)}, predicted as {row.get('label')}", groups[name], f"cell-{place}"
        )
        for place, (name, row) in enumerate(rows.items())
    }


_CLASS, _CELL = "class/", "cell/"


def _class_names(facts: RunFacts, gallery: Gallery) -> dict[int, str]:
    """Names of the classes: those of the model, or, where they are gone, those in the rows at hand."""
    if facts.labels:
        return dict(enumerate(facts.labels))
    rows = [one.row for some in gallery.groups.values() for one in some]
    return {int(row["label_id"]): str(row["label"]) for row in rows if row.get("label_id") is not None}


def _numbers(facts: RunFacts) -> dict[str, Any]:
    about = {"manifest_sha256": facts.manifest_sha256, "run": dict(facts.record), "metrics": dict(facts.metrics)}
    return {"report": dict(facts.report), **about}


def _num_bytes(gallery: Gallery) -> int:
    return sum(_size(one) for some in gallery.groups.values() for one in some)


def _size(one: Picture) -> int:
    """Bytes of a picture in the page; the words around it are less than an estimate of a thousand."""
    return len(one.thumbnail) * 4 // 3 + 1000


def _thinned(gallery: Gallery, budget: int) -> Gallery:
    """The gallery without what is beyond ``budget`` bytes: the first picture of each group counts before any second."""
    turns = sorted(
        ((number, name) for name, some in gallery.groups.items() for number in range(len(some))), key=itemgetter(0)
    )
    kept: dict[str, list[Picture]] = {name: [] for name in gallery.groups}
    for number, name in turns:
        one = gallery.groups[name][number]
        budget -= _size(one)
        if budget >= 0:
            kept[name].append(one)
    return Gallery({name: some for name, some in kept.items() if some})


_TARGET_BYTES = 4_800_000  # sizes are estimates: a second round is seldom needed


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
