from __future__ import annotations

import io

import pytest

from actors.storage.remote_file import RemoteFile

DATA = bytes(range(256)) * 40


def file_of(data: bytes, size: int) -> io.BufferedReader:
    return io.BufferedReader(RemoteFile(lambda start, length: data[start : start + length], size), buffer_size=100)


@pytest.fixture
def file() -> io.BufferedReader:
    return file_of(DATA, len(DATA))


def test_it_reads_as_a_local_file_does(file: io.BufferedReader) -> None:
    local = io.BytesIO(DATA)
    for seek in ((0, 0), (5000, 0), (-7, 2), (3, 1), (20_000, 0), (-30, 2)):
        assert file.seek(*seek) == local.seek(*seek)
        assert file.read(11) == local.read(11)
    file.seek(0)
    assert file.read() == DATA


def test_it_can_be_read_and_sought_and_not_written(file: io.BufferedReader) -> None:
    assert file.readable()
    assert file.seekable()
    assert not file.writable()


def test_an_object_that_became_shorter_ends_early() -> None:
    assert file_of(DATA[:500], len(DATA)).read() == DATA[:500]
