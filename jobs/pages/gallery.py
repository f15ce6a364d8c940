"""The pictures of a page: rows of a published run that are worth a look, each with a thumbnail. Made on the driver."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True)
class Picture:
    """One row, and its image as a page shows it."""

    row: Mapping[str, Any]
    """The published row, or the error row, as plain values. Large columns, such as embeddings and masks, are omitted.
    """
    thumbnail: bytes = b""
    """WebP of at most 128 pixels on the longer side, upright, with boxes and masks drawn; empty if there is none."""
    note: str = ""
    """Reason why there is no thumbnail, or why it may differ from what the model saw."""


@dataclass(frozen=True)
class Gallery:
    """Pictures by group, best first: ``class/LABEL`` (the predicted one), ``most_confident``, ``least_confident``,
    ``near_ties``, ``mistakes`` (the most confident wrong ones), ``cell/TRUE/PREDICTED``, ``error/STAGE/KIND``,
    ``nothing_found`` (images without boxes) and ``sample`` (drawn from all rows). A picture may be in several groups,
    as the same object.

    ``/`` in TRUE, PREDICTED and LABEL is not escaped; `Picture.row` has the names.
    """

    groups: Mapping[str, Sequence[Picture]]
