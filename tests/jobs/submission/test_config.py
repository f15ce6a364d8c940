from __future__ import annotations

import pytest

from actors.errors import JobError
from jobs.config import to_submission


@pytest.mark.parametrize("address", ["http://host:8265", "https://ray.example.org", "http://[::1]:8265/"])
def test_a_url_is_an_address(address: str) -> None:
    submission = to_submission([f"cluster.address='{address}'"])
    submission.check()
    assert submission.cluster.address == address
    assert submission.wait


@pytest.mark.parametrize("address", ["auto", "host:8265", "ray://host:10001", "http://", "http://host:port"])
def test_another_address_is_refused(address: str) -> None:
    with pytest.raises(JobError, match="not an http or https address"):
        to_submission([f"cluster.address='{address}'"]).check()


def test_the_address_is_needed() -> None:
    with pytest.raises(JobError, match="not given"):
        to_submission([]).check()


@pytest.mark.parametrize("address", ["http://user:hush@host:8265", "http://host:8265/?token=hush"])
def test_a_secret_in_the_address_is_refused_and_not_shown(address: str) -> None:
    with pytest.raises(JobError, match="holds a secret") as caught:
        to_submission([f"cluster.address='{address}'"]).check()
    assert "hush" not in str(caught.value)


def test_a_timeout_of_no_time_is_refused() -> None:
    assert to_submission(["submit.timeout_s=20"]).submit.timeout_s == 20
    with pytest.raises(JobError, match=r"submit\.timeout_s=0\.0: must be above 0"):
        to_submission(["cluster.address='http://host:8265'", "submit.timeout_s=0"]).check()
