from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from networks import tiny
from programs import save_script

from actors.errors import JobError
from actors.models.forms import form_of
from actors.models.network import build_network
from actors.models.spec import Model
from actors.models.state_dict_form import StateDictForm
from actors.models.torchscript_form import TorchScriptForm

if TYPE_CHECKING:
    from pathlib import Path


def test_it_is_refused_unless_it_is_pinned(tmp_path: Path) -> None:
    model = save_script(tiny(), tmp_path / "a.torchscript")
    with pytest.raises(JobError, match=r"a TorchScript archive can hold code(.|\n)*sha256sum a\.torchscript"):
        build_network(replace(model, sha256=""))
    assert form_of(model).digest(model) == model.sha256


def test_a_pt_file_is_one_if_it_is_pinned_and_has_no_architecture(tmp_path: Path) -> None:
    model = save_script(tiny(), tmp_path / "a.pt")
    assert isinstance(form_of(model), TorchScriptForm)
    for other in (replace(model, sha256=""), replace(model, architecture="networks:tiny")):
        assert isinstance(form_of(other), StateDictForm)
    with pytest.raises(JobError, match=r"contains only weights\n.*TorchScript.*model\.sha256"):
        replace(model, sha256="").check()
    with pytest.raises(JobError, match=r"is a TorchScript archive, which holds code\n.*model\.sha256"):
        build_network(Model("networks:tiny", checkpoint=model.checkpoint))


def test_a_changed_file_is_refused(tmp_path: Path) -> None:
    model = save_script(tiny(), tmp_path / "a.ts")
    data = bytearray((tmp_path / "a.ts").read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / "a.ts").write_bytes(data)
    for load in (form_of(model).digest, form_of(model).network):
        with pytest.raises(JobError, match=r"its SHA-256 is [0-9a-f]{64}, not model\.sha256"):
            load(model)
