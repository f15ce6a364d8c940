"""Report at the end of a run: the printed table, and the content of report.json. Runs on the driver."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from actors.evaluation.receipt_scores import receipt_scores
from actors.messages import redacted
from actors.tasks.accuracy import NUM_CORRECT, NUM_LABELLED
from jobs.cli.terminal import show_pairs
from jobs.datasets.passed_over import PassedOver
from jobs.reporting.bottleneck import DECODE, MODEL, READ, Measured, judge

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from actors.writing.run_paths import RunPaths
    from actors.writing.summaries import Summary
    from jobs.cli.entry import ExitStatus
    from jobs.reporting.bottleneck import Bottleneck
    from jobs.reporting.execution import Execution
    from jobs.runs.commit import Outcome
    from jobs.runs.decode_switch import DecodeSwitch


@dataclass(frozen=True)
class Report:
    """Outcome of a run.

    Args:
        paths: location of the run.
        status: exit status of the command.
        outcome: final state of the run: counts, and seconds per stage summed over workers.
        before: state of the run when this command began.
        execution: plan, engine and pace; None if there was nothing to do.
        elapsed_s: wall-clock seconds of each phase: check, list, start, run, stop, commit.
        price_per_hour: price of the cluster per hour, if known.
        currency: currency of the price.
        passed_over: files and lines that the listing skipped, by reason, from `PassedOver.to_json`.
        switches: drivers of the run that stopped decoding on GPUs.
        answers: lines about the predictions, from `actors.tasks.base.Task.summary`.
        origin: from `jobs.reporting.origin`; report.json has its keys.
    """

    paths: RunPaths
    status: ExitStatus
    outcome: Outcome
    before: Outcome
    execution: Execution | None
    elapsed_s: Mapping[str, float]
    price_per_hour: float | None = None
    currency: str = ""
    passed_over: Mapping[str, Any] = field(default_factory=dict)
    switches: Sequence[DecodeSwitch] = ()
    answers: Sequence[tuple[str, str]] = ()
    origin: Mapping[str, Any] = field(default_factory=dict)

    @property
    def summary(self) -> Summary:
        return self.outcome.summary

    @property
    def images_per_s(self) -> float:
        """Images processed by this command per second of its pipeline, including actor start-up."""
        seconds = self.elapsed_s.get("run", 0.0)  # the phase is absent if nothing was missing
        return (self.summary.num_images - self.before.summary.num_images) / seconds if seconds else 0.0

    @property
    def verdict(self) -> Bottleneck | None:
        """Bottleneck of this command; None if it processed no images."""
        done, before = self.summary, self.before.summary
        num_images = done.num_images - before.num_images  # may be 0 despite an execution: stopped while models loaded
        if self.execution is None or not num_images:
            return None
        # The summary covers the whole run, including parts written by other commands, perhaps on other machines.
        seconds = {
            READ: done.read_s - before.read_s,
            DECODE: done.decode_s - before.decode_s,
            MODEL: done.predict_s - before.predict_s,
        }
        measured = Measured(
            num_images=num_images,
            stage_s={stage: value / num_images for stage, value in seconds.items()},
            total_s=sum(self.elapsed_s.values()),
            pace=self.execution.pace,
            cpus=self.execution.cpus,
        )
        return judge(measured, self.execution.plan, self.execution.choice, price_per_hour=self.price_per_hour)

    @property
    def accuracy_ratio(self) -> float | None:
        """Share of correct predictions among images with a known label; None without labels."""
        return self._num_correct / self._num_labelled if self._num_labelled else None

    @property
    def _num_labelled(self) -> int:
        return self.summary.counters.get(NUM_LABELLED, 0)

    @property
    def _num_correct(self) -> int:
        return self.summary.counters.get(NUM_CORRECT, 0)

    def to_json(self) -> dict[str, Any]:
        """Returns the content of report.json."""
        return {
            "run_id": self.paths.run_id,
            "fingerprint": self.paths.fingerprint,
            "status": self.status.name.lower(),
            **self.origin,
            "rows": self.paths.rows,
            "errors": self.paths.errors,
            "num_listed": self.summary.num_images + self.outcome.coverage.num_missing,
            "passed_over": dict(self.passed_over),
            "num_done_before": self.before.summary.num_images,
            **asdict(self.summary),
            "num_labelled": self._num_labelled,
            "num_correct": self._num_correct,
            "decode_switches": [asdict(switch) for switch in self.switches],
            "accuracy_ratio": self.accuracy_ratio,
            "metrics": receipt_scores(self.summary.counters),
            "images_per_s": self.images_per_s,
            "elapsed_s": {**self.elapsed_s, "total": sum(self.elapsed_s.values())},
            "execution": self.execution.to_json() if self.execution else None,
            "verdict": verdict.to_json() if (verdict := self.verdict) else None,
            "currency": self.currency,
        }

    def closing(self) -> dict[str, Any]:
        """Returns the keys of `to_json` that identify the run and its counts, for a log line."""
        content = self.to_json()
        return {key: content[key] for key in _CLOSING if key in content} | {"elapsed_s": content["elapsed_s"]["total"]}

    def show(self) -> None:
        """Prints the table to standard output."""
        show_pairs(self._lines(), width=11)

    def _lines(self) -> list[tuple[str, str]]:
        summary, elapsed = self.summary, self.elapsed_s
        lines = [
            ("status", self.status.name.lower()),
            ("images", self._images()),
            *self._not_listed(),
            ("speed", self._speed()),
            ("phases", ", ".join(f"{name} {seconds:.1f} s" for name, seconds in elapsed.items())),
            (
                "in workers",
                f"read {summary.read_s:.1f} s, decode {summary.decode_s:.1f} s, predict {summary.predict_s:.1f} s",
            ),
        ]
        lines += self._engine() + self._gpu_decoding()
        if self.accuracy_ratio is not None:
            right = f"{self._num_correct:,} of {self._num_labelled:,} labelled images"
            lines.append(("accuracy", f"{self.accuracy_ratio:.2%} ({right})"))
        lines += self._scores()
        lines += self.answers
        for kind, number in summary.error_kinds.items():
            uri, message = summary.error_examples[kind][0]
            # A URI may be signed: the report is printed and stored, so it must not grant access.
            lines.append(("errors", f"{number:,} {kind}, such as {redacted(uri)}: {message}"))
        if summary.error_kinds:
            lines.append(("", self.paths.errors))
        lines.append(("rows", self.paths.rows))
        return lines + self._verdict()

    def _scores(self) -> list[tuple[str, str]]:
        scores = receipt_scores(self.summary.counters)
        named = [f"{name} {scores[name]:.4g}" for name in _SHOWN if name in scores]
        return [("metrics", ", ".join(named))] if named else []

    def _not_listed(self) -> list[tuple[str, str]]:
        passed_over = PassedOver.from_json(dict(self.passed_over))
        return [] if passed_over.is_expected else [("not listed", str(passed_over))]

    def _verdict(self) -> list[tuple[str, str]]:
        verdict = self.verdict
        if verdict is None:
            return []
        lines = [("verdict", str(verdict))]
        lines += [("" if number else "to gain", str(one)) for number, one in enumerate(verdict.advice)]
        if verdict.price_per_million is not None:
            lines.append(("price", self._price(verdict.price_per_million, verdict.start_price)))
        return lines

    def _price(self, per_million: float, start: float | None) -> str:
        unit = f" {self.currency}" if self.currency else ""
        steady = f"{per_million:,.2f}{unit} for a million images like these"
        return steady if start is None else f"{steady}, and {start:,.2f}{unit} once for start-up and end"

    def _speed(self) -> str:
        steady = self.execution.pace.images_per_s if self.execution else 0.0
        whole = f"{self.images_per_s:,.1f} images/s over {self.elapsed_s.get('run', 0):.1f} s"
        return f"{whole}, {steady:,.1f} from the first batch to the last" if steady else whole

    def _engine(self) -> list[tuple[str, str]]:
        """Lists the engine and the reason for it, then the result of each trial."""
        if self.execution is None:
            return []
        choice = self.execution.choice
        tried = [("", str(trial)) for trial in choice.trials]
        return [("engine", f"{choice.engine.label}: {choice.why}"), *tried]

    def _gpu_decoding(self) -> list[tuple[str, str]]:
        """Lists the GPU-decoded images that the CPU confirmed, and each switch to the CPU."""
        summary, lines = self.summary, []
        if summary.num_gpu_flat or summary.num_gpu_drawn:
            matches = f"{summary.num_gpu_flat:,} of one colour, {summary.num_gpu_drawn:,} from a sample of 1 in 1,000"
            lines.append(("checked", f"images decoded on the GPU that match the CPU: {matches}"))
        return lines + [("decoding", str(switch)) for switch in self.switches]

    def _images(self) -> str:
        summary, num_missing = self.summary, self.outcome.coverage.num_missing
        parts = [f"{summary.num_ok:,} ok", f"{summary.num_errors:,} errors"]
        if num_missing:
            parts.append(f"{num_missing:,} still to do")
        done_before = self.before.summary.num_images
        return f"{summary.num_images + num_missing:,} listed = {' + '.join(parts)}" + (
            f" ({done_before:,} of them done before)" if done_before else ""
        )


_CLOSING = (
    *("fingerprint", "status", "model", "dataset", "output", "inventory_digest", "started_at", "ended_at"),
    *("num_listed", "num_ok", "num_errors", "images_per_s"),
)
_SHOWN = ("top5", "ece", "f1_macro", "auroc", "rmse", "mae", "r2")  # scores other than the accuracy
