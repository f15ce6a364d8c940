"""The section on known labels: scores, the confusion of classes, and calibration, from the counters in the receipts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from actors.evaluation.calibration import Calibration
from actors.evaluation.confusion import ClassAverages, ConfusionMatrix
from jobs.pages.charts import Chart, calibration_chart
from jobs.pages.wording import percent

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from actors.evaluation.confusion import ClassScores
    from jobs.pages.facts import RunFacts


class Cell(NamedTuple):
    """Images of one known and one predicted class."""

    known: str
    predicted: str
    number: int
    share: float
    """Share in the images of the known class."""
    group: str
    """Name of its pictures in the gallery; empty if there are none."""
    is_right: bool

    @property
    def is_deep(self) -> bool:
        """True if its shade is so dark that its number is light."""
        return self.share > 0.5  # noqa: PLR2004

    @property
    def shade(self) -> float:
        """Opacity of its colour; nothing between the two ranges, where neither colour of text has enough contrast."""
        return 0.9 + self.share / 10 if self.is_deep else self.share * 0.6


class ClassRow(NamedTuple):
    """Scores of one class."""

    name: str
    num_true: int
    precision: str
    recall: str
    f1: str


@dataclass(frozen=True)
class Truth:
    """Content of the section."""

    scores: Sequence[tuple[str, str]]
    names: Sequence[str] = field(default=())
    """Classes of the matrix; empty if there are too many, or none."""
    matrix: Sequence[tuple[str, Sequence[Cell]]] = field(default=())
    """For each known class the cells by predicted class, in the order of `names`."""
    confused: Sequence[Cell] = field(default=())
    """Pairs of different classes, the most frequent first."""
    weakest: Sequence[ClassRow] = field(default=())
    """Classes, the lowest F1 first."""
    num_classes: int = 0
    calibration: Chart | None = None


def truth(facts: RunFacts, groups: Collection[str], names: Mapping[int, str]) -> Truth | None:
    """None if the run has no scores.

    Args:
        facts: of the run.
        groups: names of the gallery's groups.
        names: names of the classes, as far as they are known.
    """
    scores = [(title, _score(name, facts.scores[name])) for name, title in _SCORES.items() if name in facts.scores]
    if not scores:
        return None
    cells = _cells(facts, groups, names)
    known = {class_id for pair in cells for class_id in pair if class_id >= 0}
    is_small = len(known) <= _MAX_MATRIX
    classes = [*sorted(known)] if is_small else []
    rows = [*classes, *([-1] if any(true < 0 for true, _ in cells) else [])] if is_small else []
    empty = {(true, own): _cell((true, own), (0, 0), "", names) for true in rows for own in classes}
    wrong = sorted((cell for cell in cells.values() if not cell.is_right), key=lambda cell: -cell.number)
    weakest = sorted(ClassAverages().classes(facts.counters), key=lambda own: (own.f1, own.class_id))
    return Truth(
        scores=scores,
        names=[_name(one, names) for one in classes],
        matrix=[(_name(true, names), [(empty | cells)[true, own] for own in classes]) for true in rows],
        confused=wrong[:_MAX_PAIRS],
        weakest=[_class_row(own, names) for own in weakest[:_MAX_CLASSES]],
        num_classes=len(weakest),
        calibration=_calibration(facts),
    )


def _cells(facts: RunFacts, groups: Collection[str], names: Mapping[int, str]) -> dict[tuple[int, int], Cell]:
    pairs = ConfusionMatrix().pairs(facts.counters)
    totals: dict[int, int] = {}
    for (true, _), number in pairs.items():
        totals[true] = totals.get(true, 0) + number
    found = {pair: cell_group(pair, facts.labels) for pair in pairs}
    return {
        pair: _cell(pair, (number, totals[pair[0]]), found[pair] if found[pair] in groups else "", names)
        for pair, number in pairs.items()
    }


def cell_group(pair: tuple[int, int], labels: Sequence[str] | None) -> str:
    """Name of the group in the gallery that has the pictures of a known and a predicted class."""
    names = dict(enumerate(labels or ()))
    return "/".join(["cell", *(names.get(one, str(one)) for one in pair)])


def _cell(pair: tuple[int, int], counted: tuple[int, int], group: str, names: Mapping[int, str]) -> Cell:
    (known, predicted), (number, total) = (_name(one, names) for one in pair), counted
    return Cell(known, predicted, number, number / total if total else 0.0, group, pair[0] == pair[1])


def _class_row(own: ClassScores, names: Mapping[int, str]) -> ClassRow:
    scores = (f"{value:.3f}" for value in (own.precision, own.recall, own.f1))
    return ClassRow(_name(own.class_id, names), own.num_true, *scores)


def _name(class_id: int, names: Mapping[int, str]) -> str:
    return names.get(class_id, str(class_id)) if class_id >= 0 else OTHER


def _calibration(facts: RunFacts) -> Chart | None:
    bins = [(score, right, num) for num, right, score in Calibration().bins(facts.counters) if num]
    if not bins:
        return None
    named = ", ".join(f"score {score:.2f}: {percent(right)} right of {num:,}" for score, right, num in bins)
    return calibration_chart(bins, "Calibration", named)


def _score(name: str, value: float) -> str:
    return percent(value / 100) if name in _IN_PERCENT else f"{value:.4f}"


OTHER = "(not a class of the model)"
_MAX_MATRIX, _MAX_PAIRS, _MAX_CLASSES = 25, 25, 15
_IN_PERCENT = ("top1", "top5")
_SCORES = {
    "top1": "Accuracy",
    "top5": "Among the best five",
    "f1_macro": "F1, mean over classes",
    "precision_macro": "Precision, mean over classes",
    "recall_macro": "Recall, mean over classes",
    "auroc": "AUROC",
    "ece": "Expected calibration error",
    "map": "mAP",
    "map_50": "mAP at IoU 0.5",
    "mean_iou": "Mean IoU",
    "pixel_accuracy": "Pixel accuracy",
    "rmse": "Root mean square error",
    "mae": "Mean absolute error",
    "r2": "R²",
}
