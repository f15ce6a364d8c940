from __future__ import annotations

import json
from pathlib import Path

import pytest
from compared import classified, compared, publish_run
from places import local_place

from actors.errors import JobError


def test_the_document_has_every_count_and_is_json(tmp_path: Path) -> None:
    place = local_place(tmp_path)
    errors = {"2": ("read", "not_found")}
    a = publish_run(place, "a", classified([("1", "x", float("nan"), "x"), ("3", "x", 0.5)]), errors=errors)
    b = publish_run(place, "b", classified([("1", "y", float("nan"), "x"), ("2", "x", 0.5)]))
    document = json.loads(json.dumps(compared(a, b).to_json(), allow_nan=False))
    assert document["task"] == "classify"
    assert (document["a"]["run_id"], document["a"]["num_failed"], document["b"]["num_ok"]) == ("a", 1, 2)
    assert document["images"] == {
        "num_both": 2, "num_answers_in_both": 1, "num_matched_by_id_alone": 0, "num_ambiguous": 0,
        "only_a": {"num_ok": 1, "num_failed": 0}, "only_b": {"num_ok": 0, "num_failed": 0},
    }  # fmt: skip
    assert document["errors"]["lost"] == [{"stage": "read", "error": "not_found", "num": 1}]
    assert document["flips"] == [{"from": "x", "to": "y", "num": 1}]
    assert (document["flip_ratio"], document["num_broken"], document["drift"]) == (1, 1, 0)
    assert document["mean_score_difference"] is None  # JSON has no NaN


def test_runs_without_a_common_image_and_changed_parts_are_refused(tmp_path: Path) -> None:
    place = local_place(tmp_path)
    a = publish_run(place, "a", classified([("1", "x", 0.5)]))
    b = publish_run(place, "b", classified([("2", "x", 0.5)]))
    with pytest.raises(JobError, match="no image in common"):
        compared(a, b)
    a.manifest["num_ok"] = 2  # type: ignore[index]
    with pytest.raises(JobError, match="its parts have 1 rows, and its manifest lists 2"):
        compared(a, a)
