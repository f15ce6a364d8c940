from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from actors.errors import JobError
from actors.evaluation.examples import ahead, labelled_folder, share

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("data", [list("abcde"), lambda: iter("abcde"), dict.fromkeys("abcde").keys()])
@pytest.mark.parametrize("total", [1, 2, 7])
def test_ranks_take_each_example_once(data: object, total: int) -> None:
    taken = [one for rank in range(total) for one in share(data, rank, total)]  # type: ignore[arg-type]
    assert sorted(taken) == list(enumerate("abcde"))


def test_results_come_in_order_and_errors_end_them() -> None:
    assert list(ahead(lambda number: number * 2, iter(range(20)), 3)) == list(range(0, 40, 2))
    results = ahead(lambda number: 1 // (3 - number), iter(range(10**9)), 2)
    assert [next(results) for _ in range(3)] == [0, 0, 1]
    with pytest.raises(ZeroDivisionError):
        next(results)


def test_folders_name_classes(tmp_path: Path) -> None:
    for name in ("dog/2.png", "cat/1.png", "cat/.hidden"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert labelled_folder(tmp_path) == [(tmp_path / "cat/1.png", "cat"), (tmp_path / "dog/2.png", "dog")]
    with pytest.raises(JobError, match="holds no folders"):
        labelled_folder(tmp_path / "cat")
