"""Scores of a published run: from the counters in its receipts, and from its rows where those do not suffice. Runs on
the driver.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from obstore.exceptions import BaseError

from actors.columns import IMAGE_ID, TARGET
from actors.errors import JobError
from actors.evaluation.accuracy import Accuracy
from actors.evaluation.calibration import Calibration
from actors.evaluation.confusion import ClassAverages, ConfusionMatrix
from actors.evaluation.detection import METRICS, DetectionAP
from actors.evaluation.receipt_scores import CLASS_SCORES, NUMBER_SCORES, receipt_scores
from actors.evaluation.segmentation import SegmentationIoU
from actors.messages import one_line, redacted
from actors.storage.uris import absolute
from actors.tasks.accuracy import NUM_LABELLED
from actors.tasks.class_counts import TOP_K
from actors.tasks.confusion import MAX_PAIRED
from actors.tasks.regress import Regress

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from actors.evaluation.inferencer import Inferencer
    from actors.outputs import PublishedRun
    from actors.storage.store import Storage
    from jobs.evaluating.config import Evaluate

PIXEL_SCORES = ("mean_iou", "pixel_accuracy")


@dataclass(frozen=True)
class Measured:
    """Scores of a run against known labels."""

    num_labelled: int
    """Images with an answer and a known label."""
    scores: Mapping[str, float]
    classes: Sequence[Mapping[str, Any]] = ()
    """Scores of each class that occurs or is predicted."""
    confusion: Sequence[tuple[str, str, int]] = field(default=())
    """Known class, predicted class and images, without zeros; empty above 100 classes."""


def score_names(task: Mapping[str, Any], *, has_annotations: bool) -> Sequence[str]:
    """Names of the scores that a task may give.

    Args:
        task: its config, as plain values.
        has_annotations: ground truth is in a COCO file.

    Raises:
        JobError: the answers of the task cannot be compared with labels.
    """
    name = task["name"]
    if has_annotations and name in ("detect", "segment"):
        return METRICS
    if name == "detect":
        raise JobError(
            "task=detect: evaluate.annotations: not given", fix="give a COCO file with the boxes of the images"
        )
    if name in ("classify", "zero_shot") and task.get("threshold") is None:
        has_top = task.get("top_k", TOP_K) >= TOP_K
        return [one for one in CLASS_SCORES if has_top or not one.removesuffix("_err").endswith("top5")]
    named = {"regress": NUMBER_SCORES, "segment": PIXEL_SCORES}
    if name in named:
        return named[name]
    why = "an image may have several labels" if name in ("classify", "zero_shot") else "its answers are no labels"
    raise JobError(
        f"task={name}: cannot be evaluated: {why}",
        fix="choose task=classify without task.threshold, zero_shot, regress, detect or segment",
    )


def measure(run: PublishedRun, wanted: Evaluate) -> Measured:
    """Compares the rows of ``run`` with known labels.

    Raises:
        JobError: no row has a known label, or what is needed cannot be read.
    """
    names = score_names(run.config["task"], has_annotations=wanted.annotations is not None)
    task = run.config["task"]["name"]
    if wanted.annotations is not None and names is METRICS:
        found = _boxes(run, wanted.annotations)
    elif task == "segment":
        found = _pixels(run)
    elif task == "regress":
        found = _numbers(run)
    else:
        found = _classes(run)
    if not found.scores:
        raise JobError(
            f"{redacted(run.paths.rows)}: no row has a known label to compare with",
            fix="give the dataset labels: dataset.label_column=NAME, or dataset.folder_labels=true",
        )
    return found


def _classes(run: PublishedRun) -> Measured:
    counters: Mapping[str, int] = run.counters
    labels = run.labels or _named(run)
    scores = receipt_scores(counters)
    if "f1_macro" not in scores:
        # An earlier version wrote these receipts, or there are more classes than they hold.
        measures: list[Inferencer] = [Accuracy(), Calibration(), ClassAverages(labels), ConfusionMatrix(labels)]
        measures += [Accuracy(TOP_K)] if run.config["task"].get("top_k", TOP_K) >= TOP_K else []
        columns = [TARGET, "label", "label_id", "score", "top_label_ids", "top_labels", "top_scores"]
        counters = _recount(measures, run, columns)
        scores = receipt_scores(counters)
    names = dict(enumerate(labels or ()))
    classes = [
        {"class": names.get(own.class_id, str(own.class_id)), **own._asdict()}
        for own in ClassAverages().classes(counters)
    ]
    pairs = ConfusionMatrix().pairs(counters)
    is_small = len(names) <= MAX_PAIRED and all(max(pair) < MAX_PAIRED for pair in pairs)
    confusion = [
        (names.get(true, str(true)) if true >= 0 else OTHER, names.get(predicted, str(predicted)), number)
        for (true, predicted), number in sorted(pairs.items())
    ]
    return Measured(counters.get(NUM_LABELLED, 0), scores, classes, confusion if is_small else ())


OTHER = "(not a class of the model)"


def _numbers(run: PublishedRun) -> Measured:
    counters: Mapping[str, int] = run.counters
    if not (scores := receipt_scores(counters)):  # those of an earlier version
        task = Regress(names=run.config["task"].get("names"))
        counters = sum((Counter(task.counts(rows)) for rows in run.read()), Counter())
        scores = receipt_scores(counters)
    num = next((number for name, number in counters.items() if name.endswith("/num")), 0)
    return Measured(num, scores)


def read_truth(annotations: str, storage: Storage, *, masks: bool) -> DetectionAP:
    """Reads `evaluate.annotations`. Raises `JobError` if it cannot, or if the library of mAP is missing."""
    try:
        return DetectionAP(json.loads(storage.read(absolute(annotations))), masks=masks)
    except (OSError, BaseError, ValueError, LookupError, TypeError) as error:
        raise JobError(
            f"evaluate.annotations={redacted(annotations)}: cannot be read: {one_line(error)}",
            fix="give a COCO file with images, annotations and categories",
        ) from error


def _boxes(run: PublishedRun, annotations: str) -> Measured:
    measured = read_truth(annotations, run.storage, masks=run.config["task"]["name"] == "segment")
    for rows in run.read([IMAGE_ID, "detections"]):
        measured.update(rows)
    if run.num_ok and not measured.num_images:
        raise JobError(
            f"evaluate.annotations={redacted(annotations)}: names none of the images",
            fix="its file_name must be the end of an image_id",
        )
    classes = [{"class": name, "map": value} for name, value in measured.per_class().items()]
    return Measured(measured.num_images, measured.compute(), classes)


def _pixels(run: PublishedRun) -> Measured:
    measured = SegmentationIoU(lambda target: run.storage.read(absolute(target)))
    try:
        for rows in run.read(["mask", TARGET]):
            measured.update(rows)
    except (OSError, BaseError, ValueError) as error:
        raise JobError(
            f"a label cannot be read: {one_line(error)}",
            fix="labels of task=segment are paths of PNG files with the class of each pixel, as large as the image",
        ) from error
    counts, labels = measured.counts(), run.labels
    classes = [
        {"class": labels[own] if labels and own < len(labels) else str(own), "iou": value}
        for own, value in measured.classes(counts).items()
    ]
    return Measured(measured.num_images, measured.compute(counts), classes)


def _recount(measures: Sequence[Inferencer], run: PublishedRun, columns: Sequence[str]) -> dict[str, int]:
    for rows in run.read(columns):
        for measure in measures:
            measure.update(rows)
    return {name: number for measure in measures for name, number in measure.counts().items()}


def _named(run: PublishedRun) -> list[str] | None:
    """Names of the classes as far as the rows have them, where the labels of the model are gone; None if the rows have
    numbers alone.
    """
    names: dict[int, str] = {}
    for rows in run.read(["label_id", "label"]):
        pairs = rows.group_by(["label_id", "label"]).aggregate([])
        names |= dict(zip(pairs["label_id"].to_pylist(), pairs["label"].to_pylist(), strict=True))
    if all(name == str(number) for number, name in names.items()):
        return None
    return [names.get(number, str(number)) for number in range(max(names) + 1)]
