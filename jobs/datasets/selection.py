"""Selects files below a path by name and kind, and counts the others by reason. Runs on the driver."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from actors.errors import JobError
from actors.messages import one_line, redacted
from actors.storage.local_files import oddity
from actors.storage.uris import is_remote, local_path
from jobs.datasets.passed_over import PassedOver

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


class Unreadable(StrEnum):
    """Handling of a folder below the dataset that cannot be read."""

    error = "error"
    """The job ends with an error that names it."""
    skip = "skip"
    """The folder is skipped, with a warning."""


@dataclass(frozen=True)
class Selection:
    """Rule that selects files below a folder or a prefix.

    Files and folders whose names start with a dot or an underscore are skipped, as in pyarrow, Spark and DuckDB; the
    dataset's path itself may contain such names. Patterns are globs on the path below the dataset's; a pattern without
    a slash matches a name at any depth, and one that matches a folder includes everything in it.
    """

    suffixes: Sequence[str]
    """Suffixes to select, with the dot, in any case."""
    include: Sequence[str] = ()
    """If given, only names that match one of these are selected, including hidden ones."""
    exclude: Sequence[str] = ()
    """Names that match one of these are skipped."""
    unreadable: Unreadable = Unreadable.error
    allow_empty: bool = False
    """If true, a path without any file is not an error."""
    unsupported: Sequence[str] = ()
    """Suffixes of images that cannot be read here; they are counted separately from other files."""
    passed_over: PassedOver = field(default_factory=PassedOver)

    def keep(
        self, batch: pa.RecordBatch, base: str, *, spelled: Sequence[str] = (), whole: pa.Array | None = None
    ) -> pa.RecordBatch:
        """Selects files of a listing, and counts the others in `passed_over`.

        Args:
            batch: files in `LISTING_SCHEMA`.
            base: the given folder or prefix, or the part of a glob before its first wildcard.
            spelled: glob parts for single names; one that starts with a dot or underscore matches hidden names.
            whole: mask of the files to select whatever their suffix.
        """
        names = below(batch["uri"], base)
        has_suffix = ends_with(names, self.suffixes)
        fits = has_suffix if whole is None else pc.or_(has_suffix, whole)
        reasons: list[str | None] = [None] * len(batch)
        for row in _rows(pc.or_(pc.invert(fits), pc.is_null(batch["version"]))):
            reasons[row] = self._reason_of_kind(batch["uri"][row].as_py(), fits=fits[row].as_py())
        for row, reason in self._by_name(names, spelled):
            reasons[row] = reason
        self._count(batch["uri"], reasons)
        return batch.filter(pa.array([reason is None for reason in reasons], pa.bool_()))

    def pass_folder(self, folder: str, base: str, error: OSError) -> None:
        """Counts a folder that cannot be read, or raises JobError if that is an error."""
        (name,) = below(pa.array([folder]), base).to_pylist()
        names = name.split("/")
        # A pattern of include may match files in the folder, whatever the folder's name.
        reason = "excluded" if self._excludes(names) else None if self.include else _hidden(names, ())
        if reason is None and self.unreadable is Unreadable.error:
            raise JobError(
                f"dataset.path={redacted(base)}: the folder {redacted(folder)} in it cannot be read: {one_line(error)}",
                fix="grant this user read access, omit it with dataset.exclude, or skip all such "
                "folders with dataset.unreadable=skip",
            ) from error
        self.passed_over.add(reason or "unreadable", folder)

    def _by_name(self, names: pa.Array, spelled: Sequence[str]) -> Iterator[tuple[int, str]]:
        has_patterns = self.include or self.exclude
        # Without patterns Arrow finds the few hidden names, and the loop in Python sees only those.
        rows = range(len(names)) if has_patterns else _rows(pc.match_substring_regex(names, _HIDDEN))
        for row, name in zip(rows, names.take(pa.array(rows, pa.int64())).to_pylist(), strict=True):
            if reason := self._hides(name.split("/"), spelled):
                yield row, reason

    def _hides(self, names: Sequence[str], spelled: Sequence[str]) -> str | None:
        """Returns the reason to skip a path with these names; None if it is selected."""
        if self._excludes(names):
            return "excluded"
        if self.include:
            return None if any(_fits(names, pattern) for pattern in self.include) else "not included"
        return _hidden(names, spelled)

    def _excludes(self, names: Sequence[str]) -> bool:
        return any(_fits(names, pattern) for pattern in self.exclude)

    def _reason_of_kind(self, uri: str, *, fits: bool) -> str | None:
        if not fits:
            return "unsupported" if uri.lower().endswith(tuple(self.unsupported)) else "extension"
        return None if is_remote(uri) else oddity(local_path(uri))

    def _count(self, uris: pa.Array, reasons: Sequence[str | None]) -> None:
        """Counts files by suffix, so that the examples show each kind."""
        kinds: Counter[tuple[str, str]] = Counter()
        first: dict[tuple[str, str], str] = {}
        for row, reason in enumerate(reasons):
            if reason is not None:
                uri = uris[row].as_py()
                kind = (reason, os.path.splitext(uri)[1].lower())  # noqa: PTH122  a URI
                kinds[kind] += 1
                first.setdefault(kind, uri)
        for (reason, suffix), number in kinds.items():
            self.passed_over.add(reason, first[reason, suffix], number=number)


def below(uris: pa.Array, base: str) -> pa.Array:
    """Returns the paths of ``uris`` relative to the folder or prefix ``base``."""
    if not is_remote(base):
        base = os.fsdecode(local_path(base))
        if pc.any(pc.starts_with(uris, "file://")).as_py():
            decoded = [os.fsdecode(local_path(uri)) for uri in uris.to_pylist()]
            start = len(base.rstrip("/")) + 1
            # Names that are not UTF-8 are surrogates in Python, which Arrow does not accept.
            return pa.array([path[start:].encode(errors="replace").decode() for path in decoded], pa.string())
    return pc.utf8_slice_codeunits(uris, len(base.rstrip("/")) + 1)


def ends_with(names: pa.Array, suffixes: Sequence[str]) -> pa.Array:
    """Returns a mask of the strings that end in one of ``suffixes``, in any case."""
    lowered = pc.utf8_lower(names)
    found = pa.array([False] * len(names), pa.bool_())
    for suffix in suffixes:
        found = pc.or_(found, pc.ends_with(lowered, suffix.lower()))
    return found


def ends_of(names: Sequence[str], pattern: Sequence[str], start: int = 0) -> Iterator[int]:
    """Yields the positions in ``names`` at which a match of the glob ``pattern`` from ``start`` can end."""
    if not pattern:
        yield start
    elif pattern[0] == "**":
        for place in range(start, len(names) + 1):
            yield from ends_of(names, pattern[1:], place)
    elif start < len(names) and fnmatchcase(names[start], pattern[0]):
        yield from ends_of(names, pattern[1:], start + 1)


_SIGNS = (".", "_", "@eaDir")  # the last one contains thumbnails on a Synology NAS
_HIDDEN = r"(^|/)([._]|@eaDir)"


def _hidden(names: Sequence[str], spelled: Sequence[str]) -> str | None:
    for name in names:
        if name.startswith(_SIGNS) and not any(p[0] == name[0] and fnmatchcase(name, p) for p in spelled if p):
            return "underscore" if name.startswith("_") else "hidden"
    return None


def _fits(names: Sequence[str], pattern: str) -> bool:
    if "/" not in pattern:
        return any(fnmatchcase(name, pattern) for name in names)
    return any(ends_of(names, pattern.strip("/").split("/")))


def _rows(mask: pa.Array) -> list[int]:
    return list(pc.indices_nonzero(mask).to_pylist())
