"""The pictures of a page: rows of a published run that are worth a look, each with a thumbnail. Made on the driver."""

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
    """One row, and its image as a page shows it."""

    row: Mapping[str, Any]
    """The published row, or the error row, as plain values. Masks and large columns, such as embeddings, are omitted.
    """
    thumbnail: bytes = b""
    """WebP of at most 128 pixels on the longer side, upright, with boxes and masks drawn; empty if there is none."""
    note: str = ""
    """Reason why there is no thumbnail; of an error row with bytes that are no image, the first of them."""


@dataclass(frozen=True)
class Gallery:
    """Pictures by group, best first. A picture may be in several groups, as the same object.

    ``most_confident``, ``least_confident``, ``near_ties`` and ``mistakes`` (the most confident wrong ones) are in the
    order of scores; ``class/LABEL`` (the predicted one), ``cell/TRUE/PREDICTED``, ``error/STAGE/KIND``,
    ``nothing_found`` (images without boxes) and ``sample`` are drawn at random, always the same. TRUE and PREDICTED
    are `PublishedRun.labels`, or the numbers of the classes where it is None; TRUE is -1 for a label that is no class.
    """

    groups: Mapping[str, Sequence[Picture]]


def make_gallery(
    run: PublishedRun, *, limit: int = 400, seconds: float | None = None, image_storage: Storage | None = None
) -> Gallery:
    """Makes the pictures of a run. Never raises: whatever cannot be had is left out, or has a note.

    Args:
        run: a published run. One of an earlier version has no groups.
        limit: the most rows; the same ones however the run was cut into parts.
        seconds: time after which no further file is read; None for no limit.
        image_storage: storage of the images; by default that of the config, which holds no secrets.
    """
    end = None if seconds is None else time.monotonic() + seconds
    try:
        return _gallery(run, limit, end, image_storage)
    except Exception as error:  # noqa: BLE001  a page without pictures is better than none
        LOG.warning("run %s: its pictures are omitted: %s", run.paths.run_id, one_line(error))
        return Gallery({})


def image_source(run: PublishedRun, image_storage: Storage | None = None) -> SourceImages:
    """Returns the images of a run for a page: the part of a truncated one that is there is shown.

    Args:
        run: a published run.
        image_storage: storage of the images; by default that of the config, which holds no secrets.

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


_RETRY = Retry(attempts=2, max_wait_s=2.0, timeout_s=15.0)  # a page needs no single picture


def _shown(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row without its masks, which are drawn."""
    return {name: _without_mask(value) for name, value in row.items() if name != "mask"}


def _without_mask(value: Any) -> Any:
    if not isinstance(value, list):
        return value
    return [{key: item[key] for key in item if key != "mask"} if isinstance(item, dict) else item for item in value]


def _readable(name: str, row: Mapping[str, Any], labels: Sequence[str] | None) -> str:
    """The name of a group with the names of classes in place of their numbers.

    Args:
        name: as footers have it.
        row: one of the group.
        labels: names of the classes in order, if they are known.
    """
    family, *numbers = name.split("/")
    if family == "class":
        objects = row.get("detections")
        return f"class/{(objects[0] if objects else row).get('label', numbers[0])}"
    if family != "cell":
        return name
    return "/".join([family, *(labels[int(number)] if labels and int(number) >= 0 else number for number in numbers)])
