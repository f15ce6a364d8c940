from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from actors.errors import JobError
from actors.outputs.key_database import KeyDatabase


def test_it_lies_on_disk_and_reads_no_other_file(tmp_path: Path) -> None:
    other = tmp_path / "other.csv"
    other.write_text("1")
    with KeyDatabase(str(tmp_path), 64 << 20, "CREATE TABLE keys (key UHUGEINT)") as keys:
        keys._insert("keys", pa.table({"name": ["a", "b", "a"]}), "md5_number(name)")
        found = keys._run(lambda: keys._database.sql("SELECT count(DISTINCT key) FROM keys").fetchall())
        assert found == [(2,)]
        with pytest.raises(Exception, match="disabled"):
            keys._run(keys._database.execute, f"SELECT * FROM '{other}'")  # noqa: S608
    assert (tmp_path / "keys.duckdb").exists()


def test_a_folder_that_is_not_there_has_its_fix(tmp_path: Path) -> None:
    with (
        KeyDatabase(str(tmp_path / "nowhere"), 64 << 20, "") as keys,
        pytest.raises(JobError, match="cannot hold the comparison") as caught,
    ):
        keys._insert("keys", pa.table({"name": ["a"]}), "md5_number(name)")
    assert "set TMPDIR" in caught.value.fix
