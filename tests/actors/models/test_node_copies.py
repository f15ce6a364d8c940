from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from web import serve_folder

from actors.errors import JobError
from actors.models.model_files import sibling
from actors.models.node_copies import local_copy, pinned_content
from actors.models.spec import Model
from actors.storage.store import Storage

if TYPE_CHECKING:
    from places import Place


def read(model: Model) -> tuple[bytes, bytes]:
    with local_copy(model, lambda _: ["data/b"]) as path:
        return path.read_bytes(), (path.parent / "data" / "b").read_bytes()


def test_the_files_are_in_place(place: Place) -> None:
    model = Model(checkpoint=place.put("a.onnx", b"graph"), storage_options=place.options)
    place.put("data/b", b"weights")
    assert read(model) == (b"graph", b"weights")
    place.put("data/b", b"other weights")
    assert read(model) == (b"graph", b"other weights")
    Storage(place.options).delete([sibling(model.checkpoint, "data/b")])
    with pytest.raises((JobError, FileNotFoundError), match="data/b"):
        read(model)


def test_several_actors_fetch_it_once(tmp_path: Path) -> None:
    (tmp_path / "a.pt").write_bytes(b"weights" * 1000)
    with serve_folder(tmp_path) as (address, requests):
        model = Model(checkpoint=f"{address}/a.pt?token=x")
        with ThreadPoolExecutor(4) as actors:
            contents = set(actors.map(lambda _: _content(model), range(8)))
        num_versions = 2 + 8 * 2  # each actor requests it, and compares or records it
    assert contents == {b"weights" * 1000}
    assert len(requests) <= num_versions + 1


def test_nothing_is_kept_where_nothing_can_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.pt").write_bytes(b"weights")
    (tmp_path / "file").touch()
    monkeypatch.setenv("SHARDLENS_CACHE", str(tmp_path / "file"))
    with serve_folder(tmp_path) as (address, _), local_copy(Model(checkpoint=f"{address}/a.pt")) as path:
        assert path.read_bytes() == b"weights"
    assert not path.exists()


def test_only_the_pinned_content_is_returned(tmp_path: Path) -> None:
    (tmp_path / "a.pt2").write_bytes(b"program")
    with pytest.raises(JobError, match="its SHA-256 is"):
        pinned_content(Model(checkpoint=str(tmp_path / "a.pt2"), sha256="0" * 64))


def _content(model: Model) -> bytes:
    with local_copy(model) as path:
        return Path(path).read_bytes()
