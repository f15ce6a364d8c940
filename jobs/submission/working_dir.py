"""What travels to the cluster: this code and the user's own, as one zip that Ray unpacks on every node and makes the
working directory of driver and workers. Packed on the client, the same bytes for the same files.
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

OUR_PACKAGES = ("jobs", "actors", "conf")
MAX_BYTES = 100 * 1024**2
"""What the head's HTTP server takes in one request (`DASHBOARD_CLIENT_MAX_SIZE` of Ray)."""


@dataclass(frozen=True)
class Parcel:
    """What would travel.

    Args:
        files: by the path below the working directory, a file or its content.
        left_out: why files of the user's folders stay, by their path on this machine.
    """

    files: dict[str, bytes | Path]
    left_out: dict[str, str]

    def write(self, target: Path, max_bytes: int = MAX_BYTES) -> int:
        """Writes the zip to ``target``; gives its size in bytes.

        Raises:
            JobError: the whole is too large for Ray, or a file cannot be read.
        """
        _write(self.files, target)
        num_bytes = target.stat().st_size
        if num_bytes >= max_bytes:
            raise JobError(
                f"cluster.py_modules: {_mib(num_bytes)} packed, and Ray takes no more than {_mib(max_bytes)}",
                cure="put weights and data into storage, or the code into the image, or name what is not needed in "
                f"a .rayignore; the largest are {_largest(self.files)}",
            )
        return num_bytes

    def lines(self) -> Iterator[str]:
        """One line a file: its size in bytes and its path; then one for each that stays, with the reason."""
        for name in sorted(self.files):
            yield f"{_size(self.files[name]):>12,}  {name}"
        for name in sorted(self.left_out):
            yield f"{'left out':>12}  {name}: {self.left_out[name]}"


def gather(py_modules: Sequence[str]) -> Parcel:
    """This code, and that of ``py_modules``.

    A folder of ``py_modules`` with an ``__init__.py`` travels under its name, of one without what it holds; a wheel is
    unpacked, so that no node needs pip or an index. `source_files` says what of a folder stays.

    Raises:
        JobError: an entry is not there or no code, or two hold the same file.
    """
    parcel = Parcel({name: file for package in OUR_PACKAGES for name, file in _package(package)}, {})
    files = parcel.files
    files |= _own_metadata()
    for entry in py_modules:
        for name, content in _entry(entry, parcel.left_out):
            if name.partition("/")[0] in OUR_PACKAGES or files.get(name, content) != content:
                raise JobError(
                    f"cluster.py_modules={entry}: {name} is there already",
                    cure="rename it: all code of a job is unpacked into one folder, beside jobs, actors and conf",
                )
            files[name] = content
    return parcel


_EPOCH = (1980, 1, 1, 0, 0, 0)  # no times, so that the same code is the same package, and sent once


def _package(name: str) -> Iterator[tuple[str, Path]]:
    """The files of a package that this process imports, from a checkout or from a wheel."""
    spec = find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise JobError(f"the package {name} is not here", cure="install shardlens, or start in its checkout")
    yield from _below(source_files(Path(next(iter(spec.submodule_search_locations)))), name)


def _below(found: SourceFiles, prefix: str) -> Iterator[tuple[str, Path]]:
    for name, file in found.sent.items():
        yield f"{prefix}/{name}" if prefix else name, file


def _own_metadata() -> dict[str, bytes | Path]:
    """What tells the version of shardlens that runs, whichever one the image has."""
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
            raise JobError(f"cluster.py_modules={entry}: no Python module in it", cure="name the folder that has yours")
        yield from files
    elif path.is_file() and path.suffix == ".py":
        yield path.name, path
    elif path.is_file() and path.suffix == ".whl":
        yield from _unpacked(entry, path)
    else:
        seen = "neither a folder nor a .py nor a .whl file" if path.exists() else "no such file or folder"
        raise JobError(f"cluster.py_modules={entry}: {seen}", cure="give folders, .py files and wheels of this machine")


def _unpacked(entry: str, wheel: Path) -> Iterator[tuple[str, bytes]]:
    """The files of a wheel where an installer would put them; scripts and headers are left out."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            members = {name: archive.read(name) for name in archive.namelist() if not name.endswith("/")}
    except (zipfile.BadZipFile, OSError) as error:
        raise JobError(f"cluster.py_modules={entry}: not a wheel: {error}", cure="build it again") from error
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
            info.external_attr = 0o644 << 16
            archive.writestr(info, _read(content) if isinstance(content, Path) else content, zipfile.ZIP_DEFLATED)


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise JobError(
            f"cluster.py_modules: {file} cannot be read: {error.strerror}",
            cure="let this user read it, or name it in a .rayignore",
        ) from error


def _largest(files: dict[str, bytes | Path]) -> str:
    sizes = {name: _size(content) for name, content in files.items()}
    names = sorted(sizes, key=lambda name: sizes[name], reverse=True)[:3]
    return ", ".join(f"{name} ({_mib(sizes[name])})" for name in names)


def _size(content: bytes | Path) -> int:
    return content.stat().st_size if isinstance(content, Path) else len(content)


def _mib(num_bytes: int) -> str:
    return f"{num_bytes / 1024**2:.1f} MiB"
