from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from actors.columns import IMAGE_ID, STAGE, TARGET
from actors.tasks.base import Task
from actors.tasks.classify import Classify
from actors.tasks.detect import Detect
from actors.tasks.detection.rows import detections_field
from actors.tasks.embed import Embed
from actors.tasks.rankings import rank_answers
from actors.tasks.regress import Regress
from actors.tasks.scores import SCORE_FIELDS
from actors.tasks.segment import Segment
from actors.writing.picks import pick_rows

LABELS = ["cat", "dog", "fox"]
SCORES = np.array([[0.9, 0.05, 0.05], [0.4, 0.41, 0.19], [0.3, 0.1, 0.6], [0.8, 0.1, 0.1]], np.float32)


def answers(scores: np.ndarray = SCORES, targets: list[str | None] | None = None, top_k: int = 3) -> pa.Table:
    order = np.argsort(-scores, axis=1)[:, :top_k]
    best = np.take_along_axis(scores, order, axis=1)
    names = [[LABELS[label_id] for label_id in row] for row in order]
    columns = [order[:, 0], [row[0] for row in names], best[:, 0], order.tolist(), names, best.tolist()]
    arrays = [pa.array(column, field.type) for column, field in zip(columns, SCORE_FIELDS, strict=True)]
    table = pa.Table.from_arrays(arrays, schema=pa.schema(SCORE_FIELDS))
    table = table.append_column(IMAGE_ID, pa.array([f"{n}" for n in range(len(scores))]))
    table = table.append_column(STAGE, pa.nulls(len(scores), pa.string()))
    return table if targets is None else table.append_column(TARGET, pa.array(targets, pa.string()))


def detected(*rows: list[tuple[int, float]] | None) -> pa.Table:
    corners = {"xmin": 0.0, "ymin": 0.0, "xmax": 9.0, "ymax": 9.0}
    lists = [
        row if row is None else [{"label_id": one, "label": str(one), "score": score, **corners} for one, score in row]
        for row in rows
    ]
    ids = {IMAGE_ID: [f"{n}" for n in range(len(rows))], STAGE: pa.nulls(len(rows), pa.string())}
    return pa.table({**ids, "detections": pa.array(lists, detections_field().type)})


def places(task: Task, table: pa.Table) -> dict[str, list[int]]:
    picked = pick_rows(table, task.rankings)
    return {name: [pick.place for pick in picks] for name, picks in picked.items()}


def by_class(found: dict[str, list[int]], family: str) -> dict[str, list[int]]:
    return {name: sorted(some) for name, some in found.items() if name.startswith(f"{family}/")}


def test_answers_by_score_tie_and_class() -> None:
    found = places(Classify(), answers())
    assert found["most_confident"] == [0, 3, 2, 1]
    assert found["least_confident"] == [1, 2, 3, 0]
    assert found["near_ties"] == [1, 2, 3, 0]
    assert by_class(found, "class") == {"class/0": [0, 3], "class/1": [1], "class/2": [2]}
    assert not {"mistakes", "sample"} & set(found)
    assert not by_class(found, "cell")


def test_known_labels_tell_mistakes_and_cells() -> None:
    table = answers(targets=["cat", "cat", None, "wolf"])
    found = {name: [pick.place for pick in some] for name, some in pick_rows(table, ranks_with_labels).items()}
    assert found["mistakes"] == [3, 1]
    assert by_class(found, "cell") == {"cell/0/0": [0], "cell/0/1": [1], "cell/-1/0": [3]}


def ranks_with_labels(table: pa.Table) -> Any:
    return rank_answers(table, LABELS)


def test_without_names_of_classes_or_with_several_labels_an_image_there_are_no_mistakes() -> None:
    table = answers(targets=["cat", "cat", None, "wolf"])
    assert not {"mistakes", "cell/0/0"} & set(places(Classify(), table))  # the class names are unknown
    several = places(Classify(activation="sigmoid", threshold=0.5), table)
    assert not {"mistakes", "near_ties"} & set(several)
    assert several["least_confident"] == [1, 2, 3, 0]


def test_a_single_score_has_no_tie_and_chunks_do_not_matter() -> None:
    assert "near_ties" not in places(Classify(), answers(top_k=1))
    table = answers(targets=["cat", "cat", "fox", "wolf"])
    halves = pa.concat_tables([table.slice(0, 1), table.slice(1)])
    assert pick_rows(halves, ranks_with_labels) == pick_rows(table, ranks_with_labels)


@pytest.mark.parametrize("task", [Detect(), Segment()])
def test_detections_by_their_best_box(task: Task) -> None:
    found = places(task, detected([(2, 0.5), (1, 0.4)], [], [(1, 0.9)], [(2, 0.7)]))
    assert found["most_confident"] == [2, 3, 0]
    assert found["least_confident"] == [0, 3, 2]
    assert found["nothing_found"] == [1]
    assert by_class(found, "class") == {"class/1": [2], "class/2": [0, 3]}
    assert set(places(task, detected([], []))) == {"nothing_found"}


@pytest.mark.parametrize("task", [Embed(), Regress(), Segment(), Classify(), Detect()])
def test_other_rows_are_sampled(task: Task) -> None:
    table = pa.table({IMAGE_ID: ["a", "b"], STAGE: pa.nulls(2, pa.string())})
    assert {name: sorted(some) for name, some in places(task, table).items()} == {"sample": [0, 1]}
