"""Digests of a network's source code, computed without importing it. Runs in each worker that looks up an exported
network.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
import sysconfig
from importlib import metadata
from importlib.machinery import PathFinder
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec


def version(distribution: str) -> str:
    """Returns the installed version of a distribution; empty if not installed."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return ""


def architecture_source(architecture: str) -> str:
    """Returns the version of the library, or the digest of the module, named by ``architecture``; empty if not found.

    Covers only the module's file, not its imports: see `loaded_sources`.
    """
    package = architecture.partition(":")[0]
    return version(package) if package in _ZOOS else source_digest(package)


def loaded_sources(architecture: str) -> dict[str, str]:
    """Returns `source_digest` by name, for the imported modules that may belong to ``architecture``.

    These are the modules of its package, and all modules outside Python, installed packages and this project. Omits
    modules without a file, such as those in a zip archive.
    """
    package = architecture.partition(":")[0].partition(".")[0]
    sources = {}
    for name, module in sys.modules.copy().items():  # list() allocates: another thread may import meanwhile
        file, spec = getattr(module, "__file__", None), getattr(module, "__spec__", None)
        if spec is not None and spec.name != name:  # __main__ of python -m, and its copy in child processes
            continue
        if file and _may_change(name, file, package) and _origin(name) == file:
            sources[name] = source_digest(name)
    return sources


def source_digest(module: str) -> str:
    """Returns the hexadecimal SHA-256 of the file that importing ``module`` would read; empty if none."""
    origin = _origin(module)
    try:
        return hashlib.sha256(Path(origin).read_bytes()).hexdigest() if origin else ""
    except OSError:  # inside an archive, or not a file
        return ""


def package_digest(package: str) -> str:
    """Returns the hexadecimal SHA-256 of all Python files of an installed package."""
    digest = hashlib.sha256()
    folder = Path(importlib.import_module(package).__path__[0])
    for path in sorted(folder.rglob("*.py")):
        digest.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


_ZOOS = ("timm", "torchvision", "transformers")
_OURS = ("actors", "conf", "jobs")
_INSTALLED = ("site-packages", "dist-packages")
_PYTHON = Path(sysconfig.get_path("stdlib"))


def _may_change(name: str, file: str, package: str) -> bool:
    path, first = Path(file), name.partition(".")[0]
    if first in (*_ZOOS, *_OURS):  # whose versions are part of the key
        return False
    return first == package or not (path.is_relative_to(_PYTHON) or set(_INSTALLED) & set(path.parts))


def _origin(module: str) -> str | None:
    """Returns a module's path, found without importing it or its parent packages."""
    first, *rest = module.split(".")
    try:
        spec: ModuleSpec | None = importlib.util.find_spec(first)
    except ValueError:  # __main__ and modules created in code have no spec
        return None
    for name in rest:
        if spec is None or spec.submodule_search_locations is None:
            return None
        spec = PathFinder.find_spec(name, list(spec.submodule_search_locations))
    return spec.origin if spec else None
