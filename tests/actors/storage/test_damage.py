from __future__ import annotations

import errno
import io

import obstore.exceptions as obs
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from published import break_byte

from actors.storage.damage import is_damage
from actors.storage.store import TooLargeError


def file_of(rows: int) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"text": [f"row {row}" for row in range(rows)]}), sink, compression="zstd")
    return sink.getvalue().to_pybytes()


def error_of(data: bytes) -> Exception | None:
    try:
        pq.ParquetFile(io.BytesIO(data)).read(use_threads=False)
    except Exception as error:  # noqa: BLE001  any exception is the subject of the test
        return error
    return None


def test_whatever_one_broken_byte_of_a_parquet_file_leads_to_is_damage() -> None:
    data = file_of(50)
    raised = [error for place in range(len(data)) if (error := error_of(break_byte(data, place)))]
    assert len(raised) > len(data) / 4
    assert [error for error in raised if not is_damage(error)] == []


@pytest.mark.parametrize(
    "error",
    [
        FileNotFoundError(errno.ENOENT, "No such file or directory"),
        OSError(errno.EIO, "Input/output error"),
        TimeoutError("timed out"),
        ConnectionResetError("reset"),
        TooLargeError("9 bytes"),
        obs.GenericError("503"),
        obs.PermissionDeniedError("403"),
    ],
)
def test_what_goes_wrong_with_reading_is_none(error: Exception) -> None:
    assert not is_damage(error)
