from __future__ import annotations

from jobs.verification.findings import NUM_NAMED, Findings


def test_kinds_stay_together_in_the_order_in_which_they_came() -> None:
    findings = Findings()
    for kind, what in (("b", "1"), ("a", "2"), ("b", "3")):
        findings.add(kind, what)
    assert list(findings.lines()) == ["b: 1", "b: 3", "a: 2"]
    assert len(findings) == 3


def test_the_first_are_named_and_the_rest_is_counted() -> None:
    findings, other = Findings(), Findings()
    findings.add_many("x", (str(number) for number in range(10**9)), 10**9)
    other.add_many("x", ["more"], 1000)
    findings.merge(other)
    lines = list(findings.lines())
    assert lines[:NUM_NAMED] == [f"x: {number}" for number in range(NUM_NAMED)]
    assert lines[NUM_NAMED:] == ["x: 1,000,000,980 more, 1,000,001,000 in all"]


def test_nothing_is_no_kind() -> None:
    findings = Findings()
    findings.add_many("x", [], 0)
    findings.merge(Findings())
    assert list(findings.lines()) == []
    assert not len(findings)
