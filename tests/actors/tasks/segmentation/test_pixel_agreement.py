from __future__ import annotations

import numpy as np
import pytest

from actors.engines.tolerance import EXACT, Tolerance
from actors.tasks.parity import Agreement
from actors.tasks.segmentation.pixel_agreement import compare_classes, compare_logits

RANDOM = np.random.default_rng(5)
LOGITS = RANDOM.normal(size=(4, 6, 12, 12)).astype(np.float32) * 10
IDS = RANDOM.integers(0, 6, (4, 20, 20))


def compare(given: np.ndarray, tolerance: Tolerance | None = None, wanted: np.ndarray = LOGITS) -> Agreement:
    return compare_logits("out", ({"out": wanted}, {"out": given}), lambda logits: logits, tolerance or Tolerance())


def test_the_same_logits_agree_in_every_figure() -> None:
    agreement = compare(LOGITS, EXACT)
    assert not agreement.breaches
    figures = dict(agreement.figures)
    assert figures.pop("clear_pixels") > 500
    assert figures == {"images": 4, "output_error": 0, "pixel_agreement": 1}


def test_another_class_is_a_breach() -> None:
    given = LOGITS.copy()
    given[:, :, :2] = given[:, ::-1, :2]
    agreement = compare(given, Tolerance(output_error=1))
    assert 0.8 < agreement.figures["pixel_agreement"] < 0.9
    (breach,) = agreement.breaches
    assert breach.endswith("pixels differ (engine.tolerance.pixel_agreement=0.98)")


def test_near_ties_count_only_by_their_logits() -> None:
    tied = LOGITS.copy()
    tied[:, 0, 0] = tied[:, :, 0].max(axis=1) + 0.01
    flipped = tied.copy()
    flipped[:, 0, 0] -= 0.02
    agreement = compare(flipped, wanted=tied)
    assert not agreement.breaches
    assert agreement.figures["pixel_agreement"] == 1
    assert 0 < agreement.figures["output_error"] < 1e-3


def test_images_that_are_all_alike_do_not_hide_an_error() -> None:
    shared = LOGITS + 1000
    given = shared.copy()
    given[2] = shared[1]
    assert "output_error" in " ".join(compare(given, wanted=shared).breaches)


@pytest.mark.parametrize("given", [LOGITS[:, :5], LOGITS.astype(np.int64)])
def test_another_shape_or_type_is_a_breach(given: np.ndarray) -> None:
    assert len(compare(given).breaches) == 1


def test_lost_answers_are_a_breach() -> None:
    given = LOGITS.copy()
    given[1, 0, 0, 0] = np.nan
    agreement = compare(given)
    assert agreement.figures["images"] == 3
    assert "image 1" in agreement.breaches[0]


def test_class_maps_are_compared_by_pixels() -> None:
    given = IDS.copy()
    given[0, 0, :10] += 1
    both = {"out": IDS}, {"out": given}
    assert compare_classes("out", both, Tolerance()).figures == {"images": 4, "pixel_agreement": 1 - 10 / 1600}
    assert not compare_classes("out", both, Tolerance()).breaches
    assert len(compare_classes("out", both, EXACT).breaches) == 1
    assert len(compare_classes("out", ({"out": IDS}, {"out": IDS[:, :5]}), EXACT).breaches) == 1
