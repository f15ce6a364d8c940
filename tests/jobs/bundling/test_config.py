from __future__ import annotations

import pytest
from bundles import export_job

from actors.engines.tolerance import EXACT, Tolerance
from actors.errors import JobError
from jobs.bundling.config import Export, ExportJob, FormPrecision


def job(*overrides: str) -> ExportJob:
    return export_job("+dataset=sample", "export.path=b", *overrides)


def test_keys_arrive_typed() -> None:
    export = job("export.formats=[pt2]", "export.precision=bf16", "export.separate_weights=true").export
    assert (export.formats, export.precision, export.separate_weights) == (["pt2"], FormPrecision.bf16, True)
    export.check()


@pytest.mark.parametrize(
    ("overrides", "limits"),
    [
        ([], EXACT),
        (["export.precision=int8"], Tolerance()),
        (["export.precision=fp16", "export.tolerance=exact"], EXACT),
        (["export.tolerance={score_difference: 0.3}"], Tolerance(score_difference=0.3)),
    ],
)
def test_limits_follow_the_precision_unless_given(overrides: list[str], limits: Tolerance) -> None:
    assert job(*overrides).export.limits == limits


@pytest.mark.parametrize(
    ("export", "said"),
    [
        (Export(formats=["engine"]), "engine is no form"),
        (Export(formats=[]), "names no form"),
        (Export(images=0), "export.images=0"),
        (Export(tolerance="loose"), "export.tolerance=loose"),
        (Export(tolerance={"atol": 1e-3}), "export.tolerance.atol: there is no such limit"),
        (Export(tolerance={"score_difference": 7.0}), "export.tolerance.score_difference=7.0"),
    ],
)
def test_wrong_values_are_told_by_their_key(export: Export, said: str) -> None:
    with pytest.raises(JobError, match=said.replace(".", r"\.")):
        export.check()
