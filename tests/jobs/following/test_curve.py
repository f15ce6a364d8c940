from __future__ import annotations

from jobs.following.curve import Point, plot, sparkline


def curve(*values: float | None) -> list[Point]:
    best = max((value for value in values if value is not None), default=None)
    return [Point(f"{number}.pt", value, value == best) for number, value in enumerate(values)]


def test_a_line_of_bars_from_the_lowest_to_the_highest() -> None:
    assert sparkline(curve(0.0, 0.5, None, 1.0)) == "▁▅ █"
    assert sparkline(curve(0.3, 0.3)) == "██"
    assert sparkline(curve(None)) == " "
    assert sparkline(curve(*range(30)), width=3) == "▁▅█"


def test_a_chart_with_its_scale_and_a_mark_below_the_best() -> None:
    lines = plot("top1", curve(50.0, 90.0, None, 70.0))
    assert lines[0] == "top1, 3 checkpoints"
    assert lines[1] == " 90.0000 %  █"
    assert lines[6] == " 50.0000 % ▁█ █"
    assert lines[7] == f"{'':10}  ^ 1.pt"
    assert plot("top1", curve(None)) == []
    assert plot("top1", curve(0.5))[6] == f"{'':9} █", "a single value has one label"


def test_a_long_training_fits_and_keeps_its_best() -> None:
    values = [0.5] * 1000
    values[333] = 0.9
    lines = plot("accuracy", curve(*values), width=40)
    assert max(map(len, lines[:-1])) <= 40
    assert lines[1].count("█") == 1
    assert lines[-1].endswith("^ 333.pt")
