from __future__ import annotations

import numpy as np
import pytest
import torch
from networks import tiny

from actors.exporting.postprocess import SCORES, TOP_LABEL_IDS, TOP_SCORES, Postprocess
from actors.exporting.postprocess_layers import Postprocessed

PIXELS = torch.randn(6, 3, 16, 16, generator=torch.Generator().manual_seed(0))


def test_without_steps_nothing_changes() -> None:
    outputs = {"a": np.ones((2, 3), np.float32)}
    assert Postprocess().of(outputs)["a"] is outputs["a"]


@pytest.mark.parametrize("sigmoid", [False, True])
@pytest.mark.parametrize(("kind", "names"), [("softmax", [SCORES]), ("topk", [TOP_SCORES, TOP_LABEL_IDS])])
def test_the_graph_gives_what_numpy_makes_of_the_network(kind: str, names: list[str], *, sigmoid: bool) -> None:
    network, steps = tiny(7).eval(), Postprocess(kind, "output", top_k=3, sigmoid=sigmoid)
    with torch.no_grad():
        wanted = steps.of({"output": network(PIXELS).numpy()})
        given = {name: values.numpy() for name, values in Postprocessed(network, steps)(PIXELS).items()}
    assert list(given) == list(wanted) == names
    for name in names:
        assert given[name].dtype == wanted[name].dtype
        np.testing.assert_allclose(given[name], wanted[name], rtol=1e-5)


def test_large_logits_do_not_overflow() -> None:
    scores = Postprocess("softmax", "x").of({"x": np.array([[1e4, 0.0]], np.float32)})[SCORES]
    assert scores.tolist() == [[1.0, 0.0]]
    assert Postprocess("softmax", "x", sigmoid=True).of({"x": np.array([[-1e4]], np.float32)})[SCORES].tolist() == [[0]]
