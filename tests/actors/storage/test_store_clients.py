from __future__ import annotations

import pytest

from actors.errors import JobError
from actors.storage.store_clients import connect


@pytest.mark.parametrize("root", ["nope://host", "s3://"])
def test_a_root_of_no_known_kind(root: str) -> None:
    with pytest.raises(JobError, match="cure: use s3://"):
        connect(root, {})


def test_an_option_of_no_known_name() -> None:
    with pytest.raises(JobError, match="cure: use s3://"):
        connect("s3://bucket", {"acess_key": "x"})
