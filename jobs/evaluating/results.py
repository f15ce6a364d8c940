"""Results of an evaluation: the printed table, metrics.json, and a row in the columns of timm's validate.py."""

from __future__ import annotations

import csv
import io
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from obstore.exceptions import BaseError

from actors.errors import JobError
from actors.messages import one_line, redacted
from actors.storage.uris import absolute
from jobs.evaluating.gates import PERCENT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from actors.outputs import PublishedRun
    from actors.storage.store import Storage
    from jobs.evaluating.measuring import Measured

TIMM_COLUMNS = (
    "model", "top1", "top1_err", "top5", "top5_err", "param_count", "img_size", "crop_pct", "interpolation",
)  # fmt: skip


def metrics_document(run: PublishedRun, measured: Measured) -> dict[str, Any]:
    """The content of metrics.json, which depends on the rows of the run alone."""
    return {
        "run_id": run.paths.run_id,
        "fingerprint": run.paths.fingerprint,
        "task": run.config["task"]["name"],
        "num_images": run.num_ok + run.num_errors,
        "num_failed": run.num_errors,
        "num_labelled": measured.num_labelled,
        "metrics": dict(measured.scores),
        "classes": [dict(own) for own in measured.classes],
        "confusion": [list(pair) for pair in measured.confusion],
    }


def table_of(run: PublishedRun, measured: Measured) -> Iterator[tuple[str, str]]:
    """The table for people as names and values: images, scores, and the worst classes."""
    failed = f", {run.num_errors:,} failed and are excluded" if run.num_errors else ""
    yield "run", run.paths.run_id
    yield "images", f"{measured.num_labelled:,} with a known label{failed}"
    for name, value in measured.scores.items():
        yield name, score_text(name, value)
    key = next((key for key in ("f1", "map", "iou") if measured.classes and key in measured.classes[0]), None)
    if key is not None:
        worst = sorted(measured.classes, key=lambda own: own[key])[:_NUM_WORST]
        yield "worst classes", ", ".join(f"{own['class']} ({key} {own[key]:.3f})" for own in worst)
    wrong = sorted((pair for pair in measured.confusion if pair[0] != pair[1]), key=lambda pair: -pair[2])[:_NUM_WORST]
    if wrong:
        yield "confusions", ", ".join(f"{true} as {own} {number:,}" for true, own, number in wrong)


def score_text(name: str, value: float) -> str:
    """The score as people read it: those in percent with their sign."""
    return f"{value:.4f} %" if name in PERCENT else f"{value:.6g}"


def add_result(file: str, run: PublishedRun, measured: Measured, param_count: int | None, storage: Storage) -> None:
    """Adds a row to the CSV file `evaluate.results_file`, with the columns that it has.

    Raises:
        JobError: the file is no CSV file with a column ``model``, or cannot be read or written.
    """
    row = _row(run, measured, param_count)
    uri = absolute(file)
    where = f"evaluate.results_file={redacted(file)}"
    try:
        before = storage.read(uri).decode() if storage.kind(uri) == "file" else ""
        columns = next(csv.reader(io.StringIO(before)), None) or _columns(row)
        if "model" not in columns:
            raise JobError(f"{where}: has no column model", fix="name a new file, or one of timm's validate.py")
        text = io.StringIO()
        writer = csv.DictWriter(text, columns, extrasaction="ignore", lineterminator="\n")
        if not before:
            writer.writeheader()
        writer.writerow(row)
        gap = "\n" if before and not before.endswith("\n") else ""
        storage.write(uri, f"{before}{gap}{text.getvalue()}".encode())
    except (OSError, BaseError, UnicodeDecodeError) as error:
        raise JobError(f"{where}: {one_line(error)}", fix="name a file that you may write") from error


def _columns(row: Mapping[str, Any]) -> Sequence[str]:
    others = [name for name in row if name not in TIMM_COLUMNS]
    return TIMM_COLUMNS if "top1" in row else ["model", *others, *TIMM_COLUMNS[-4:]]


def _row(run: PublishedRun, measured: Measured, param_count: int | None) -> dict[str, Any]:
    model = run.config["model"]
    preprocess = model["preprocess"]
    resize, crop = preprocess["resize"], preprocess["crop"]
    side, cropped = (max(one) if isinstance(one, list) else one for one in (resize, crop))
    source = str(model.get("source") or "").removeprefix("timm:")
    name = source or model.get("architecture") or PurePath(str(model.get("checkpoint"))).stem
    return {
        "model": redacted(name),
        **{key: round(value, 4 if key in PERCENT else 6) for key, value in measured.scores.items()},
        "param_count": "" if param_count is None else round(param_count / 1e6, 2),  # in millions, as timm's
        "img_size": cropped or side,
        "crop_pct": round(cropped / side, 4) if side and cropped else 1.0,
        "interpolation": preprocess["interpolation"],
    }


_NUM_WORST = 5
