from __future__ import annotations

import logging
import unicodedata

import pyarrow as pa
import pytest

from actors.columns import TARGET
from jobs.datasets.labels import warn_of_strangers

NFC, NFD = (unicodedata.normalize(form, "zéro") for form in ("NFC", "NFD"))


@pytest.mark.parametrize(
    ("targets", "labels", "num_lines"),
    [
        ([["cat", None], ["dog"]], ["dog", "cow"], 0),
        ([["cat"], ["Dog"]], ["dog", "cow"], 2),
        ([[NFD]], [NFC], 0),
        ([["3"]], ["dog"], 0),  # a class number
        ([["cat"]], None, 2),
        ([[None]], ["dog"], 0),
        ([[]], ["dog"], 0),
    ],
)
def test_a_warning_where_no_label_matches(
    targets: list[list[str | None]], labels: list[str] | None, num_lines: int, caplog: pytest.LogCaptureFixture
) -> None:
    tables = [pa.table({TARGET: pa.array(some, pa.string())}) for some in targets]
    assert list(warn_of_strangers(iter(tables), labels)) == tables
    assert ("no label of the dataset (cat" in caplog.text) == bool(num_lines)
    assert len([record for record in caplog.records if record.levelno == logging.WARNING]) == num_lines


def test_a_dataset_without_labels() -> None:
    tables = [pa.table({"uri": ["x"]})]
    assert list(warn_of_strangers(iter(tables), ["dog"])) == tables
