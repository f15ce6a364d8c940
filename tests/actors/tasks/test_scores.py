from __future__ import annotations

import numpy as np
import pytest
import torch

from actors.tasks.scores import Activation, activate, best, chosen_columns, names_of


def test_activations_are_those_of_torch() -> None:
    logits = np.random.default_rng(0).normal(size=(5, 7)).astype(np.float32) * 9
    tensor = torch.from_numpy(logits)
    for activation, wanted in ((Activation.softmax, tensor.softmax(1)), (Activation.sigmoid, tensor.sigmoid())):
        np.testing.assert_allclose(activate(logits, activation), wanted.numpy(), atol=1e-6)
    assert activate(logits, Activation.none) is logits


@pytest.mark.parametrize("threshold", [0.0, 0.3, 0.8, 1.0])
def test_chosen_classes_are_the_first_of_all_in_order(threshold: float) -> None:
    scores = np.random.default_rng(1).integers(0, 11, (20, 9)).astype(np.float32) / 10
    ids, labels, chosen = (column.to_pylist() for column in chosen_columns(scores, None, threshold))
    for row, order in enumerate(best(scores, 9)):
        wanted = [int(label_id) for label_id in order if scores[row, label_id] >= threshold]
        assert ids[row] == wanted
        assert labels[row] == list(map(str, wanted))
        assert chosen[row] == [float(scores[row, label_id]) for label_id in wanted]


def test_classes_without_names_have_their_numbers() -> None:
    assert names_of(np.array([2, 0]), None).to_pylist() == ["2", "0"]
    assert names_of(np.array([2, 0]), ["a", "b", "c"]).to_pylist() == ["c", "a"]
