from __future__ import annotations

import pytest
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from jobs.cli.config_errors import explain
from jobs.config import to_object
from jobs.conversion.config import Conversion
from jobs.schemas import compose_verb


def composed(*overrides: str) -> Conversion:
    return to_object(compose_verb("convert", list(overrides)), Conversion)


def test_the_keys() -> None:
    wanted = composed("output.path=s3://b/out", "to=coco", "convert.path=x", "+output.storage_options.region=y")
    assert isinstance(wanted, Conversion)
    assert (wanted.output.path, wanted.to, wanted.convert.path) == ("s3://b/out", "coco", "x")
    assert wanted.output.storage_options == {"region": "y"}
    assert (wanted.convert.run, wanted.convert.overwrite, wanted.convert.escape_formulas) == (None, False, True)


@pytest.mark.parametrize(
    ("overrides", "problem", "fix"),
    [
        (("output.path=x", "convert.path=y"), "to: not given", "add to=VALUE"),
        (("output.path=x", "to=csv"), "convert.path: not given", "add convert.path=VALUE"),
        (("output.path=x", "to=csv", "convert.pth=y"), "convert.pth=y: there is no such key", "convert.path?"),
    ],
)
def test_mistakes_are_explained_as_those_of_a_job(overrides: tuple[str, ...], problem: str, fix: str) -> None:
    with pytest.raises((HydraException, OmegaConfBaseException)) as caught:
        composed(*overrides)
    message = str(explain(caught.value))
    assert problem in message
    assert fix in message
