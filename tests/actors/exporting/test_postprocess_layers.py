from __future__ import annotations

import copy

import torch
from networks import Coloured, tiny

from actors.exporting.postprocess import SCORES, TOP_SCORES, Postprocess
from actors.exporting.postprocess_layers import Postprocessed, StoredIn, followed_by

PIXELS = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))


def test_without_steps_nothing_changes() -> None:
    network = tiny(4)
    assert followed_by(Postprocess(), network) is network
    assert isinstance(followed_by(Postprocess("softmax", "output"), network), Postprocessed)


def test_the_named_output_alone_counts_whatever_else_the_network_returns() -> None:
    given = Postprocessed(Coloured(), Postprocess("softmax", "colour"))(PIXELS)
    assert list(given) == [SCORES]
    torch.testing.assert_close(given[SCORES].sum(dim=1), torch.ones(2))


def test_scores_are_computed_in_fp32() -> None:
    given = Postprocessed(tiny(5).bfloat16(), Postprocess("topk", "output", top_k=2))(PIXELS.bfloat16())
    assert given[TOP_SCORES].dtype == torch.float32


def test_weights_are_stored_in_one_format_and_computed_in_fp32() -> None:
    right = tiny(5).eval()
    network = StoredIn(copy.deepcopy(right), torch.bfloat16)
    assert next(network.parameters()).dtype == torch.bfloat16
    given = network(PIXELS)["output"]
    assert given.dtype == torch.float32
    assert 0 < (given - right(PIXELS)).abs().max() < 0.05
    assert StoredIn(Coloured(), torch.float16)(PIXELS)["brightest"].dtype == torch.int64
