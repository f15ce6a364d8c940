from __future__ import annotations

from pages import GALLERY, facts_of

from jobs.pages.failures import failures


def test_kinds_are_ordered_by_number_and_have_pictures_or_examples() -> None:
    found = failures(facts_of(5, {"read/not_found": 7, "decode/truncated": 2, "decode/bomb": 7}), GALLERY)
    assert [(one.kind, one.number, one.percent) for one in found] == [
        ("decode/bomb", 7, "43.8 %"),
        ("read/not_found", 7, "43.8 %"),
        ("decode/truncated", 2, "12.5 %"),
    ]
    assert [one.name for one in found[-1].pictures] == ["x.jpg"]
    assert not found[0].pictures
    assert found[0].message == "message of decode/bomb"


def test_a_uri_does_not_give_access() -> None:
    (found,) = failures(facts_of(0, {"read/not_found": 1}), GALLERY)
    assert "secret" not in str(found)


def test_very_many_kinds_are_cut() -> None:
    assert len(failures(facts_of(1, {f"decode/{number}": 1 for number in range(99)}), GALLERY)) == 50
