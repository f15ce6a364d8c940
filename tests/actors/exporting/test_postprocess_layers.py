from __future__ import annotations

import torch
from networks import Coloured, tiny

from actors.exporting.postprocess import SCORES, TOP_SCORES, Postprocess
from actors.exporting.postprocess_layers import AtPrecision, Postprocessed, followed_by

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


def test_a_network_at_another_precision_takes_and_gives_float32() -> None:
    network = AtPrecision(Coloured(), torch.bfloat16)
    given = network(PIXELS)
    assert {name: values.dtype for name, values in given.items()} == {"brightest": torch.int64, "colour": torch.float32}
    assert next(network.parameters()).dtype == torch.bfloat16
