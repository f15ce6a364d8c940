from __future__ import annotations

from dataclasses import replace

from pages import HOSTILE, PATHS, facts_of

from jobs.pages.facts import Followed
from jobs.pages.gallery import Gallery
from jobs.pages.page import make_page
from jobs.pages.training import training

ROWS = [
    {"name": "two.pt", "run_id": PATHS.run_id, "modified_at": "2", "metrics": {"accuracy": 0.5}},
    {"name": "one.pt", "run_id": "r0", "modified_at": "1", "metrics": {"accuracy": 0.25}},
    {"name": "bad.pt", "run_id": "r2", "modified_at": "3", "metrics": None},
    {"name": "three.pt", "run_id": "r3", "modified_at": "4", "metrics": {"accuracy": 0.75}},
]
BEST = {"score": "accuracy", "run_id": "r3"}


def test_a_run_has_its_place_on_the_curve_in_the_order_of_the_training() -> None:
    found = training(replace(facts_of(), followed=Followed(ROWS, BEST)))
    assert found is not None
    assert found.place == "Checkpoint 2 of 3: accuracy 0.5; the best one has 0.75"
    assert found.chart.text == "one.pt 0.25, two.pt 0.5, three.pt 0.75"
    assert 'd="M50.00 50.00 h0"' in found.chart.shapes


def test_the_best_run_says_so_and_a_run_without_the_score_has_no_section() -> None:
    found = training(replace(facts_of(), followed=Followed(ROWS[:2], {**BEST, "run_id": PATHS.run_id})))
    assert found is not None
    assert found.place.endswith(", the best one")
    assert training(replace(facts_of(), followed=Followed(ROWS[1:], BEST))) is None
    assert training(facts_of()) is None


def test_the_page_links_the_curve_by_a_relative_path_and_shows_names_as_text() -> None:
    rows = [{**ROWS[0], "name": name, "modified_at": str(place)} for place, name in enumerate(HOSTILE)]
    page = make_page(replace(facts_of(), followed=Followed(rows, {**BEST, "score": HOSTILE[1]})), Gallery({}))
    assert "follow/curve.html" not in page
    page = make_page(replace(facts_of(), followed=Followed(rows, BEST)), Gallery({}))
    assert 'href="../../follow/curve.html"' in page
    assert "<script>alert(1)" not in page
