from __future__ import annotations

from actors.errors import ImageError
from actors.row_ranges import Piece
from actors.tracking.attempts import LOAD, PREDICT, READ, Work
from actors.tracking.quarantine import Case, Quarantine

CASE = Case(ImageError("decode", "killed_worker", "died"), (5, 32))


def test_images_are_found_in_all_work_of_their_stage_that_holds_them() -> None:
    quarantine = Quarantine()
    for row in (0, 40, 41):
        quarantine.add(READ, (5, row), CASE)
    assert quarantine.within(Work(READ, (Piece(4, ((0, 50),)), Piece(5, ((1, 9), (40, 41)))))) == {(5, 40): CASE}
    assert quarantine.within(Work(READ, (Piece(5, ((0, 50),)),))).keys() == {(5, 0), (5, 40), (5, 41)}
    assert quarantine.within(Work(PREDICT, (Piece(5, ((0, 50),)),))) == {}
    assert quarantine.within(Work(LOAD, "actor 1f")) == {}
    assert (quarantine.num_images(READ), quarantine.num_images(PREDICT)) == (3, 0)
