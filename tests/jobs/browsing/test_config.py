from __future__ import annotations

import pytest

from actors.errors import JobError
from jobs.browsing.config import Browse, Browsing
from jobs.config import to_object
from jobs.schemas import compose_verb


def test_the_keys() -> None:
    wanted = to_object(compose_verb("browse", ["output.path=s3://b/out", "run.id=r", "browse.port=8000"]), Browsing)
    assert (wanted.output.path, wanted.run.id, wanted.browse.port) == ("s3://b/out", "r", 8000)
    wanted.browse.check()


@pytest.mark.parametrize("browse", [Browse(port=-1), Browse(port=65536), Browse(max_memory_bytes=1000)])
def test_a_value_out_of_range_is_refused(browse: Browse) -> None:
    with pytest.raises(JobError, match=r"browse\.\w+="):
        browse.check()
