"""The findings of a comparison, and their document, comparison.json. Created on the driver."""

from __future__ import annotations

import math
from dataclasses import dataclass
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from actors.errors import JobError
from actors.messages import redacted
from jobs.comparison.failures import failures
from jobs.comparison.outcomes import SIDES, Outcomes

if TYPE_CHECKING:
    from collections import Counter

    from actors.outputs import PublishedRun
    from jobs.comparison.answers import Answers, Changes
    from jobs.comparison.failures import Failures, Kind
    from jobs.comparison.outcomes import Counts


@dataclass(frozen=True)
class Findings:
    """Comparison of runs ``a`` and ``b``."""

    a: PublishedRun
    b: PublishedRun
    counts: Counts
    failures: Failures
    changes: Changes

    @property
    def num_answers(self) -> int:
        """Number of images with an answer in both runs."""
        return self.counts.num_both - self.failures.num_new - self.failures.num_lost - self.failures.num_both

    def to_json(self) -> dict[str, Any]:
        changes, failed = self.changes, self.failures
        (ok_a, failed_a), (ok_b, failed_b) = (failed.alone[side] for side in SIDES)
        document = {
            "task": self.a.config["task"]["name"],
            "a": _about(self.a),
            "b": _about(self.b),
            "images": {
                "num_both": self.counts.num_both,
                "num_answers_in_both": self.num_answers,
                "num_matched_by_id_alone": self.counts.num_by_id_alone,
                "num_ambiguous": self.counts.num_ambiguous,
                "only_a": {"num_ok": ok_a, "num_failed": failed_a},
                "only_b": {"num_ok": ok_b, "num_failed": failed_b},
            },
            "errors": {
                "num_new": failed.num_new,
                "num_lost": failed.num_lost,
                "num_both": failed.num_both,
                "num_changed": failed.num_changed,
                "new": _kinds(failed.new),
                "lost": _kinds(failed.lost),
            },
            "num_flips": changes.num_flips,
            "flip_ratio": changes.flip_ratio,
            "drift": changes.drift,
            **changes.figures,
            "flips": [{"from": flip.before, "to": flip.after, "num": flip.num} for flip in changes.flips],
            "classes": list(changes.classes),
            "distributions": [one.to_json() for one in changes.distributions],
        }
        finite: dict[str, Any] = _finite(document)
        return finite


def compare_runs(a: PublishedRun, b: PublishedRun, answers: Answers, *, memory_bytes: int = 1 << 30) -> Findings:
    """Joins the rows of two runs and summarises the differences.

    Args:
        a: the baseline run.
        b: the run to compare.
        answers: comparison of the task's answers, from `jobs.comparison.tasks.answers_of`.
        memory_bytes: memory limit of the database before it spills to disk; it needs a few hundred MB more.

    Raises:
        JobError: a part cannot be read, the runs have no image in common, or the temporary folder is full.
    """
    with (
        TemporaryDirectory(prefix="shardlens-", ignore_cleanup_errors=True) as folder,
        Outcomes(folder, memory_bytes, answers) as outcomes,
    ):
        for side, run in zip(SIDES, (a, b), strict=True):
            outcomes.add_rows(side, run.read(["image_id", "uri", *answers.columns]))
            outcomes.add_errors(side, run.read_errors())
            _check_sum(run, outcomes.num_rows[side])
        counts = outcomes.match()
        if not counts.num_both and all(outcomes.num_rows.values()):
            raise JobError(
                f"runs {a.run_id} and {b.run_id} have no image in common: no image_id of one is in the other",
                fix="compare runs over the same images; dataset.id_column gives copies of a dataset equal ids",
            )
        return Findings(a, b, counts, failures(outcomes), answers.changes(outcomes))


def _check_sum(run: PublishedRun, num_rows: int) -> None:
    if num_rows != run.num_ok + run.num_error_rows:
        raise JobError(
            f"{redacted(run.paths.run)}: its parts have {num_rows:,} rows, and its manifest lists "
            f"{run.num_ok + run.num_error_rows:,}",
            fix=f"python -m jobs.verify output.path=… run.id={run.run_id} names the parts that have changed since",
        )


def _about(run: PublishedRun) -> dict[str, Any]:
    return {
        "run_id": run.run_id,
        "output": redacted(run.paths.root),
        "fingerprint": run.fingerprint,
        "opened_at": run.record.opened_at,
        "num_ok": run.num_ok,
        "num_failed": run.num_errors,
        "redriven_by": run.redriven_by,
    }


def _kinds(counts: Counter[Kind]) -> list[dict[str, Any]]:
    return [{"stage": stage, "error": error, "num": number} for (stage, error), number in counts.most_common()]


def _finite(value: Any) -> Any:
    """Returns the same values, with null for numbers that JSON cannot represent."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
