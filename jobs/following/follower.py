"""Evaluates each checkpoint once, until training ends or patience runs out. Runs on the driver."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING

from actors.errors import JobError
from actors.messages import redacted
from actors.storage.uris import is_file, is_remote, join
from jobs.cli.entry import ExitStatus
from jobs.cli.terminal import show
from jobs.evaluating.gates import breaches
from jobs.evaluating.results import score_text
from jobs.following.curve import plot, sparkline
from jobs.leases.lease import HeldError

if TYPE_CHECKING:
    from actors.storage.store import Storage
    from jobs.following.checkpoints import Checkpoint
    from jobs.following.config import FollowJob
    from jobs.following.evaluations import Evaluations
    from jobs.following.score_book import Row, ScoreBook
    from jobs.following.watching import Watch
    from jobs.leases.lease import Lease

LOG = logging.getLogger("shardlens")


class Follower:
    """Evaluates the checkpoints that the watch finds, and keeps the book.

    Args:
        job: the config.
        watch: finds complete checkpoints.
        evaluations: evaluates one checkpoint.
        book: keeps the rows.
        lease: lease on the book.
        storage: storage of the checkpoints.
    """

    def __init__(
        self, job: FollowJob, watch: Watch, evaluations: Evaluations, book: ScoreBook, lease: Lease, storage: Storage
    ) -> None:
        self._wanted = job.checkpoints
        self._limits = job.evaluate
        self._watch = watch
        self._evaluations = evaluations
        self._book = book
        self._lease = lease
        self._storage = storage
        self._known = {(row.checkpoint, row.version): row.digest for row in book.scored}
        self._digests = {row.digest for row in book.scored}
        self._num_failures = 0

    def follow(self) -> ExitStatus:
        """Follows training to the end.

        Raises:
            JobError: training ended without a checkpoint.
            LostLeaseError: another follower took over.
            StoppedError: a stop was requested.
        """
        while not self._is_over():
            has_ended = self._has_marker()  # before the listing, which then includes all files older than the marker
            self._lease.check()
            complete = self._watch.poll()
            for checkpoint in complete:
                self._take(checkpoint)
                if self._is_over():
                    break
            else:
                if has_ended and not complete and not self._watch.has_pending:
                    LOG.info("%s exists: the training has ended", self._wanted.end_marker)
                    return self._judge()
                self._watch.wait()
        return self._judge()

    def _is_over(self) -> bool:
        """Returns True, and logs the reason, if following ends before training."""
        patience, most = self._wanted.patience, self._wanted.max_failures
        if patience is not None and self._book.num_since_best >= patience:
            LOG.info("checkpoints.patience=%s: as many checkpoints without a better %s", patience, self._book.score)
            return True
        if self._num_failures >= most:
            LOG.error("checkpoints.max_failures=%s: as many checkpoints in a row could not be evaluated", most)
            return True
        return False

    def _has_marker(self) -> bool:
        marker = self._wanted.end_marker
        if marker is None:
            return False
        is_whole = marker.startswith("/") or is_remote(marker) or is_file(marker)
        return self._storage.kind(marker if is_whole else join(self._wanted.path, marker)) is not None

    def _take(self, checkpoint: Checkpoint) -> None:
        """Evaluates the checkpoint, unless its content was evaluated before. If it changes, a later listing has it."""
        digest = self._digest(checkpoint)
        if digest is None:
            return
        if digest in self._digests:
            self._watch.finish(checkpoint)
            return
        try:
            row = self._evaluations.evaluate(checkpoint, digest)
        except HeldError as error:
            LOG.warning("%s; trying again", str(error).splitlines()[0])
            return
        has_valid_scores = row.error is None and row.is_pinned
        if not has_valid_scores and not self._watch.is_current(checkpoint):
            LOG.warning("%s: changed or removed while it was evaluated; the result does not count", checkpoint.name)
            return
        self._watch.finish(checkpoint)
        self._digests.add(digest)
        self._keep(row, checkpoint.name)

    def _digest(self, checkpoint: Checkpoint) -> str | None:
        """Returns the digest of this version's content; None if the checkpoint is gone or has another version."""
        known = self._known.get((redacted(checkpoint.uri), checkpoint.version))
        if known is not None:
            return known
        try:
            digest = checkpoint.digest(self._storage)
        except FileNotFoundError:  # the next listing reports it
            return None
        if not self._watch.is_current(checkpoint):
            return None
        if digest in self._digests:
            LOG.info("%s: has the content of a checkpoint that is done", checkpoint.name)
        return digest

    def _keep(self, row: Row, name: str) -> None:
        self._lease.check()
        self._book.add(row)
        self._evaluations.add_page(row)
        if row.error is not None:
            self._num_failures += 1
            LOG.error("%s: cannot be evaluated: %s", name, row.error)
            LOG.error("  fix: %s", row.fix)
            return
        self._num_failures = 0
        value = self._book.value(row)
        text = "undefined" if value is None else score_text(self._book.score, value)
        best = "  best so far" if self._book.best is row else ""
        show(f"{name}  {self._book.score} {text}  {self._drawn(sparkline(self._book.points()))}{best}")

    def _drawn(self, text: str) -> str:
        """Replaces bars by digits if the terminal cannot show block elements."""
        try:
            text.encode(sys.stdout.encoding or "utf-8")
        except UnicodeEncodeError:
            return text.translate(_DIGITS)
        return text

    def summarize(self) -> None:
        """Prints the curve, the best checkpoint, and finally the folder of the documents."""
        show(*map(self._drawn, plot(self._book.score, self._book.points())))
        best = self._book.best
        if best is not None:
            value = self._book.value(best)
            show(f"best {best.checkpoint}  {self._book.score} {score_text(self._book.score, value or 0.0)}")
        show(redacted(self._book.folder))

    def _judge(self) -> ExitStatus:
        best = self._book.best
        if self._num_failures >= self._wanted.max_failures:
            return ExitStatus.OVER_BUDGET
        if best is None and not self._book.rows and not self._watch.num_found:
            raise JobError(
                f"checkpoints.path={redacted(self._wanted.path)}: the training has ended without a checkpoint",
                fix="check the path and checkpoints.pattern",
            )
        if best is None:
            LOG.error("no checkpoint has a score; see %s", redacted(self._book.folder))
            return ExitStatus.OVER_BUDGET
        failed = breaches(self._limits, best.metrics or {})
        for message in failed:
            LOG.error("%s", message)
        return ExitStatus.OVER_BUDGET if failed else ExitStatus.DONE


_DIGITS = str.maketrans({"▁": "1", "▂": "2", "▃": "3", "▄": "4", "▅": "5", "▆": "6", "▇": "7", "█": "8"})
