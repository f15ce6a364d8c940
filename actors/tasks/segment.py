"""Task ``segment``: the class of each pixel, or a mask for each object, at the size of the source image. Runs in the
predictor.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from actors.errors import JobError
from actors.field_types import coerce_fields
from actors.tasks.base import Outputs, Task
from actors.tasks.detect import Detect
from actors.tasks.detection.rows import detections_column, detections_field, size_columns, size_fields
from actors.tasks.rankings import rank_objects
from actors.tasks.segmentation.class_maps import count_classes, map_classes, map_logits, void_of
from actors.tasks.segmentation.counts import count_pixels, pixel_lines
from actors.tasks.segmentation.grids import grid_axes
from actors.tasks.segmentation.heads import Reading, SegmentHead, reading_of
from actors.tasks.segmentation.instance_masks import encode_instance
from actors.tasks.segmentation.pixel_agreement import compare_classes, compare_logits
from actors.tasks.segmentation.png import encode_png
from actors.tasks.segmentation.rows import classes_column, classes_field, mask_field, masks_array
from actors.tasks.segmentation.run_lengths import encode_classes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from actors.engines.tolerance import Tolerance
    from actors.tasks.context import BatchContext
    from actors.tasks.parity import Agreement
    from actors.writing.picks import Ranking

LOG = logging.getLogger("shardlens")


class MaskForm(Enum):
    """Storage of a class map."""

    png = "png"
    rle = "rle"


@dataclass
class Segment(Task):
    """Writes ``width`` and ``height`` int32 of the source image, upright. For a model that classifies each pixel, adds
    ``mask``, a PNG file of the classes, and ``classes``, a list of structs of ``label_id`` int32, ``label`` string and
    ``pixels`` int64. For a model that finds objects, adds ``detections``, like task=detect, with a ``mask`` in each: a
    struct of ``size``, height and width, and ``counts``, COCO's compressed run lengths. A row whose outputs are not
    finite becomes an error row.
    """

    name: str = "segment"
    head: SegmentHead = SegmentHead.auto
    """Layout of the model's outputs: logits (n, classes, h, w); class_map (n, h, w) or (n, 1, h, w); or instances:
    boxes, scores, labels and masks as in Mask R-CNN. auto detects it by names, shapes and types."""
    mask: MaskForm = MaskForm.png
    """png: the column mask. rle: instead, a run-length mask in each entry of classes. Masks of instances are always
    run-length encoded."""
    output: str | None = None
    """Name of the output with logits or classes; needed only if several outputs qualify."""
    threshold: float = 0.0
    """For logits of a single channel: pixels with a higher value have class 1, others class 0; use 0.5 if the model
    returns probabilities. No effect on other models."""
    score_threshold: float = 0.25
    """Instances with a lower score are dropped, as in task=detect."""
    max_detections: int = 300
    """Maximum number of instances per image; the best are kept."""

    def __post_init__(self) -> None:
        coerce_fields(self, "task")

    def fields(self, outputs: Outputs, labels: Sequence[str] | None) -> list[pa.Field]:
        reading = self._reading(outputs)
        if reading.is_instances:
            self._detect.fields(outputs, labels)
            return [*size_fields(), detections_field(has_masks=True)]
        if reading.head is SegmentHead.logits:
            _check_labels(reading.output, outputs.shapes[reading.output], labels)
        is_png = self.mask is MaskForm.png
        return [*size_fields(), *([mask_field()] if is_png else []), classes_field(has_masks=not is_png)]

    def output_names(self, outputs: Outputs) -> list[str]:
        return self._reading(outputs).output_names(outputs)

    def check(self, tensors: Mapping[str, np.ndarray]) -> None:
        """Logs a warning if a single channel looks like probabilities but `threshold` is meant for logits."""
        reading = self._reading(Outputs.of(tensors))
        if reading.is_instances:
            self._detect.check(tensors)
            return
        values = tensors[reading.output]
        is_single = reading.head is SegmentHead.logits and values.shape[1] == 1
        if is_single and not self.threshold and values.min() >= 0 and values.max() <= 1:
            LOG.warning(
                "task.threshold=0: all values of the model's output %s lie between 0 and 1 on trial images; if they "
                "are probabilities, set task.threshold=0.5",
                reading.output,
            )

    def columns(self, tensors: Mapping[str, np.ndarray], context: BatchContext) -> tuple[list[pa.Array], np.ndarray]:
        reading = self._reading(Outputs.of(tensors))
        if reading.is_instances:
            return self._instances(tensors, tensors[reading.output], context)
        answers = tensors[reading.output]
        valid = np.array([np.isfinite(answer).all() for answer in answers], bool)
        masks, found, runs = [], [], []
        for image, answer in enumerate(answers):
            class_map, void = self._class_map(reading, answer, context, image) if valid[image] else (_NOTHING, 0xFF)
            pixels = count_classes(class_map)
            found.append(
                {int(class_id): int(pixels[class_id]) for class_id in np.flatnonzero(pixels) if class_id != void}
            )
            if self.mask is MaskForm.png:
                masks.append(encode_png(class_map))
            else:
                runs += [counts for class_id, counts in encode_classes(class_map).items() if class_id != void]
        sizes = size_columns(context.sizes_hw)
        if self.mask is MaskForm.png:
            return [*sizes, pa.array(masks, pa.binary()), classes_column(found, context.labels)], valid
        whole = masks_array(runs, np.repeat(context.sizes_hw, [len(each) for each in found], axis=0))
        return [*sizes, classes_column(found, context.labels, whole)], valid

    def agreement(
        self, reference: Mapping[str, np.ndarray], candidate: Mapping[str, np.ndarray], tolerance: Tolerance
    ) -> Agreement:
        """See `actors.tasks.base.Task`. Compares the pixels of the model's outputs before they are enlarged; pixels
        where the reference's class leads by less than ``tie_margin`` count only through the logits. Instances are
        compared by their boxes.
        """
        reading = self._reading(Outputs.of(reference))
        if reading.is_instances:
            return self._detect.agreement(reference, candidate, tolerance)
        both = reference, candidate
        if reading.head is SegmentHead.logits:
            return compare_logits(reading.output, both, self._logits, tolerance)
        return compare_classes(reading.output, both, tolerance)

    def counts(self, table: pa.Table) -> dict[str, int]:
        return {**self._detect.counts(table), **count_pixels(table)}

    def rankings(self, table: pa.Table) -> list[Ranking]:
        return rank_objects(table)

    def summary(self, counters: Mapping[str, int]) -> list[tuple[str, str]]:
        return pixel_lines(counters) or self._detect.summary(counters)

    @property
    def _detect(self) -> Detect:
        return Detect(head="padded", score_threshold=self.score_threshold, max_detections=self.max_detections)

    def _reading(self, outputs: Outputs) -> Reading:
        return reading_of(outputs, self.head, self.output)

    def _logits(self, logits_chw: np.ndarray) -> np.ndarray:
        """Returns float32 logits of at least two classes: for a single channel, the first class gets `threshold`."""
        logits = logits_chw.astype(np.float32, copy=False)
        return np.concatenate([np.full_like(logits, self.threshold), logits]) if len(logits) == 1 else logits

    def _class_map(
        self, reading: Reading, answer: np.ndarray, context: BatchContext, image: int
    ) -> tuple[np.ndarray, int]:
        """Returns the class map of one image, and the value of pixels without a class."""
        axes = grid_axes(context.geometry, image, context.preprocess.size, answer.shape[-2:])
        if reading.head is SegmentHead.logits:
            logits = self._logits(answer)
            return map_logits(logits, axes), void_of(len(logits))
        ids = answer.reshape(answer.shape[-2:])
        num_classes = len(context.labels) if context.labels else 0xFF if ids.max() <= 0xFF else 0xFFFF  # noqa: PLR2004
        return map_classes(ids, axes, num_classes), void_of(num_classes)

    def _instances(
        self, tensors: Mapping[str, np.ndarray], masks: np.ndarray, context: BatchContext
    ) -> tuple[list[pa.Array], np.ndarray]:
        found = self._detect.find(tensors, context)
        shown = self._detect.in_source(replace(found, places=np.arange(len(found))), context)
        places, images = found.places[shown.places], shown.images
        geometry = context.geometry
        # Beyond the image, too: a mask covers its whole box, part of which may be hidden by a crop or the border.
        scale, offset = (np.tile(pairs[images], 2) for pairs in (geometry.scale, geometry.offset))
        boxes = found.boxes_xyxy[shown.places] * scale + offset
        sizes_hw = context.sizes_hw[images]
        counts = [
            encode_instance(masks[image, place].astype(np.float32, copy=False), box, int(height), int(width))
            for image, place, box, (height, width) in zip(images, places, boxes, sizes_hw, strict=True)
        ]
        column = detections_column(shown, context.labels, masks_array(counts, sizes_hw))
        return [*size_columns(context.sizes_hw), column], shown.valid


_NOTHING = np.full((1, 1), 0xFF, np.uint8)  # for invalid rows


def _check_labels(output: str, shape: tuple[int, ...], labels: Sequence[str] | None) -> None:
    num_classes = max(2, shape[0])  # a single channel distinguishes two classes
    if labels is None and shape[2] < min(shape[:2]):
        raise JobError(
            f"task=segment: the model's output {output} with {shape[0]} channels of {shape[1]} by {shape[2]} pixels "
            "looks as if its last axis held the classes",
            fix=f"export the model with the classes first, or confirm that there are {shape[0]} with model.labels",
        )
    if labels is not None and len(labels) != num_classes:
        raise JobError(
            f"model.labels: {len(labels)} labels, and the model's output {output} has {num_classes} classes",
            fix=f"give a file with {num_classes} lines, one label per line, in the order of the classes, the "
            "background included",
        )
    if num_classes >= void_of(num_classes):
        raise JobError(f"the model's output {output} has {num_classes} classes", fix="segmentation has at most 65,535")
