"""The wheel and the sdist contain every file of the packages and nothing else: a missing template would go unnoticed
until someone installs them.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterable
from email import message_from_bytes
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("jobs", "actors", "conf")
SOURCES = {"pyproject.toml", "MANIFEST.in", "README.md", "LICENSE", "CHANGELOG.md", "constraints.txt"}
BUILD = "import sys; from setuptools import build_meta; print(getattr(build_meta, sys.argv[1])(sys.argv[2]))"


def build(kind: str, tree: Path, folder: Path) -> Path:
    command = [sys.executable, "-c", BUILD, f"build_{kind}", str(folder)]
    done = subprocess.run(command, cwd=tree, capture_output=True, text=True, timeout=120, check=True)
    return folder / done.stdout.splitlines()[-1]


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An sdist of a copy of the project, including tests and caches."""
    tree = tmp_path_factory.mktemp("tree")
    for name in PACKAGES:
        shutil.copytree(ROOT / name, tree / name)
    (tree / "tests").mkdir()
    for name in [*SOURCES, "tests/test_package.py"]:
        shutil.copy(ROOT / name, tree / name)
    return build("sdist", tree, tmp_path_factory.mktemp("sdist"))


@pytest.fixture(scope="module")
def wheel(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel that pip builds from the sdist."""
    tree = tmp_path_factory.mktemp("unpacked")
    with tarfile.open(sdist) as archive:
        archive.extractall(tree, filter="data")
    return build("wheel", next(tree.iterdir()), tmp_path_factory.mktemp("wheel"))


def package_files() -> set[str]:
    files = (file for name in PACKAGES for file in (ROOT / name).rglob("*") if file.is_file())
    return {file.relative_to(ROOT).as_posix() for file in files if "__pycache__" not in file.parts}


def without_metadata(names: Iterable[str], *folders: str) -> set[str]:
    return {name for name in names if not name.startswith(folders)}


def test_the_sdist_holds_the_packages_and_what_builds_them(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        names = [member.name.partition("/")[2] for member in archive if member.isfile()]
    assert without_metadata(names, "shardlens.egg-info/") == package_files() | SOURCES | {"PKG-INFO", "setup.cfg"}


def test_the_wheel_holds_every_file_of_the_packages_and_no_other(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert without_metadata(names, "shardlens-") == package_files()
    assert {name.rpartition(".")[2] for name in package_files()} > {"html", "css", "yaml", "safetensors", "typed"}


def test_the_wheel_says_what_it_is(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        files = {name.partition(".dist-info/")[2]: name for name in archive.namelist() if ".dist-info/" in name}
        about = message_from_bytes(archive.read(files["METADATA"]))
        assert archive.read(files["entry_points.txt"]).decode().split() == [
            *("[console_scripts]", "shardlens", "=", "jobs.cli.main:main")
        ]
        assert archive.read(files["licenses/LICENSE"]) == (ROOT / "LICENSE").read_bytes()
    assert (about["Name"], about["License-Expression"], about["Requires-Python"]) == (
        "shardlens",
        "Apache-2.0",
        ">=3.11",
    )
    assert about.get_payload(decode=True).strip() == (ROOT / "README.md").read_bytes().strip()
