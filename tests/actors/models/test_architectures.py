from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import networks
import pytest
from torch import nn

from actors.errors import JobError
from actors.models.architectures import check_architecture, construct

if TYPE_CHECKING:
    from pathlib import Path

# A zoo with the relevant functions of timm and torchvision, which may be missing beside a CPU build of PyTorch.
ZOO = """
def list_models():
    return ["resnet18", "resnet50", "vit_small"]

def create_model(name, pretrained=True, **kwargs):
    return ("create_model", name, pretrained, kwargs)

def get_model_builder(name):
    return with_backbone if name == "resnet50" else plain

def get_model(name, **kwargs):
    return ("get_model", name, kwargs)

def plain(*, weights="DEFAULT", **kwargs): ...
def with_backbone(*, weights="DEFAULT", weights_backbone="DEFAULT", **kwargs): ...
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Yields a folder of importable modules, which are unloaded after the test."""
    for name in [name for name in sys.modules if name.partition(".")[0] in ("timm", "torchvision")]:
        monkeypatch.delitem(sys.modules, name)  # the real libraries, imported by other tests
    known = set(sys.modules)
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    for name in set(sys.modules) - known:
        del sys.modules[name]


def test_a_callable_gets_the_arguments() -> None:
    network = construct("networks:tiny", {"num_classes": 3})
    assert isinstance(network, networks.Tiny)
    assert network.fc.out_features == 3


def test_an_attribute_of_an_attribute_is_found() -> None:
    assert isinstance(construct("networks:nn.Identity", {}), nn.Identity)


@pytest.mark.parametrize(
    "architecture", ["tiny", "networks:", ":tiny", "a b:c", "networks:tiny:x", "https://x/y:z", ""]
)
def test_a_malformed_architecture_is_refused_before_any_import(architecture: str) -> None:
    with pytest.raises(JobError, match=r"names no module and callable\n.*package\.module:callable"):
        check_architecture(architecture)


@pytest.mark.parametrize(
    ("architecture", "message"),
    [
        ("nowhere_at_all:net", r"no module named nowhere_at_all\n.*folder that contains nowhere_at_all on PYTHONPATH"),
        ("networks.inner:net", r"model\.architecture=networks\.inner:net: no module named networks\.inner"),
        ("networks:tinny", r"there is no tinny in it\n.*did you mean tiny or Tiny"),
        ("networks:zzzzzz", r"there is no zzzzzz in it\n.*correct the name"),
        ("networks:nn.Lineal", r"Lineal"),
        ("networks:__name__", r"there is no __name__"),
        ("networks:annotations", r"is a _Feature, and cannot be called"),
    ],
)
def test_what_cannot_be_found_is_named_with_the_fix(architecture: str, message: str) -> None:
    with pytest.raises(JobError, match=message):
        construct(architecture, {})


def test_a_wrong_argument_is_named() -> None:
    with pytest.raises(JobError, match=r"networks:tiny with model\.kwargs=\{'classes': 3\}: TypeError: .*classes"):
        construct("networks:tiny", {"classes": 3})


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("import not_installed_here", r"importing broken failed: No module named 'not_installed_here'\n.*pip install"),
        ("def net(: pass", r"importing broken failed: SyntaxError"),
        ("1 / 0", r"importing broken failed: ZeroDivisionError: division by zero"),
        ("def net(): raise LookupError('no such depth\\nin the table')", r"LookupError: no such depth\n  fix"),
    ],
)
def test_what_a_users_module_raises_is_shown(folder: Path, source: str, message: str) -> None:
    (folder / "broken.py").write_text(source)
    with pytest.raises(JobError, match=message):
        construct("broken:net", {})


@pytest.mark.parametrize(
    ("architecture", "library"), [("timm:resnet50", "timm"), ("torchvision:resnet50", "torchvision")]
)
def test_a_missing_zoo_is_named_with_the_command_that_installs_it(
    architecture: str, library: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not (folder / library).exists()
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(JobError, match=rf"no module named {library}.*\n  fix: pip install 'shardlens\[{library}\]'$"):
        construct(architecture, {})


def test_a_zoo_that_cannot_be_imported_is_named_with_the_fix(folder: Path) -> None:
    (folder / "timm.py").write_text("raise RuntimeError('operator torchvision::nms does not exist')")
    with pytest.raises(
        JobError, match=r"importing timm failed: .*nms.*\n  fix: torch \S+ and torchvision \S+ do not fit each other"
    ):
        construct("timm:resnet50", {})


def test_a_name_that_a_package_imports_on_demand_is_found(folder: Path) -> None:
    (folder / "lazy.py").write_text(
        "def __getattr__(name):\n if name == 'Net': return dict\n raise AttributeError(name)"
    )
    assert construct("lazy:Net", {"a": 1}) == {"a": 1}
    with pytest.raises(JobError, match="there is no Nets in it"):
        construct("lazy:Nets", {})


def test_timm_is_asked_for_no_pretrained_weights(folder: Path) -> None:
    (folder / "timm.py").write_text(ZOO)
    given = construct("timm:resnet50.a1_in1k", {"num_classes": 3})
    assert given == ("create_model", "resnet50.a1_in1k", False, {"num_classes": 3})
    with pytest.raises(JobError, match=r"there is no resnet5O in it\n.*did you mean resnet50"):
        construct("timm:resnet5O", {})


def test_torchvision_is_asked_for_no_pretrained_weights_of_any_part(folder: Path) -> None:
    (folder / "torchvision").mkdir()
    (folder / "torchvision" / "__init__.py").touch()
    (folder / "torchvision" / "models.py").write_text(ZOO)
    assert construct("torchvision:resnet18", {}) == ("get_model", "resnet18", {"weights": None})
    with_backbone = construct("torchvision:resnet50", {"num_classes": 3})
    assert with_backbone == ("get_model", "resnet50", {"weights": None, "weights_backbone": None, "num_classes": 3})
    with pytest.raises(JobError, match="there is no alexnet in it"):
        construct("torchvision:alexnet", {})
