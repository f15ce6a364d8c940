"""Selects the files of a folder to upload. Omits secrets, caches, virtual environments, links that lead outside and
ignored files, each with a reason. Runs on the client.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from pathspec import GitIgnoreSpec

from jobs.submission.key_files import is_key

if TYPE_CHECKING:
    from collections.abc import Iterator

IGNORE_FILES = (".rayignore", ".gitignore")
"""Files with patterns in Git's syntax, in the folder and its subfolders."""


@dataclass
class SourceFiles:
    """Files below a folder.

    Args:
        root: the folder, with links resolved.
        sent: files to upload, by path relative to ``root`` with forward slashes.
        left_out: reasons for the other files, by path; a whole folder is one entry that ends in a slash. Python's
            caches are omitted.
    """

    root: Path
    sent: dict[str, Path] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)


def source_files(folder: Path) -> SourceFiles:
    """Classifies all files below ``folder``, sorted by path."""
    found = SourceFiles(folder.resolve())
    for name, path, reason in _judged(found.root, found.root, []):
        if reason is None:
            found.sent[name] = path
        elif reason != _CACHE:
            found.left_out[name] = reason
    return found


_Specs = list[tuple[Path, GitIgnoreSpec]]

_CACHE = "cache"


def _judged(folder: Path, root: Path, above: _Specs) -> Iterator[tuple[str, Path, str | None]]:
    """Yields relative path, file, and the reason to omit it or None, for all files below ``folder``."""
    # Patterns of all levels apply, as in Git: an ignore file further down adds patterns for its own folder.
    specs = [*above, *_specs(folder)]
    for path in sorted(folder.iterdir()):
        is_folder = path.is_dir() and not path.is_symlink()  # links to folders could form a circle
        name = path.relative_to(root).as_posix() + "/" * is_folder
        reason = _reason(path, root, specs)
        if is_folder and reason is None:
            yield from _judged(path, root, specs)
        else:
            yield name, path, reason


def _specs(folder: Path) -> _Specs:
    files = [folder / name for name in IGNORE_FILES]
    return [(folder, GitIgnoreSpec.from_lines(_lines(file))) for file in files if file.is_file()]


def _lines(file: Path) -> list[str]:
    # Decoded like file names, so that a pattern of any bytes still matches its file.
    return file.read_text(encoding="utf-8", errors="surrogateescape").splitlines()


def _reason(path: Path, root: Path, specs: _Specs) -> str | None:
    """Returns the reason to omit ``path``; None for a file to upload or a folder to search."""
    if path.is_symlink():
        target = Path(os.path.realpath(path))  # a link to itself resolves to itself
        if not target.is_relative_to(root) or not target.is_file():
            return "link to something other than a file of this folder"
        # Checks the whole path of the target: a harmless name may link to `.env` or into a virtual environment.
        if reason := _reason_of_parts(target.relative_to(root), root):
            return reason
    if path.name == "__pycache__" or path.suffix == ".pyc":
        return _CACHE
    for folder, spec in specs:
        # A pattern that ends in a slash matches only a path that also ends in one.
        if spec.match_file(path.relative_to(folder).as_posix() + "/" * path.is_dir()):
            return "listed in an ignore file"
    return _reason_of_parts(path.relative_to(path.parent), path.parent)


def _reason_of_parts(name: Path, folder: Path) -> str | None:
    """Returns the first reason found among the components of the path ``name`` below ``folder``."""
    for part in name.parts:
        folder = folder / part
        if part.startswith("."):
            return "hidden"
        if folder.is_dir() and ((folder / "pyvenv.cfg").exists() or (folder / "conda-meta").exists()):
            return "virtual environment"
        if folder.is_file() and is_key(folder):
            return "key or password"
        # Packing would block on a named pipe, or never end on a device.
        if not folder.is_dir() and not folder.is_file():
            return "not a regular file"
    return None
