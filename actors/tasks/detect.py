"""Task ``detect``: the objects in each image, as boxes in pixels of the source. Runs in the predictor."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from actors.errors import JobError
from actors.field_types import coerce_fields
from actors.tasks.base import Outputs, Task, check_values
from actors.tasks.detection.box_agreement import compare_boxes
from actors.tasks.detection.classes import chosen_classes
from actors.tasks.detection.counts import count_objects, object_lines
from actors.tasks.detection.heads import HEADS, head_for, recognising
from actors.tasks.detection.rows import detections_column, detections_field, size_columns, size_fields
from actors.tasks.detection.suppression import ranked, suppress
from actors.tasks.detection.tile import Tile
from actors.tasks.rankings import rank_objects

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pyarrow as pa

    from actors.engines.tolerance import Tolerance
    from actors.tasks.context import BatchContext
    from actors.tasks.detection.candidates import Candidates
    from actors.tasks.detection.head import Head
    from actors.tasks.parity import Agreement
    from actors.writing.picks import Ranking


@dataclass
class Detect(Task):
    """Writes ``width`` and ``height`` int32 of the source image, upright, and ``detections``: a list of structs of
    ``label_id`` int32, ``label`` string, ``score`` float32 and the corners ``xmin``, ``ymin``, ``xmax``, ``ymax``
    float32, in pixels of the source, best first. Boxes outside the image are dropped. A row whose outputs are not
    finite becomes an error row.
    """

    name: str = "detect"
    head: str = "auto"
    """Layout of the model's outputs: yolov5, yolov8, yolov8_transposed, yolo_nms, padded, detr or detr_sigmoid; auto
    detects it by names and shapes."""
    score_threshold: float = 0.25
    """Boxes with a lower score are dropped. The default is meant for viewing results, as in Ultralytics' predict mode;
    to compute mAP, keep boxes down to 0.001."""
    iou: float = 0.7
    """Overlap, as intersection over union, at which the worse of two boxes of a class is dropped. The default is that
    of Ultralytics; YOLOv5 used 0.45, torchvision uses 0.5. No effect on networks without duplicates."""
    max_detections: int = 300
    """Maximum number of boxes per image; the best are kept."""
    classes: list[Any] = field(default_factory=list)
    """Names or numbers of the classes to keep; empty means all."""
    class_agnostic: bool = False
    """Also drop the worse of two overlapping boxes of different classes."""
    tile: Tile = field(default_factory=Tile)
    """Cut pictures into tiles, to find small objects in large pictures. `task.max_detections` then applies to each
    tile."""

    def __post_init__(self) -> None:
        if isinstance(self.tile, dict):  # as stored in a bundle
            self.tile = Tile(**self.tile)
        coerce_fields(self, "task")

    @property
    def tiling(self) -> Tile | None:
        return self.tile if self.tile.is_on else None

    def fields(self, outputs: Outputs, labels: Sequence[str] | None) -> list[pa.Field]:
        self._check_limits()
        head = head_for(self.head, outputs, labels)
        for name in head.output_names(outputs):
            check_values(outputs, name)
        chosen_classes(self.classes, labels)
        return [*size_fields(), detections_field()]

    def output_names(self, outputs: Outputs) -> list[str]:
        return self._first_head(outputs).output_names(outputs)

    def check(self, tensors: Mapping[str, np.ndarray]) -> None:
        self._first_head(Outputs.of(tensors)).check(tensors)

    def columns(self, tensors: Mapping[str, np.ndarray], context: BatchContext) -> tuple[list[pa.Array], np.ndarray]:
        found = self.in_source(self.find(tensors, context), context)
        columns = [*size_columns(context.sizes_hw), detections_column(found, context.labels)]
        return columns, found.valid

    def find(self, tensors: Mapping[str, np.ndarray], context: BatchContext) -> Candidates:
        """Returns the boxes that suppression keeps, best first within an image, in pixels of the model's input."""
        return self.boxes(tensors, context.preprocess.size, context.labels)

    def boxes(
        self, tensors: Mapping[str, np.ndarray], input_hw: tuple[int, int], labels: Sequence[str] | None
    ) -> Candidates:
        """See `find`."""
        head = head_for(self.head, Outputs.of(tensors, input_hw=input_hw), labels)
        found = head.candidates(tensors, input_hw, threshold=self.score_threshold)
        if labels is not None and len(found) and found.label_ids.max() >= len(labels):
            raise JobError(
                f"model.labels: the model gives class {found.label_ids.max()}, counted from 0, and there are "
                f"{len(labels)} labels",
                fix="give one label for each class, in the order of the classes",
            )
        if self.classes:
            found = found.take(np.isin(found.label_ids, chosen_classes(self.classes, labels)))
        return self._best(head, found)

    def in_source(self, found: Candidates, context: BatchContext) -> Candidates:
        """Maps boxes to pixels of the source images, and drops boxes outside the images."""
        boxes = context.geometry.to_source(found.boxes_xyxy, found.images).astype(np.float32)
        has_area = np.asarray((boxes[:, 2:] > boxes[:, :2]).all(axis=1))
        return replace(found, boxes_xyxy=boxes).take(has_area)

    def agreement(
        self, reference: Mapping[str, np.ndarray], candidate: Mapping[str, np.ndarray], tolerance: Tolerance
    ) -> Agreement:
        """See `actors.tasks.base.Task`. Each box of one engine must match a box that the other proposes, before
        suppression and down to a lower threshold, so neither a score near the threshold nor a near tie in suppression
        counts. If a network has the same positions for all images, their raw numbers are also compared, with or without
        boxes.
        """
        head = self._first_head(Outputs.of(reference))
        return compare_boxes(head, self._best, (reference, candidate), self.score_threshold, tolerance)

    def counts(self, table: pa.Table) -> dict[str, int]:
        return count_objects(table)

    def rankings(self, table: pa.Table) -> list[Ranking]:
        return rank_objects(table)

    def summary(self, counters: Mapping[str, int]) -> list[tuple[str, str]]:
        return object_lines(counters)

    def _best(self, head: Head, found: Candidates) -> Candidates:
        if head.is_suppressed:
            return found.take(ranked(found, self.max_detections))
        kept = suppress(found, iou=self.iou, max_detections=self.max_detections, class_agnostic=self.class_agnostic)
        return found.take(kept)

    def _first_head(self, outputs: Outputs) -> Head:
        """Returns the head, without knowing the labels: several heads may fit, which read the same outputs."""
        asked = list(HEADS.values()) if self.head == "auto" else [HEADS[self.head]]
        fitting = recognising(asked, outputs, None)
        return fitting[0] if fitting else head_for(self.head, outputs, None)

    def _check_limits(self) -> None:
        for key in ("score_threshold", "iou"):
            value = getattr(self, key)
            if not 0 <= value <= 1:
                raise JobError(f"task.{key}={value}: not from 0 to 1", fix=f"the usual value is {_USUAL[key]}")
        if self.max_detections < 1:
            raise JobError(f"task.max_detections={self.max_detections}: must be at least 1", fix="300 is usual")
        self.tile.check()


_USUAL = {"score_threshold": 0.25, "iou": 0.7}
