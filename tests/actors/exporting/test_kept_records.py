from __future__ import annotations

import pytest

from actors.errors import JobError
from actors.exporting.kept_records import kept_record
from actors.models.sources.base import Record

RECORD = Record(
    architecture="timm:x",
    kwargs={"num_classes": 3},
    checkpoint=("hf://a/b/c", "hf://a/b/d"),
    labels=["a", "b", "c"],
    preprocess={"crop": 7, "mean": [0.5, 0.5, 0.5]},
)


def refuse() -> Record:
    raise JobError("asked again", fix="none")


def test_a_record_is_made_once_for_each_name_and_library() -> None:
    assert kept_record("timm", "kept", lambda: RECORD) == RECORD
    assert kept_record("timm", "kept", refuse) == RECORD
    for library, name in (("timm", "other"), ("torchvision", "kept")):
        with pytest.raises(JobError, match="asked again"):
            kept_record(library, name, refuse)


def test_another_version_of_the_library_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    kept_record("torchvision", "versions", lambda: RECORD)
    monkeypatch.setattr("actors.exporting.kept_records.version", lambda _: "another")
    with pytest.raises(JobError, match="asked again"):
        kept_record("torchvision", "versions", refuse)


def test_a_record_that_cannot_be_kept_is_made_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHARDLENS_CACHE", "/proc/no-such-folder")
    assert kept_record("timm", "x", lambda: RECORD) == RECORD
