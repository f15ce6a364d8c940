from __future__ import annotations

from pathlib import Path

import pytest
from compared import classified, publish_run
from places import Place

from actors.errors import JobError
from jobs.comparison.config import ComparedOutput
from jobs.comparison.sides import find_run


def test_a_run_is_found_by_id_by_path_and_by_uri(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    publish_run(place, "a", classified([("1", "x", 0.5)]))
    there, nowhere = ComparedOutput(place.root, place.options), ComparedOutput(None, place.options)
    for given, output in (("a", there), (f"{place.root}/runs/a", nowhere), (f"{place.root}/runs/a/", nowhere)):
        assert find_run("a", given, output).run_id == "a"
    if place.server is None:
        monkeypatch.chdir(Path(place.root).parent)
        assert find_run("b", f"{Path(place.root).name}/runs/a", nowhere).paths.root == place.root
    with pytest.raises(JobError, match=r"b=a: the id of a run, without output\.path"):
        find_run("b", "a", nowhere)
    with pytest.raises(JobError, match=r"b=x: there is no such run(.|\n)*the latest published runs are a"):
        find_run("b", "x", there)
    with pytest.raises(JobError, match="not the folder of a run"):
        find_run("b", f"{place.root}/rows", there)
