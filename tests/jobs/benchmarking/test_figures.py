from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from measured import FIGURES

from actors.errors import JobError
from jobs.benchmarking.figures import Figures, read_figures, write_figures


def test_written_figures_are_read_back(tmp_path: Path) -> None:
    uri = write_figures(FIGURES, str(tmp_path / "new" / "figures.json"))
    assert uri == str(tmp_path / "new" / "figures.json")
    assert read_figures(uri) == FIGURES
    content = json.loads(Path(uri).read_text())
    assert content["version"] == 1
    assert content["whole" if "whole" in content else "variants"]["whole"]["steady_images_per_s"] == 180.0
    assert content["share_of_limit"] == 0.9
    assert content["bound_by"] == "model"


def test_the_slowest_stage_of_the_run_is_the_bottleneck() -> None:
    def bound_by(**stages: float | None) -> str | None:
        return replace(FIGURES, stages={**FIGURES.stages, **stages}).bound_by

    assert bound_by(reading=1.0) == "reading"
    assert bound_by(decoding=1.0) == "decoding"
    assert bound_by(listing=1.0) == "model"  # listing ends before the run
    assert bound_by(reading=None, transfer=None) == "model"
    assert bound_by(model=None) is None


def test_the_share_needs_both_rates_of_the_same_machine() -> None:
    assert replace(FIGURES, limit={**FIGURES.limit, "images_per_s": None}).share_of_limit is None
    assert replace(FIGURES, machine={**FIGURES.machine, "nodes": 2}).share_of_limit is None


def test_every_rate_has_a_name_of_its_own() -> None:
    assert list(FIGURES.rates()) == [
        *("listing", "reading", "decoding", "transfer", "model", "writing"),
        *("without model", "without writing", "whole", "limit", "decoding limit"),
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("no json", "not the figures of a benchmark"),
        ("[1]", "not the figures of a benchmark"),
        ("[" * 200_000, "nested too deeply"),
        ('{"run_id": "r", "status": "done"}', "not the figures of a benchmark"),
        (json.dumps({**FIGURES.to_json(), "version": 99}), "version 99, not 1"),
        (json.dumps({**FIGURES.to_json(), "stages": {}}), "not those of a benchmark"),
        (json.dumps({**FIGURES.to_json(), "variants": {"whole": {}}}), "not the figures of a benchmark"),
    ],
)
def test_other_files_are_rejected(content: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "old.json").write_text(content)
    with pytest.raises(JobError, match=r"benchmark\.compare=.*old\.json: ") as caught:
        read_figures(str(tmp_path / "old.json"))
    assert message in caught.value.problem


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(JobError, match=r"benchmark\.compare=.*gone\.json: cannot be read"):
        read_figures(str(tmp_path / "gone.json"))
    with pytest.raises(JobError, match=r"benchmark\.output=.*: cannot be written"):
        write_figures(FIGURES, str(tmp_path))


def test_figures_survive_json() -> None:
    assert Figures.from_json(json.loads(json.dumps(FIGURES.to_json()))) == FIGURES


def test_older_figures_without_the_steps_can_be_compared(tmp_path: Path) -> None:
    content = FIGURES.to_json()
    del content["steps"]
    (tmp_path / "old.json").write_text(json.dumps(content))
    assert read_figures(str(tmp_path / "old.json")) == FIGURES
