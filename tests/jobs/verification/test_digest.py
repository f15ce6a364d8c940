from __future__ import annotations

import numpy as np
import pyarrow as pa
from published import PublishedRun

from jobs.verification.digest import MODULUS, row_hashes, rows_digest

RUN = PublishedRun(names=[[f"image {number}" for number in range(500)]])
TABLE = RUN.predicted([(0, row) for row in range(500)])


def test_neither_order_nor_cut_nor_chunks_nor_order_of_columns_count() -> None:
    digest = rows_digest(TABLE)
    shuffled = TABLE.take(pa.array(np.random.default_rng(0).permutation(500)))
    assert rows_digest(shuffled) == digest
    assert sum(rows_digest(TABLE.slice(start, 130)) for start in range(0, 500, 130)) % MODULUS == digest
    assert rows_digest(pa.concat_tables([TABLE.slice(0, 3), TABLE.slice(3)])) == digest
    assert rows_digest(TABLE.select(TABLE.column_names[::-1])) == digest


def test_every_column_and_its_name_counts() -> None:
    digests = {rows_digest(TABLE), rows_digest(TABLE.slice(1)), rows_digest(pa.concat_tables([TABLE, TABLE]))}
    for index, name in enumerate(TABLE.column_names):
        changed = pa.concat_arrays([TABLE[name].combine_chunks().slice(1), TABLE[name].combine_chunks().slice(0, 1)])
        digests.add(rows_digest(TABLE.set_column(index, name, changed)))
        digests.add(rows_digest(TABLE.drop_columns([name])))
        digests.add(rows_digest(TABLE.rename_columns({name: f"{name}!"})))
    assert len(digests) == 3 + 3 * len(TABLE.column_names)


def test_a_change_of_one_score_in_its_last_bit() -> None:
    scores = TABLE["score"].to_numpy().copy()
    scores[7] = np.nextafter(scores[7], 1)
    index = TABLE.column_names.index("score")
    assert rows_digest(TABLE.set_column(index, "score", [pa.array(scores)])) != rows_digest(TABLE)


def test_hashes_of_rows() -> None:
    hashes = row_hashes(TABLE)
    assert hashes.shape == (500, 2)
    assert len(np.unique(hashes[:, 0])) == 500
    assert row_hashes(TABLE.slice(0, 0)).shape == (0, 2)
    assert rows_digest(TABLE.slice(0, 0)) == 0


def test_the_digest_stays_what_it_is() -> None:
    table = pa.table({"image_id": ["a", None], "score": pa.array([0.5, 0.25], pa.float32())})
    assert f"{rows_digest(table):032x}" == "64ed2fed222a3d888a6bdf62d034be07"
