"""Packs this project's code and the user's into one zip, which Ray unpacks on every node as the working directory of
driver and workers. Runs on the client. Identical files produce identical bytes.
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from actors.errors import JobError
from jobs.submission.source_files import source_files

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from jobs.submission.source_files import SourceFiles

# Uploaded with every job, so that driver and workers run this code, not the version in the cluster's image.
OUR_PACKAGES = ("jobs", "actors", "conf")
MAX_BYTES = 100 * 1024**2
"""Largest request that the head's HTTP server accepts (Ray's `DASHBOARD_CLIENT_MAX_SIZE`)."""


@dataclass(frozen=True)
class CodeArchive:
    """Files to upload.

    Args:
        files: file or its content, by path relative to the working directory.
        left_out: reasons for the user's files that are not uploaded, by path on this machine.
    """

    files: dict[str, bytes | Path]
    left_out: dict[str, str]

    def write(self, target: Path, max_bytes: int = MAX_BYTES) -> int:
        """Writes the zip to ``target``; returns its size in bytes.

        Raises:
            JobError: the zip is too large for Ray, or a file cannot be read.
        """
        _write(self.files, target)
        num_bytes = target.stat().st_size
        # Checked here: the head rejects a larger body with status 413 only after the whole upload.
        if num_bytes >= max_bytes:
            raise JobError(
                f"cluster.py_modules: {_mib(num_bytes)} packed, but Ray accepts at most {_mib(max_bytes)}",
                fix="put weights and data in storage, or the code in the image, or list unneeded files in a "
                f".rayignore; the largest are {_largest(self.files)}",
            )
        return num_bytes

    def lines(self) -> Iterator[str]:
        """Yields size in bytes and path of each file, then each omitted file with the reason."""
        for name in sorted(self.files):
            yield f"{_size(self.files[name]):>12,}  {name}"
        for name in sorted(self.left_out):
            yield f"{'left out':>12}  {name}: {self.left_out[name]}"


def gather_code(py_modules: Sequence[str]) -> CodeArchive:
    """Collects this project's code and that of ``py_modules``.

    A folder with an ``__init__.py`` keeps its name; of any other folder, only the content is uploaded. Wheels are
    unpacked, so that no node needs pip or an index. `source_files` selects the files of a folder.

    Raises:
        JobError: an entry is missing or has no code, or two entries hold the same file.
    """
    code = CodeArchive({name: file for package in OUR_PACKAGES for name, file in _package(package)}, {})
    files = code.files
    files |= _own_metadata()
    for entry in py_modules:
        for name, content in _entry(entry, code.left_out):
            # The same file twice, as from overlapping entries, is not a conflict.
            if name.partition("/")[0] in OUR_PACKAGES or files.get(name, content) != content:
                raise JobError(
                    f"cluster.py_modules={entry}: {name} exists already",
                    fix="rename it: all code of a job is unpacked into one folder, next to jobs, actors and conf",
                )
            files[name] = content
    return code


# A constant time, the earliest that a zip can hold: identical code is an identical zip, which Ray uploads once.
_EPOCH = (1980, 1, 1, 0, 0, 0)


def _package(name: str) -> Iterator[tuple[str, Path]]:
    """Yields the files of a package that this process imports, from a checkout or an installed wheel."""
    # Found through the import system: an installed wheel has no checkout nearby.
    spec = find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise JobError(f"the package {name} cannot be found", fix="install shardlens, or run in its checkout")
    yield from _below(source_files(Path(next(iter(spec.submodule_search_locations)))), name)


def _below(found: SourceFiles, prefix: str) -> Iterator[tuple[str, Path]]:
    for name, file in found.sent.items():
        yield f"{prefix}/{name}" if prefix else name, file


def _own_metadata() -> dict[str, bytes | Path]:
    """Returns the metadata of the running shardlens, so that its version is reported instead of the image's."""
    try:
        own = distribution("shardlens")
    except PackageNotFoundError:  # a checkout that was not installed
        return {}
    return {f"shardlens-{own.version}.dist-info/METADATA": (own.read_text("METADATA") or "").encode()}


def _entry(entry: str, left_out: dict[str, str]) -> Iterator[tuple[str, bytes | Path]]:
    path = Path(entry).expanduser()
    if path.is_dir():
        found = source_files(path)
        left_out |= {f"{entry.rstrip('/')}/{name}": reason for name, reason in found.left_out.items()}
        files = list(_below(found, found.root.name if (path / "__init__.py").is_file() else ""))
        if not any(name.endswith(".py") for name, _ in files):
            raise JobError(f"cluster.py_modules={entry}: has no Python module", fix="give the folder that has yours")
        yield from files
    elif path.is_file() and path.suffix == ".py":
        yield path.name, path
    elif path.is_file() and path.suffix == ".whl":
        yield from _unpacked(entry, path)
    else:
        seen = "neither a folder nor a .py nor a .whl file" if path.exists() else "no such file or folder"
        raise JobError(f"cluster.py_modules={entry}: {seen}", fix="give folders, .py files and wheels of this machine")


def _unpacked(entry: str, wheel: Path) -> Iterator[tuple[str, bytes]]:
    """Yields the files of a wheel at their installed paths; scripts and headers are omitted."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            members = {name: archive.read(name) for name in archive.namelist() if not name.endswith("/")}
    except (zipfile.BadZipFile, OSError) as error:
        raise JobError(f"cluster.py_modules={entry}: not a wheel: {error}", fix="build it again") from error
    # NAME.data/ of a wheel holds files for other locations; purelib and platlib belong on the import path.
    for name, content in members.items():
        top, _, rest = name.partition("/")
        kind, _, inner = rest.partition("/")
        if not top.endswith(".data"):
            yield name, content
        elif kind in {"purelib", "platlib"}:
            yield inner, content


def _write(files: dict[str, bytes | Path], target: Path) -> None:
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(files):
            content = files[name]
            info = zipfile.ZipInfo(name, _EPOCH)
            info.external_attr = 0o644 << 16  # Unix permissions, in the upper half; constant like the times
            archive.writestr(info, _read(content) if isinstance(content, Path) else content, zipfile.ZIP_DEFLATED)


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise JobError(
            f"cluster.py_modules: {file} cannot be read: {error.strerror}",
            fix="make it readable for this user, or list it in a .rayignore",
        ) from error


def _largest(files: dict[str, bytes | Path]) -> str:
    sizes = {name: _size(content) for name, content in files.items()}
    names = sorted(sizes, key=lambda name: sizes[name], reverse=True)[:3]
    return ", ".join(f"{name} ({_mib(sizes[name])})" for name in names)


def _size(content: bytes | Path) -> int:
    return content.stat().st_size if isinstance(content, Path) else len(content)


def _mib(num_bytes: int) -> str:
    return f"{num_bytes / 1024**2:.1f} MiB"
