"""Average precision of boxes and masks, as defined by COCO. Keeps the predictions in memory."""

from __future__ import annotations

import io
from contextlib import redirect_stdout
from typing import TYPE_CHECKING, Any

from actors.columns import IMAGE_ID
from actors.errors import JobError
from actors.tasks.detection.rows import CORNERS

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pyarrow as pa

METRICS = (
    "map", "map_50", "map_75", "map_small", "map_medium", "map_large",
    "mar_1", "mar_10", "mar_100", "mar_small", "mar_medium", "mar_large",
)  # fmt: skip
"""Names from torchmetrics' `MeanAveragePrecision`, in the order of pycocotools."""


class DetectionAP:
    """Computes `METRICS` from the column ``detections`` with faster-coco-eval (``shardlens[eval]``). Omits metrics
    without objects to find, such as those of one size.

    The best 100 boxes of an image count. The full precision curve needs low scores: task.score_threshold=0.001. Boxes
    of classes and images absent from the ground truth are ignored; its images without a row count as images without
    boxes.

    Args:
        truth: content of a COCO file. An image matches if ``file_name`` is the end of its image_id, or else by the last
            path component if that is unique; categories match by name.
        masks: compares masks instead of boxes.

    Raises:
        JobError: the library is missing.
    """

    def __init__(self, truth: Mapping[str, Any], *, masks: bool = False) -> None:
        self._library = _library()
        self.kind = "segm" if masks else "bbox"
        self._truth = truth
        self._images = {str(one["file_name"]): int(one["id"]) for one in truth["images"]}
        self._last: dict[str, int | None] = {}
        for name, image_id in self._images.items():
            last = name.rpartition("/")[2]
            self._last[last] = None if last in self._last else image_id
        self._categories = {str(one["name"]): int(one["id"]) for one in truth["categories"]}
        self.reset()

    def reset(self) -> None:
        self._results: list[dict[str, Any]] = []
        self._evaluated: Any = None
        self.num_images = 0
        """Images of the ground truth that had a row."""

    def update(self, rows: pa.Table) -> None:
        self._evaluated = None
        for name, boxes in zip(rows[IMAGE_ID].to_pylist(), rows["detections"].to_pylist(), strict=True):
            image_id = self._image_id(name)
            if image_id is None or boxes is None:
                continue
            self.num_images += 1
            self._results += [
                _result(box, image_id, self._categories[box["label"]], self.kind)
                for box in boxes
                if box["label"] in self._categories
            ]

    def counts(self) -> dict[str, int]:
        return {}

    def compute(self, counts: Mapping[str, int] | None = None) -> dict[str, float]:  # noqa: ARG002
        """Implements `Inferencer.compute`."""
        if not self._truth.get("annotations"):
            return {}
        stats = dict(zip(METRICS, self._evaluate().stats[: len(METRICS)].tolist(), strict=True))
        return {name: value for name, value in stats.items() if value >= 0}  # COCO's -1 is undefined

    def per_class(self) -> dict[str, float]:
        """Returns ``map`` by category name, without categories that have no objects."""
        if not self._truth.get("annotations"):
            return {}
        evaluation = self._evaluate()
        # Axes: IoU and recall thresholds, categories, areas (the first is all), maximum boxes (the last is 100).
        precision = evaluation.eval["precision"][:, :, :, 0, -1]
        names = {number: name for name, number in self._categories.items()}
        found = {names[number]: precision[:, :, place] for place, number in enumerate(evaluation.params.catIds)}
        return {name: float(own.mean()) for name, own in found.items() if (own > -1).all()}

    def _image_id(self, name: str) -> int | None:
        parts = name.split("/")
        ends = ("/".join(parts[first:]) for first in range(len(parts)))
        found = next((self._images[end] for end in ends if end in self._images), None)
        return self._last.get(parts[-1]) if found is None else found

    def _evaluate(self) -> Any:
        if self._evaluated is not None:
            return self._evaluated
        COCO = self._library.COCO  # noqa: N806  a class
        with redirect_stdout(io.StringIO()):
            truth = COCO({**self._truth, "annotations": [_annotation(one) for one in self._truth["annotations"]]})
            results = [dict(one) for one in self._results]  # loadRes adds keys
            found = truth.loadRes(results) if results else COCO({**self._truth, "annotations": []})
            evaluation = self._library.COCOeval_faster(truth, found, self.kind)
            evaluation.evaluate()
            evaluation.accumulate()
            evaluation.summarize()
        self._evaluated = evaluation
        return evaluation


def _library() -> Any:
    try:
        import faster_coco_eval  # noqa: PLC0415  optional
    except ImportError as error:
        raise JobError("faster-coco-eval is not installed", fix="pip install 'shardlens[eval]'") from error
    return faster_coco_eval


def _annotation(one: Mapping[str, Any]) -> dict[str, Any]:
    x, y, width, height = one["bbox"]
    return {"iscrowd": 0, "area": width * height, **one, "bbox": [x, y, width, height]}


def _result(box: Mapping[str, Any], image_id: int, category_id: int, kind: str) -> dict[str, Any]:
    result: dict[str, Any] = {"image_id": image_id, "category_id": category_id, "score": box["score"]}
    if kind == "segm":
        counts = box["mask"]["counts"]
        return {**result, "segmentation": {"size": list(box["mask"]["size"]), "counts": counts.decode()}}
    xmin, ymin, xmax, ymax = (float(box[name]) for name in CORNERS)
    return {**result, "bbox": [xmin, ymin, xmax - xmin, ymax - ymin]}
