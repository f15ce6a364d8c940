"""An IR runs only in OpenVINO, which is its own reference, and gives the answers of its source network."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from networks import tiny
from programs import save_ir

from actors.errors import JobError
from actors.models.forms import form_of
from actors.models.network import build_network

if TYPE_CHECKING:
    from places import Place


@pytest.mark.parametrize("half", [False, True])
def test_its_files_are_the_graph_and_its_weights(tmp_path: Path, *, half: bool) -> None:
    model = save_ir(tiny(), tmp_path / "A b.xml", half=half)
    form = form_of(model)
    assert form.files(model) == [str(tmp_path / "A b.xml"), str(tmp_path / "A b.bin")]
    before = form.digest(model)
    opened = form.graph_file(model)
    assert opened is not None
    with opened as file:
        assert (file.path, file.precision) == (tmp_path / "A b.xml", "fp16" if half else "fp32")
    weights = bytearray((tmp_path / "A b.bin").read_bytes())
    weights[0] ^= 1
    (tmp_path / "A b.bin").write_bytes(weights)
    assert form.digest(model) != before


def test_weights_that_are_missing_are_reported(place: Place, tmp_path: Path) -> None:
    save_ir(tiny(), tmp_path / "a.xml")
    uri = place.put("a.xml", (tmp_path / "a.xml").read_bytes())
    model = replace(save_ir(tiny(), tmp_path / "a.xml"), checkpoint=uri, storage_options=place.options)
    with pytest.raises(JobError, match=rf"model\.checkpoint={uri}: its file of weights a\.bin is missing"):
        form_of(model).digest(model)


def test_the_pin_covers_both_files(tmp_path: Path) -> None:
    model = save_ir(tiny(), tmp_path / "a.xml")
    content = b"".join(Path(uri).read_bytes() for uri in form_of(model).files(model))
    pinned = replace(model, sha256=f"sha256:{hashlib.sha256(content).hexdigest().upper()}")
    assert form_of(pinned).digest(pinned) == form_of(model).digest(model)
    (tmp_path / "a.bin").write_bytes(b"other weights")
    with pytest.raises(JobError, match=r"(?s)its SHA-256 is .*`cat a\.xml a\.bin \| sha256sum`"):
        form_of(pinned).digest(pinned)


def test_it_has_no_network_for_pytorch(tmp_path: Path) -> None:
    with pytest.raises(JobError, match=r"holds no PyTorch network\n.*engine=openvino"):
        build_network(save_ir(tiny(), tmp_path / "a.xml"))
