from __future__ import annotations

import tempfile
from pathlib import Path

import pyarrow as pa
import pytest
from compared import classified, compared, publish_run
from places import Place, local_place

from actors.errors import JobError
from jobs.comparison.classes import ClassAnswers
from jobs.comparison.outcomes import Outcomes


def test_each_row_is_matched_once_with_the_row_of_its_image(place: Place) -> None:
    """Covers duplicates, equal ids at different places, and images of only one run; locally and on S3."""
    a = publish_run(
        place,
        "a",
        classified(
            [("twice", "x", 0.5), ("twice", "x", 0.5), ("moved", "x", 0.5, None, "/old/moved"), ("gone", "x", 0.5)]
            + [(f"many{i}", "x", 0.5) for i in range(20)]
            + [("homonym", "x", 0.5, None, f"/old/{i}/homonym") for i in range(2)]
        ),
    )
    b = publish_run(
        place,
        "b",
        classified(
            [("new", "x", 0.5), ("moved", "y", 0.5, None, "/new/moved"), ("twice", "x", 0.5), ("twice", "y", 0.5)]
            + [("twice", "y", 0.5)]
            + [(f"many{i}", "x", 0.5) for i in reversed(range(20))]
            + [("homonym", "y", 0.5, None, f"/new/{i}/homonym") for i in range(2)]
        ),
    )
    found = compared(a, b)
    assert found.counts == (23, 3, 4, 1, 2)
    assert found.failures.alone == {"a": (3, 0), "b": (4, 0)}
    assert found.changes.num_flips == 2  # `moved`, and the second row of `twice`
    assert found.num_answers == 23
    # The order of the runs does not matter.
    back = compared(b, a)
    assert back.counts == (23, 4, 3, 1, 2)
    assert back.changes.num_flips == 2


def test_a_run_is_equal_to_itself_even_without_rows(tmp_path: Path) -> None:
    a = publish_run(local_place(tmp_path), "a", classified([("1", "x", 0.5, "x"), ("1", "y", 0.7, "x")]))
    found = compared(a, a)
    assert (found.counts, found.changes.flip_ratio, found.changes.drift) == ((2, 0, 0, 0, 0), 0, 0)
    empty = publish_run(local_place(tmp_path), "empty", classified([]))
    assert compared(empty, empty).counts == (0, 0, 0, 0, 0)
    failed = publish_run(local_place(tmp_path), "failed", classified([]), errors={"1": ("read", "not_found")})
    assert compared(failed, failed).failures.num_both == 1


def test_the_database_goes_to_disk_and_a_full_one_is_a_job_error() -> None:
    rows = pa.concat_tables([classified([(f"{i}", "x", 0.5) for i in range(50_000)])] * 8)
    with tempfile.TemporaryDirectory() as folder, Outcomes(folder, 1 << 25, ClassAnswers()) as outcomes:
        for side in ("a", "b"):
            outcomes.add_rows(side, [rows])
        assert outcomes.match().num_both == len(rows)
        with pytest.raises(JobError, match="cannot hold the comparison"):
            outcomes.execute("SET max_temp_directory_size = '1MB'", "SELECT list(id) FROM a GROUP BY number % 3")
