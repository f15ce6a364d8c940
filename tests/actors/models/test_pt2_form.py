from __future__ import annotations

import os
import pickle
import zipfile
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from networks import tiny
from programs import pinned, save_pt2

from actors.errors import JobError
from actors.models.forms import form_of
from actors.models.network import build_network

if TYPE_CHECKING:
    from pathlib import Path


class Creating:
    """Creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.path),)


def hostile(path: Path, target: Path) -> None:
    """Adds code to the archive at ``path`` that PyTorch unpickles."""
    with zipfile.ZipFile(path) as archive:
        contents = {info.filename: archive.read(info) for info in archive.infolist()}
    name = next(name for name in contents if name.endswith("sample_inputs/model.pt"))
    contents[name] = pickle.dumps(Creating(target))
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in contents.items():
            archive.writestr(name, content)


def test_it_is_refused_unless_it_is_pinned(tmp_path: Path) -> None:
    model = save_pt2(tiny(), tmp_path / "a.pt2")
    with pytest.raises(JobError, match=r"a\.pt2: a \.pt2 archive can hold code(.|\n)*sha256sum a\.pt2(.|\n)*\.onnx"):
        build_network(replace(model, sha256=""))
    assert form_of(model).digest(model) == model.sha256


def test_code_in_it_does_not_run(tmp_path: Path) -> None:
    model, target = save_pt2(tiny(), tmp_path / "a.pt2"), tmp_path / "created"
    hostile(tmp_path / "a.pt2", target)
    for refused in (replace(model, sha256=""), model):
        with pytest.raises(JobError, match=r"can hold code|its SHA-256 is [0-9a-f]{64}, not"):
            build_network(refused)
    assert not target.exists()
    with pytest.raises(JobError, match="does not load it"):  # pinned as it is, it does run
        build_network(pinned(tmp_path / "a.pt2"))
    assert target.exists()


def test_keys_of_a_state_dict_do_not_go_with_it(tmp_path: Path) -> None:
    model = replace(save_pt2(tiny(), tmp_path / "a.pt2"), prefix="encoder.")
    with pytest.raises(JobError, match=r"holds its own network, yet model\.prefix=encoder\."):
        form_of(model).check_keys(model)
