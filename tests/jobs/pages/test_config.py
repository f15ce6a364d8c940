from __future__ import annotations

import pytest
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from jobs.config import to_object
from jobs.pages.config import Reporting
from jobs.schemas import compose_verb


def composed(*overrides: str) -> Reporting:
    return to_object(compose_verb("report", list(overrides)), Reporting)


def test_the_keys() -> None:
    wanted = composed("output.path=s3://b/out", "run.id=r", "+dataset.storage_options.region=y")
    assert (wanted.output.path, wanted.run.id, wanted.report.pictures) == ("s3://b/out", "r", 400)
    assert wanted.dataset.storage_options == {"region": "y"}


@pytest.mark.parametrize("overrides", [(), ("output.path=x", "report.html=false"), ("output.path=x", "to=csv")])
def test_a_missing_or_unknown_key_is_refused(overrides: tuple[str, ...]) -> None:
    with pytest.raises((HydraException, OmegaConfBaseException)):
        composed(*overrides)
