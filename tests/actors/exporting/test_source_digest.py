from __future__ import annotations

import gc
import importlib
import os
import subprocess
import sys
import types
from importlib import metadata
from pathlib import Path

import PIL.Image
import pytest

from actors.exporting.source_digest import (
    architecture_source,
    loaded_sources,
    package_digest,
    source_digest,
    version,
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Yields a folder of modules, which are unloaded afterwards."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.mark.parametrize(
    ("module", "file"),
    [("shapes", "shapes.py"), ("pack", "pack/__init__.py"), ("pack.deep.net", "pack/deep/net.py")],
)
def test_a_change_shows_and_nothing_is_imported(folder: Path, module: str, file: str) -> None:
    for name in ("pack/__init__.py", "pack/deep/__init__.py", file):
        write(folder / name, "raise RuntimeError('imported')")
    before = architecture_source(f"{module}:Net")
    assert len(before) == 64
    assert architecture_source(f"{module}:Other") == before
    write(folder / file, "x = 1")
    assert architecture_source(f"{module}:Net") not in {"", before}


def test_folders_without_init_are_packages_too(folder: Path) -> None:
    write(folder / "space" / "inner" / "net.py", "x = 1")
    assert source_digest("space.inner.net")
    assert source_digest("space.inner") == ""


@pytest.mark.parametrize(
    "module", ["nowhere", "nowhere.net", "actors.nowhere", "actors.errors.deeper", "__main__", "sys"]
)
def test_what_has_no_file_has_no_digest(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules["__main__"], "__spec__", None)  # as in a script; ``python -m`` sets it
    assert source_digest(module) == ""


def test_a_library_of_networks_is_known_by_its_version() -> None:
    assert version("numpy") == metadata.version("numpy")
    assert version("no-such-distribution") == ""
    assert architecture_source("timm:resnet18") == version("timm")


def test_what_a_module_imports_counts_as_long_as_it_may_change(folder: Path) -> None:
    write(folder / "pack" / "__init__.py", "")
    write(folder / "pack" / "layers.py", "x = 1")
    write(folder / "beside.py", "import json, pack.layers, PIL.Image")
    write(folder / "shapes.py", "import beside")
    importlib.import_module("shapes")
    sources = loaded_sources("shapes:Net")
    assert {"shapes", "beside", "pack", "pack.layers"} <= sources.keys()
    assert not sources.keys() & {"json", PIL.Image.__name__, "actors.exporting.source_digest", "__main__"}
    assert sources["pack.layers"] == source_digest("pack.layers")
    write(folder / "pack" / "layers.py", "x = 2")
    assert sources["pack.layers"] != source_digest("pack.layers")


def test_the_package_of_the_architecture_counts_where_it_is_installed() -> None:
    assert PIL.Image.__name__ in loaded_sources("PIL.nets:Net")


def test_a_module_that_runs_as_a_command_counts_under_its_own_name(folder: Path) -> None:
    write(
        folder / "tool.py",
        "from actors.exporting.source_digest import loaded_sources\nprint(sorted(loaded_sources('none:Net')))",
    )
    environment = os.environ | {"PYTHONPATH": f"{folder}{os.pathsep}{Path(__file__).parents[3]}"}
    command = [sys.executable, "-m", "tool"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment, timeout=60)
    assert done.stdout == "[]\n"


def test_a_package_changes_with_any_of_its_files(folder: Path) -> None:
    for name in ("pile/__init__.py", "pile/deep/net.py"):
        write(folder / name, "")
    before = package_digest("pile")
    assert package_digest("pile") == before
    write(folder / "pile/notes.txt", "no code")
    assert package_digest("pile") == before
    write(folder / "pile/deep/net.py", "x = 1")
    assert package_digest("pile") != before


def test_loaded_sources_while_another_module_is_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    modules = dict(sys.modules)

    def imports_one(_phase: str, _info: dict[str, int]) -> None:
        modules[f"imported_meanwhile_{len(modules)}"] = types.ModuleType("imported_meanwhile")

    monkeypatch.setattr(sys, "modules", modules)
    threshold = gc.get_threshold()
    gc.callbacks.append(imports_one)
    gc.set_threshold(1)
    try:
        loaded_sources("timm:resnet18")
    finally:
        gc.set_threshold(*threshold)
        gc.callbacks.remove(imports_one)
