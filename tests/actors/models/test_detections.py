from __future__ import annotations

import torch

from actors.models.detections import is_detections, padded


def test_missing_detections_have_no_score() -> None:
    found = {"boxes": torch.ones(1, 4), "labels": torch.ones(1, dtype=torch.int64), "scores": torch.ones(1)}
    none = {name: value[:0] for name, value in found.items()}
    assert is_detections(none)
    outputs = padded([none, found], 2)
    assert outputs["scores"].tolist() == [[0, 0], [1, 0]]
    assert outputs["labels"].tolist() == [[-1, -1], [1, -1]]
    assert outputs["boxes"].sum(dim=(1, 2)).tolist() == [0, 4]


def test_the_best_come_first_and_the_worst_are_left_out() -> None:
    scores = torch.tensor([0.2, 0.9, 0.5])
    found = {"boxes": scores[:, None].expand(3, 4), "labels": torch.arange(3), "scores": scores}
    outputs = padded([{**found, "masks": scores.reshape(3, 1, 1, 1).expand(3, 1, 5, 6)}], 2)
    assert outputs["labels"].tolist() == [[1, 2]]
    assert torch.equal(outputs["boxes"][0, :, 0], outputs["scores"][0])
    assert outputs["masks"].shape == (1, 2, 5, 6)


def test_other_dictionaries_are_no_detections() -> None:
    assert not is_detections({"boxes": torch.ones(1, 4)})
    assert not is_detections({"boxes": [1], "scores": [1], "labels": [1]})
    assert not is_detections(torch.ones(3))
