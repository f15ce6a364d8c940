"""Collects the pictures of a page: notable rows of a published run, each with a thumbnail. Runs on the driver."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from actors.decoding.config import Truncated
from actors.messages import one_line
from actors.storage.retries import Retry
from jobs.pages.picked_rows import choose_rows
from jobs.pages.picture_files import make_thumbnails
from jobs.runs.source_images import source_images

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from actors.outputs import PublishedRun
    from actors.storage.store import Storage
    from jobs.runs.source_images import SourceImages

LOG = logging.getLogger("shardlens")


@dataclass(frozen=True)
class Picture:
    """One row, and its image as shown on a page."""

    row: Mapping[str, Any]
    """The published row, or the error row, as plain values. Masks and large columns, such as embeddings, are omitted.
    """
    thumbnail: bytes = b""
    """WebP of at most 128 pixels on the longer side, upright, with boxes and masks drawn; empty if there is none."""
    note: str = ""
    """Reason why there is no thumbnail; for an error row whose bytes are not an image, the first bytes."""


@dataclass(frozen=True)
class Gallery:
    """Pictures by group, best first. A picture may be in several groups as the same object.

    ``most_confident``, ``least_confident``, ``near_ties`` and ``mistakes`` (the most confident wrong ones) are ordered
    by score; ``class/LABEL`` (the predicted class), ``cell/TRUE/PREDICTED``, ``error/STAGE/KIND``, ``nothing_found``
    (images without boxes) and ``sample`` are drawn at random, reproducibly. TRUE and PREDICTED are
    `PublishedRun.labels`, or the class numbers if it is None; TRUE is -1 for a label that is not a class.
    """

    groups: Mapping[str, Sequence[Picture]]


def make_gallery(
    run: PublishedRun, *, limit: int = 400, seconds: float | None = None, image_storage: Storage | None = None
) -> Gallery:
    """Creates the pictures of a run. Never raises: anything unavailable is omitted or has a note.

    Args:
        run: a published run. A run written by an earlier version has no groups.
        limit: maximum number of rows; the selection does not depend on how the run was divided into parts.
        seconds: time after which no more files are read; None for no limit.
        image_storage: storage of the images; by default from the config, which holds no secrets.
    """
    end = None if seconds is None else time.monotonic() + seconds
    try:
        return _gallery(run, limit, end, image_storage)
    except Exception as error:  # noqa: BLE001  a page without pictures is better than none
        LOG.warning("run %s: its pictures are omitted: %s", run.paths.run_id, one_line(error))
        return Gallery({})


def image_source(run: PublishedRun, image_storage: Storage | None = None) -> SourceImages:
    """Returns the images of a run for a page, which shows the available part of truncated images.

    Args:
        run: a published run.
        image_storage: storage of the images; by default from the config, which holds no secrets.

    Raises:
        OSError, obstore.exceptions.BaseError: the inventory cannot be read.
    """
    source = source_images(run, image_storage, _RETRY)
    return replace(source, limits=replace(source.limits, truncated=Truncated.accept))


def _gallery(run: PublishedRun, limit: int, end: float | None, image_storage: Storage | None) -> Gallery:
    parts = [*run.rows, *run.errors]
    chosen = choose_rows(parts, run.storage, limit, lambda: end is not None and time.monotonic() > end)
    if not chosen.rows:
        return Gallery({})
    thumbnails = make_thumbnails(image_source(run, image_storage), chosen.rows, end=end)
    pictures = {identity: Picture(_shown(row), *thumbnails[identity]) for identity, row in chosen.rows.items()}
    groups: dict[str, list[Picture]] = {}
    for name, identities in chosen.groups.items():
        found = [pictures[identity] for identity in identities if identity in pictures]
        if found:
            # Two classes may have the same name.
            groups.setdefault(_readable(name, found[0].row, run.labels), []).extend(found)
    return Gallery(groups)


_RETRY = Retry(attempts=2, max_wait_s=2.0, timeout_s=15.0)  # no single picture is essential to a page


def _shown(row: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a row without its masks, which are drawn instead."""
    return {name: _without_mask(value) for name, value in row.items() if name != "mask"}


def _without_mask(value: Any) -> Any:
    if not isinstance(value, list):
        return value
    return [{key: item[key] for key in item if key != "mask"} if isinstance(item, dict) else item for item in value]


def _readable(name: str, row: Mapping[str, Any], labels: Sequence[str] | None) -> str:
    """Returns the name of a group with class names instead of numbers.

    Args:
        name: as in the footers.
        row: one row of the group.
        labels: names of the classes in order, if known.
    """
    family, *numbers = name.split("/")
    if family == "class":
        objects = row.get("detections")
        return f"class/{(objects[0] if objects else row).get('label', numbers[0])}"
    if family != "cell":
        return name
    return "/".join([family, *(labels[int(number)] if labels and int(number) >= 0 else number for number in numbers)])
