"""An .onnx file brings its own network: keys of a state_dict do not go with it, and PyTorch does not run it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from networks import tiny
from onnx_models import save_onnx

from actors.errors import JobError
from actors.models.forms import form_of
from actors.models.network import build_network
from actors.models.spec import Model

if TYPE_CHECKING:
    from pathlib import Path


def test_its_files_are_the_graph_and_its_external_data(tmp_path: Path) -> None:
    save_onnx(tiny(), tmp_path / "a.onnx", external=True)
    model = Model(checkpoint=str(tmp_path / "a.onnx"))
    form = form_of(model)
    assert form.files(model) == [str(tmp_path / "a.onnx"), str(tmp_path / "data/weights.bin")]
    before = form.digest(model)
    (tmp_path / "data/weights.bin").write_bytes(b"other weights")
    assert form.digest(model) != before
    opened = form.graph_file(model)
    assert opened is not None
    with opened as file:
        assert (file.path, file.is_exported) == (tmp_path / "a.onnx", False)


def test_it_has_no_network_for_pytorch() -> None:
    model = Model(checkpoint="a.onnx")
    assert form_of(model).network(model) is None
    with pytest.raises(JobError, match=r"a\.onnx: holds no PyTorch network\n.*engine=onnxruntime"):
        build_network(model)


def test_keys_of_a_state_dict_are_refused_together() -> None:
    model = Model("package:Net", checkpoint="a.onnx", prefix="encoder.")
    message = r"yet model\.architecture=package:Net, model\.prefix=encoder\.\n.*architecture=null model\.prefix=null"
    with pytest.raises(JobError, match=message):
        form_of(model).check_keys(model)
