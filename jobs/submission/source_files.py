"""Which files of a folder go to the cluster, and which stay behind and why: secrets, caches, environments, links that
lead out, and what an ignore file names. Runs on the client.
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
"""Patterns in the syntax of Git, in the folder itself and in those below it."""


@dataclass
class SourceFiles:
    """What was found below a folder.

    Args:
        root: the folder, with no link in its path.
        sent: files by their path below ``root``, with forward slashes.
        left_out: why the others stay, by their path; a folder that stays as a whole is one entry, which ends in a
            slash. Caches of Python are not told.
    """

    root: Path
    sent: dict[str, Path] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)


def source_files(folder: Path) -> SourceFiles:
    """Everything below ``folder``, sorted by path."""
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
    """Path below ``root``, file, and None where it is sent, of all below ``folder``."""
    specs = [*above, *_specs(folder)]
    for path in sorted(folder.iterdir()):
        is_folder = path.is_dir() and not path.is_symlink()
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
    return file.read_text(encoding="utf-8", errors="surrogateescape").splitlines()


def _reason(path: Path, root: Path, specs: _Specs) -> str | None:
    """Why ``path`` stays; None where it goes, or where it is a folder to look into."""
    if path.is_symlink():
        target = Path(os.path.realpath(path))  # of a link to itself, that link
        if not target.is_relative_to(root) or not target.is_file():
            return "link, and not to a file of this folder"
        if reason := _reason_of_parts(target.relative_to(root), root):
            return reason
    if path.name == "__pycache__" or path.suffix == ".pyc":
        return _CACHE
    for folder, spec in specs:
        if spec.match_file(path.relative_to(folder).as_posix() + "/" * path.is_dir()):
            return "named in an ignore file"
    return _reason_of_parts(path.relative_to(path.parent), path.parent)


def _reason_of_parts(name: Path, folder: Path) -> str | None:
    """The first reason among the parts of the path ``name`` below ``folder``."""
    for part in name.parts:
        folder = folder / part
        if part.startswith("."):
            return "hidden"
        if folder.is_dir() and ((folder / "pyvenv.cfg").exists() or (folder / "conda-meta").exists()):
            return "virtual environment"
        if folder.is_file() and is_key(folder):
            return "key or password"
        if not folder.is_dir() and not folder.is_file():
            return "not a regular file"
    return None
