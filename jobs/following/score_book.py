"""Stores the scores of all checkpoints in ``scores.jsonl``, ``best.json`` and ``curve.html``. Runs on the driver that
holds the lease on their folder.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any

from actors.errors import JobError
from actors.messages import one_line, redacted
from actors.storage.uris import join
from jobs.following.curve import Point
from jobs.following.curve_page import curve_page
from jobs.runs.commit import write_document

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from actors.storage.store import Storage


@dataclass(frozen=True)
class Row:
    """The evaluation of one version of a checkpoint, or the error that prevented it."""

    name: str
    """Path below `checkpoints.path`."""
    checkpoint: str
    """URI, without user and password."""
    version: str
    """Version of the file as listed, such as its ETag."""
    digest: str
    modified_at: str
    """UTC in ISO 8601, like the other times."""
    size_bytes: int
    job: str
    """Digest of dataset, model and task without the checkpoint: rows with equal digests are comparable."""
    run_id: str
    evaluated_at: str
    seconds: float
    """Time of the evaluation."""
    is_pinned: bool = False
    """True if every worker checked the file that it loaded against `digest`."""
    metrics: Mapping[str, float] | None = None
    """Scores by name; None if `error` prevented them."""
    num_images: int = 0
    num_failed: int = 0
    num_labelled: int = 0
    fingerprint: str | None = None
    error: str | None = None
    fix: str | None = None


@dataclass
class ScoreBook:
    """Rows of the checkpoints evaluated so far, in order of evaluation."""

    folder: str
    """URI of the documents."""
    storage: Storage
    score: str
    """Name of the deciding score."""
    is_minimum: bool
    """True if the lowest score is the best."""
    job: str
    """Digest of the current job, as in `Row`."""
    rows: list[Row] = field(default_factory=list)

    def load(self) -> None:
        """Reads the rows of earlier commands, and rewrites the documents, which a crash may have left out of date.

        Raises:
            JobError: the rows belong to another job or cannot be read.
        """
        uri = join(self.folder, SCORES)
        try:
            text = self.storage.read(uri).decode()
        except FileNotFoundError:
            return
        try:
            self.rows = [Row(**_known(json.loads(line))) for line in text.splitlines() if line.strip()]
        except (ValueError, TypeError) as error:
            raise JobError(
                f"{redacted(uri)}: damaged: {one_line(error)}", fix="restore it, or choose another output.path"
            ) from error
        if any(row.job != self.job for row in self.scored):
            raise JobError(
                f"{redacted(uri)}: has scores of another dataset, model or task",
                fix="choose another output.path, or give the same job",
            )
        self._write()

    def add(self, row: Row) -> None:
        """Appends a row, unless it repeats the error of an earlier command."""
        if row.error is None or (row.digest, row.error) not in {(one.digest, one.error) for one in self.rows}:
            self.rows.append(row)
            self._write()

    @property
    def scored(self) -> Sequence[Row]:
        """Rows with scores."""
        return [row for row in self.rows if row.metrics is not None]

    @property
    def best(self) -> Row | None:
        """The row with the best score, or the earliest of equal ones; None if no row has the score."""
        return self.scored[place] if (place := self._best_place()) is not None else None

    @property
    def num_since_best(self) -> int:
        """Number of rows with scores since the best one."""
        place = self._best_place()
        return len(self.scored) - (0 if place is None else place + 1)

    def value(self, row: Row) -> float | None:
        """Returns the deciding score of ``row``; None if it is undefined."""
        value = (row.metrics or {}).get(self.score)
        return None if value is None or not math.isfinite(value) else value

    def points(self) -> list[Point]:
        """Returns the curve, ordered by when training wrote the checkpoints. Omits errors that a later version or
        command resolved.
        """
        good = {row.checkpoint: row.evaluated_at for row in self.scored}
        rows = [row for row in self.rows if row.metrics is not None or row.evaluated_at > good.get(row.checkpoint, "")]
        ordered = sorted(rows, key=lambda row: row.modified_at)  # stable: equal times keep the order of evaluation
        return [Point(row.name, self.value(row), row is self.best, row.error or "", row.fix or "") for row in ordered]

    def _best_place(self) -> int | None:
        values = [(self.value(row), place) for place, row in enumerate(self.scored)]
        defined = [(value if self.is_minimum else -value, place) for value, place in values if value is not None]
        return min(defined)[1] if defined else None

    def _write(self) -> None:
        lines = [json.dumps(asdict(row), ensure_ascii=False) for row in self.rows]
        self._put(SCORES, "".join(f"{line}\n" for line in lines))
        if (best := self.best) is not None:
            direction = "min" if self.is_minimum else "max"
            about = {"score": self.score, "best": direction, "value": self.value(best), "num_scored": len(self.scored)}
            self._put(BEST, json.dumps({**about, **asdict(best)}, indent=1, ensure_ascii=False))
        self._put(CURVE, curve_page(self.score, self.points()))

    def _put(self, name: str, text: str) -> None:
        write_document(join(self.folder, name), text.encode(), self.storage)


SCORES, BEST, CURVE = "scores.jsonl", "best.json", "curve.html"


def _known(content: Mapping[str, Any]) -> dict[str, Any]:
    """Selects the fields of `Row`; later versions may write more."""
    names = {one.name for one in fields(Row)}
    return {key: value for key, value in content.items() if key in names}
