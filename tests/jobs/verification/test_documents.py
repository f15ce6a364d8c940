from __future__ import annotations

import json
from typing import Any

import pytest
from published import PublishedRun

from jobs.verification.documents import read_config, read_manifest, read_record

RUN = PublishedRun(redrives=["r0"])
RECORD, MANIFEST = (json.loads(RUN.files[f"runs/r1/{name}"]) for name in ("run.json", "manifest.json"))


def test_a_record() -> None:
    record = read_record(json.dumps(RECORD).encode())
    assert (record.run_id, record.mode, record.fingerprint) == ("r1", "full", "m0123456789abcde")
    assert (record.num_listed, record.num_shards, record.redrives) == (8, 2, ["r0"])
    del RECORD["redrives"]
    assert read_record(json.dumps(RECORD).encode()).redrives == []


def test_a_manifest() -> None:
    manifest = read_manifest(json.dumps(MANIFEST).encode())
    assert (manifest.num_listed, manifest.num_ok, manifest.num_errors, manifest.redriven_by) == (8, 7, 1, None)
    assert [(entry.folder, entry.num_rows) for entry in manifest.entries] == [("rows", 3), ("rows", 4), ("errors", 1)]
    assert manifest.entries[0].spans.tolist() == [[0, 0, 1], [0, 2, 4]]
    assert manifest.entries[0].file.endswith(f"-{manifest.entries[0].digest}.parquet")
    assert read_manifest(json.dumps(MANIFEST | {"redriven_by": "r2"}).encode()).redriven_by == "r2"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"num_ok": None}, "num_ok=None is not of type int"),
        ({"num_ok": True}, "num_ok=True is not of type int"),
        ({"num_ok": "7"}, "num_ok='7' is not of type int"),
        ({"inventory_digest": 3}, "inventory_digest=3 is not of type str"),
        ({"rows": {}}, "rows={} is not of type list"),
        ({"rows": [3]}, "rows: an entry has no ranges"),
        ({"rows": [{"file": "x"}]}, "rows: an entry has no ranges"),
        ({"errors": [{"ranges": {"0": [[0, 1]]}}]}, "file is missing"),
        ({"errors": [{"ranges": [[0, 1]]}]}, "not ranges by shard"),
        ({"redriven_by": 3}, "redriven_by=3 is not of type str"),
    ],
)
def test_what_is_not_of_the_format_names_the_key(change: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        read_manifest(json.dumps(MANIFEST | change).encode())


@pytest.mark.parametrize("data", [b"", b"\xff", b"[]", b"3", b"{}", b'{"run_id": "r1"'])
def test_what_is_no_document(data: bytes) -> None:
    for read in (read_record, read_manifest):
        with pytest.raises(ValueError, match=r".+"):
            read(data)


@pytest.mark.parametrize(
    ("task", "gives_ratios"),
    [
        ("  name: classify\n  activation: sigmoid\n", True),
        ("  name: classify\n  activation: none\n", False),
        ("  name: zero_shot\n  prompts:\n    activation: none\n", True),
        ("  name: embed\n", False),
    ],
)
def test_scores_are_ratios_after_an_activation_and_with_texts(task: str, *, gives_ratios: bool) -> None:
    config = read_config(f"model:\n  name: zero_shot\ntask:\n{task}output:\n  path: x\n".encode())
    assert config.gives_ratios is gives_ratios
