"""Reads the WebDataset samples of a tar from headers and small texts only. Runs on the driver."""

from __future__ import annotations

import json
import os
import tarfile
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, BinaryIO, NamedTuple
from urllib.parse import quote_from_bytes

from actors.errors import JobError
from actors.messages import redacted
from jobs.datasets.passed_over import PassedOver

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

KEY = "__key__"


class Member(NamedTuple):
    """A regular file in a tar, and the byte range of its content."""

    name: str
    offset: int
    size: int


@dataclass
class TarSample:
    """Consecutive members that share their path up to the first dot of the name, which is the key."""

    key: str
    members: dict[str, Member] = field(default_factory=dict)
    """Members by suffix: the rest of the name, in lower case."""
    texts: dict[str, str] = field(default_factory=dict)
    """Texts by column: from the member with that suffix, or the value in the ``json`` member."""


def read_samples(
    source: BinaryIO, uri: str, columns: Collection[str], passed_over: PassedOver | None = None
) -> Iterator[TarSample]:
    """Yields the samples of a tar in order, with their ``columns``.

    Percent-encodes a name that is not UTF-8. A hard link is resolved to its target. Other entries, and names without a
    suffix or with a part that starts with a dot, are skipped and counted by reason. A lone surrogate in a JSON string
    becomes U+FFFD.

    Raises:
        JobError: the tar is compressed, damaged, truncated, or or followed by another one; or a text cannot be read.
    """
    passed_over = passed_over if passed_over is not None else PassedOver()
    sample: TarSample | None = None
    for member in _members(source, uri, passed_over):
        key, ending = _split(member.name)
        if not ending or _is_hidden(member.name):
            passed_over.add("hidden" if _is_hidden(member.name) else "extension", f"{uri}#{member.name}")
            continue
        if sample is None or sample.key != key or ending in sample.members:
            if sample is not None:
                yield sample
            sample = TarSample(key, texts={KEY: key})
        sample.members[ending] = member
        if ending in columns:
            sample.texts[ending] = _text(source, member, uri)
        elif ending == "json" and columns:
            sample.texts = {**_values(_text(source, member, uri), columns, member, uri), **sample.texts}
    if sample is not None:
        yield sample


_MAX_TEXT_BYTES = 16 << 20  # of a member read into memory by the listing, such as a caption
_MAGIC = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"\x28\xb5\x2f\xfd": "zstd"}
_TAIL_BYTES = 64 << 10  # more than the padding that tar writes after the end-of-archive marker


def _members(source: BinaryIO, uri: str, passed_over: PassedOver) -> Iterator[Member]:
    end = source.seek(0, os.SEEK_END)
    with _opened(source, uri) as tar:
        targets = _Targets(source)
        while (header := tar.next()) is not None:
            tar.members.clear()  # type: ignore[attr-defined]  # it would keep every header
            _check(header, end, uri)
            target = targets.of(header) if header.islnk() else header
            if target is not None and target.isreg():
                yield Member(_name(header), target.offset_data, target.size)
            elif not header.isdir():
                reason = "link" if header.islnk() or header.issym() else "special file"
                passed_over.add(reason, f"{uri}#{_name(header)}")
        _check_end(source, tar.offset, uri)


class _Targets:
    """Targets of hard links. Only a tar with hard links is read a second time, keeping its headers."""

    def __init__(self, source: BinaryIO) -> None:
        self._source = source
        self._headers: dict[str, tarfile.TarInfo] = {}
        self._tar: tarfile.TarFile | None = None

    def of(self, link: tarfile.TarInfo) -> tarfile.TarInfo | None:
        """Returns the target of ``link``, which precedes it; None if there is none."""
        if self._tar is None:
            self._source.seek(0)
            self._tar = tarfile.open(fileobj=self._source, mode="r:")  # noqa: SIM115  it closes with the source
        while self._tar.offset <= link.offset and (header := self._tar.next()) is not None:
            self._tar.members.clear()  # type: ignore[attr-defined]
            if header.isreg():
                self._headers[header.name] = header
            elif header.islnk() and header.linkname in self._headers:
                self._headers[header.name] = self._headers[header.linkname]
        return self._headers.get(link.linkname)


@contextmanager
def _opened(source: BinaryIO, uri: str) -> Iterator[tarfile.TarFile]:
    source.seek(0)
    try:
        # Without the colon, tarfile would decompress, and the offsets would be those of the decompressed stream.
        with tarfile.open(fileobj=source, mode="r:") as tar:
            yield tar
    except tarfile.TarError as error:
        raise _broken(uri, _compression(source) or str(error)) from error


def _check(header: tarfile.TarInfo, end: int, uri: str) -> None:
    if header.issparse():
        raise _broken(uri, f"{_name(header)} is a sparse file")
    # A size in base 256 can be negative, and tarfile accepts it.
    if header.size < 0 or (header.isreg() and header.offset_data + header.size > end):
        raise _broken(uri, f"{_name(header)} extends beyond the end of the tar, which may be truncated")


def _check_end(source: BinaryIO, offset: int, uri: str) -> None:
    """Raises JobError if tarfile took a bad header or the end of a truncated file for the end of the tar."""
    source.seek(offset)
    # tarfile stops silently at a bad header that is not the first, and at the end of the file.
    block = source.read(tarfile.BLOCKSIZE)
    if len(block) < tarfile.BLOCKSIZE:
        raise _broken(uri, "it has no end-of-archive marker, so it may be truncated")
    if any(block):
        raise _broken(uri, f"there is a damaged header at byte {offset}")
    if any(source.read(_TAIL_BYTES)):
        raise _broken(uri, "data follows its end-of-archive marker, as where several tars are concatenated")


def _compression(source: BinaryIO) -> str | None:
    source.seek(0)
    start = source.read(8)
    return next((f"it is compressed with {name}" for magic, name in _MAGIC.items() if start.startswith(magic)), None)


def _broken(uri: str, problem: str) -> JobError:
    return JobError(
        f"dataset.path={redacted(uri)}: {problem}",
        fix="recreate it as a plain tar, from which images can be read by byte range",
    )


def _name(header: tarfile.TarInfo) -> str:
    try:
        header.name.encode()
    except UnicodeEncodeError:
        return quote_from_bytes(os.fsencode(header.name))
    return header.name


def _split(name: str) -> tuple[str, str]:
    """Returns key and suffix; the suffix is empty if the name has none or starts with a dot."""
    folder, slash, base = name.rpartition("/")
    stem, _, ending = base.partition(".")
    return f"{folder}{slash}{stem}", ending.lower() if stem else ""


def _is_hidden(name: str) -> bool:
    return any(part.startswith(".") and part not in {".", ".."} for part in name.split("/"))


def _text(source: BinaryIO, member: Member, uri: str) -> str:
    if member.size > _MAX_TEXT_BYTES:
        raise _unreadable(member, uri, f"its text has {member.size:,} bytes, more than {_MAX_TEXT_BYTES:,}")
    source.seek(member.offset)
    try:
        return source.read(member.size).decode().strip()
    except UnicodeDecodeError as error:
        raise _unreadable(member, uri, "it is not UTF-8") from error


def _values(text: str, columns: Collection[str], member: Member, uri: str) -> dict[str, str]:
    try:
        fields = json.loads(text)
    except ValueError as error:
        raise _unreadable(member, uri, f"it is not JSON: {error}") from error
    if not isinstance(fields, dict):
        raise _unreadable(member, uri, "it is not a JSON object")
    found = {name: fields[name] for name in columns if fields.get(name) is not None}
    texts = {
        name: value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        for name, value in found.items()
    }
    return {name: _well_formed(text) for name, text in texts.items()}


def _well_formed(text: str) -> str:
    """Joins surrogate pairs, and replaces lone surrogates with U+FFFD."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _unreadable(member: Member, uri: str, problem: str) -> JobError:
    return JobError(
        f"dataset.path={redacted(uri)}: {member.name}: {problem}",
        fix="correct that member, or remove its columns from id_column, label_column and keep_columns",
    )
