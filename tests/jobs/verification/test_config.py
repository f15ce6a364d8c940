from __future__ import annotations

import pytest
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from jobs.cli.config_errors import explain
from jobs.config import to_object
from jobs.schemas import compose_verb
from jobs.verification.config import Verification


def composed(*overrides: str) -> Verification:
    return to_object(compose_verb("verify", list(overrides)), Verification)


def test_the_keys_are_those_of_a_job() -> None:
    wanted = composed("output.path=s3://b/out", "+output.storage_options.region=x", "run.id=r1")
    assert isinstance(wanted, Verification)
    assert (wanted.output.path, wanted.run.id) == ("s3://b/out", "r1")
    assert wanted.output.storage_options == {"region": "x"}
    assert (wanted.digest, wanted.verbose) == (True, False)
    assert composed("output.path=x", "digest=false", "+output.storage_options={allow_http: true}").run.id is None


@pytest.mark.parametrize(
    ("overrides", "problem", "fix"),
    [
        ((), "output.path: not given", "add output.path=VALUE"),
        (("output.pth=x",), "output.pth=x: there is no such key", "did you mean output.path?"),
        (("output.path=x", "run.name=y"), "run.name=y: there is no such key", "run has id"),
        (("output.path=x", "runid=y"), "runid=y: there is no such key", "output, run, digest, verbose"),
        (("output.path=x", "digest=some"), "digest=some", "set digest to a value of that type"),
        (("output.path=x", "output.storage_options.region=y"), "a new entry", "+output.storage_options.region=y"),
    ],
)
def test_mistakes_are_explained_as_those_of_a_job(overrides: tuple[str, ...], problem: str, fix: str) -> None:
    with pytest.raises((HydraException, OmegaConfBaseException)) as caught:
        composed(*overrides)
    message = str(explain(caught.value))
    assert problem in message
    assert fix in message
