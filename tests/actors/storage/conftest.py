"""The store shared by tests of this package."""

from __future__ import annotations

import pytest
from flaky import Flaky
from s3 import S3

from actors.storage.remote_store import RemoteStore
from actors.storage.retries import Retry


@pytest.fixture
def store(s3: S3, proxy: Flaky) -> RemoteStore:
    """Returns the bucket behind the proxy, with quick retries."""
    return RemoteStore(f"s3://{s3.bucket}", proxy.options(s3), Retry(first_wait_s=0.001))
