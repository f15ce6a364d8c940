from __future__ import annotations

from pathlib import Path

import pytest
from s3 import serve

from actors.errors import JobError
from actors.storage.store import Storage
from actors.storage.store_clients import connect


@pytest.mark.parametrize("root", ["nope://host", "s3://"])
def test_a_root_of_no_known_kind(root: str) -> None:
    with pytest.raises(JobError, match="fix: use s3://"):
        connect(root, {})


def test_an_option_of_no_known_name() -> None:
    with pytest.raises(JobError, match="fix: use s3://"):
        connect("s3://bucket", {"acess_key": "x"})


def test_variables_of_the_environment_count_as_in_obstore_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serve(tmp_path) as s3:
        uri = s3.put("a.txt", b"a")
        monkeypatch.setenv("AWS_ENDPOINT_URL", s3.url)
        monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
        for name in ("region", "access_key_id", "secret_access_key"):
            monkeypatch.setenv(f"AWS_{name.upper()}", s3.options[name])
        assert Storage().read(uri) == b"a"
        monkeypatch.setenv("AWS_TIMEOUT", "not a time")
        with pytest.raises(JobError, match="not a time"):
            Storage().read(uri)
        assert Storage({"timeout": "30s"}).read(uri) == b"a", "an option wins"
