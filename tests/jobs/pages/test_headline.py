from __future__ import annotations

import pytest
from pages import LABELLED, facts_of

from jobs.pages.headline import headline


@pytest.mark.parametrize(
    ("ok", "errors", "tone", "verdict"),
    [
        (2000, 0, "good", "All 2,000 images predicted"),
        (1, 0, "good", "The one image is predicted"),
        (1700, 300, "warn", "1,700 of 2,000 images predicted, 300 failed"),
        (0, 12, "bad", "All 12 images failed"),
        (0, 0, "", "No image to predict: nothing to do"),
    ],
)
def test_the_verdict_is_one_sentence(ok: int, errors: int, tone: str, verdict: str) -> None:
    found = headline(facts_of(ok, {"decode/truncated": errors} if errors else {}))
    assert (found.tone, found.verdict) == (tone, verdict)


def test_the_numbers_that_everybody_asks_for() -> None:
    facts = facts_of(
        counters=LABELLED, metrics={"accuracy": 7 / 9}, accuracy_ratio=7 / 9, num_done_before=2, currency="EUR"
    )
    tiles = {tile.name: (tile.value, tile.note) for tile in headline(facts).tiles}
    assert tiles["Predicted"] == ("9", "of 10 listed")
    assert tiles["Errors"] == ("1", "10.0 %")
    assert tiles["Accuracy"] == ("77.8 %", "of 9 with a label")
    assert tiles["Images/s"] == ("2", "4 without start-up")
    assert tiles["Duration"][0] == "5.0 s"
    assert tiles["Cost"] == ("1.25 EUR", "2.50 EUR for a million images like these")
    lead = headline(facts).lead
    assert "exactly one outcome" in lead
    assert "correct for 77.8 % of 9 images with labels" in lead
    assert "An earlier command processed 2 images" in lead


def test_a_run_without_measurements_has_counts_alone() -> None:
    facts = facts_of(execution=None, verdict=None, images_per_s=0.0, elapsed_s={})
    assert [tile.name for tile in headline(facts).tiles] == ["Predicted", "Errors"]
