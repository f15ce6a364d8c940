"""Replays images of a run through an endpoint, and collects differences in its answers. Runs on the driver."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from obstore.exceptions import BaseError

from actors.columns import IMAGE_ID, URI
from actors.engines.tolerance import Tolerance, to_tolerance
from actors.errors import JobError
from actors.messages import one_line, redacted
from actors.outputs import open_output
from actors.storage.store import Storage
from actors.storage.uris import absolute
from jobs.replaying.client import Client
from jobs.replaying.differences import difference
from jobs.replaying.sample import draw

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from actors.outputs import PublishedRun
    from jobs.replaying.config import Replay, ReplayJob

TOKEN = "SHARDLENS_SERVE_TOKEN"  # noqa: S105  the name of a variable


@dataclass(frozen=True)
class Replayed:
    """Outcome of a replay."""

    run_id: str
    url: str
    num_sent: int
    different: Sequence[Mapping[str, str]]
    """Image, URI and difference of each answer outside the tolerance."""
    unsent: Sequence[Mapping[str, str]]
    """Image, URI and reason for each image that cannot be reread or has changed."""

    @property
    def is_equal(self) -> bool:
        return self.num_sent > 0 and not self.different

    def lines(self) -> Iterator[str]:
        """Yields the lines of the printed report."""
        yield f"{'run':<11}{self.run_id}"
        yield f"{'endpoint':<11}{self.url}"
        for what, found in (("different", self.different), ("not sent", self.unsent)):
            for one in found[:_NUM_SHOWN]:
                yield f"{what:<11}{redacted(one['uri'])}: {one['reason']}"
            if len(found) > _NUM_SHOWN:
                yield f"{'':<11}and {len(found) - _NUM_SHOWN:,} more"
        num_images, num_equal = self.num_sent + len(self.unsent), self.num_sent - len(self.different)
        yield (
            f"{'images':<11}{num_images:,} drawn = {num_equal:,} equal + {len(self.different):,} different + "
            f"{len(self.unsent):,} not sent"
        )

    def write(self, path: str, storage: Storage) -> None:
        """Writes the outcome as JSON. Raises `JobError` if it cannot be written."""
        document = {
            "run_id": self.run_id,
            "url": self.url,
            "num_sent": self.num_sent,
            "num_equal": self.num_sent - len(self.different),
            "different": [*self.different],
            "not_sent": [*self.unsent],
        }
        try:
            storage.write(absolute(path), json.dumps(document, indent=1, ensure_ascii=False).encode())
        except (OSError, BaseError) as error:
            raise JobError(
                f"replay.path={redacted(path)}: cannot be written: {one_line(error)}", fix="give another file"
            ) from error


def replay_run(wanted: ReplayJob) -> Replayed:
    """Sends `replay.images` images and compares the answers. Raises the same errors as `jobs.replay.replay`."""
    options = wanted.replay
    for name in ("images", "concurrency", "timeout_s"):
        if not getattr(options, name) > 0:
            raise JobError(f"replay.{name}={getattr(options, name)}: must be above 0", fix="omit it for the default")
    run = open_output(wanted.output.path, wanted.output.storage_options).run(wanted.run)
    client = Client(wanted.url, _token(options), concurrency=options.concurrency, timeout_s=options.timeout_s)
    tolerance, threshold = _tolerance(run), float(run.config["task"].get("score_threshold", 0.0))
    image_options = options.image_storage_options
    answers = client.answers(draw(run, options.images, Storage(image_options) if image_options else None))
    different, unsent = [], []
    for answer in answers:
        about = {"image_id": answer.row[IMAGE_ID], "uri": answer.row[URI]}
        if answer.unsent:
            unsent.append({**about, "reason": answer.unsent})
        elif reason := difference(answer.row, answer.content, tolerance, score_threshold=threshold):
            different.append({**about, "reason": reason})
    return Replayed(run.run_id, client.url, len(answers) - len(unsent), different, unsent)


_NUM_SHOWN = 10


def _token(options: Replay) -> str | None:
    if options.token_file is None:
        return os.environ.get(TOKEN)
    try:
        return Path(options.token_file).read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        raise JobError(
            f"replay.token_file={options.token_file}: cannot be read: {one_line(error)}",
            fix="give the file that jobs.serve has as serve.token_file",
        ) from error


def _tolerance(run: PublishedRun) -> Tolerance:
    """Returns `engine.tolerance` of the run."""
    given: Any = (run.config.get("engine") or {}).get("tolerance")
    return to_tolerance(Tolerance(**given) if isinstance(given, dict) else given or Tolerance())
