"""Compares the files that a reader finds in a run's folders with the manifest, before the run is published and again
before later commands rely on it. Runs on the driver, while it holds the lease of the output.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq

from actors.storage.damage import is_damage
from actors.storage.uris import join, name_below
from actors.writing.run_paths import PART_NAME

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from actors.storage.store import Storage
    from actors.writing.run_paths import RunPaths


class UnreadableRunError(Exception):
    """The files in the run's folders do not match its manifest, so it is not published. Exit status 1."""


@dataclass(frozen=True)
class Discrepancy:
    """Differences between a run's folders and its manifest, as URIs."""

    missing: Sequence[str]
    """Files of the manifest that are absent, of a different size, or not named like a part."""
    late: Sequence[str]
    """Parts, staged ones included, that the manifest does not name: their writers finished too late or died."""
    foreign: Sequence[str]
    """Parquet files not written by us that readers would include."""


def compare(manifest: Mapping[str, Any], paths: RunPaths, storage: Storage) -> Discrepancy:
    """Compares names and sizes with the manifest, from one listing of each folder."""
    # After a redrive, the error rows belong to the later run, and their folder is empty.
    kinds = ("rows",) if "redriven_by" in manifest else ("rows", "errors")
    named = {uri: entry["size_bytes"] for kind in kinds for uri, entry in _named(manifest, kind, paths)}
    there = {uri: size for kind in kinds for uri, size in _listed(_folder(kind, paths), storage)}
    # Sizes, not digests: `repair` also calls this at the start of a job, where reading all parts would take too long.
    missing = [uri for uri, size in named.items() if there.get(uri) != size or not PART_NAME.fullmatch(_name(uri))]
    unnamed = sorted(there.keys() - (named.keys() - set(missing)))
    late = [uri for uri in unnamed if PART_NAME.fullmatch(_name(uri)) or _name(uri).startswith((".part-", ".empty-"))]
    # DuckDB's globs match hidden files too. Files with another suffix are skipped or rejected by readers.
    foreign = [uri for uri in unnamed if uri not in late and uri.lower().endswith(".parquet")]
    return Discrepancy(missing, late, foreign)


def check_readable(manifest: Mapping[str, Any], num_listed: int, paths: RunPaths, storage: Storage) -> None:
    """Counts rows as any reader of the folders would: by listing them and opening each footer.

    Args:
        manifest: manifest of the run about to be published.
        num_listed: number of images in its inventory.
        paths: paths of the run.
        storage: storage of the run.

    Raises:
        UnreadableRunError: the number of rows differs from the inventory, or a file from the manifest.
    """
    found = compare(manifest, paths, storage)
    problems = [f"{uri} is missing" for uri in found.missing]
    problems += [
        f"{uri} is not one of its parts, but readers would include it" for uri in (*found.late, *found.foreign)
    ]
    if not problems:
        problems = _wrong_counts(manifest, num_listed, paths, storage)
    if problems:
        more = f" (and {len(problems) - 1:,} more)" if len(problems) > 1 else ""
        raise UnreadableRunError(
            f"run {paths.run_id} was not published: {problems[0]}{more}; "
            "move files that are not part of this run elsewhere, then run the same command again"
        )


def _wrong_counts(manifest: Mapping[str, Any], num_listed: int, paths: RunPaths, storage: Storage) -> list[str]:
    named = [(uri, entry["num_rows"]) for kind in ("rows", "errors") for uri, entry in _named(manifest, kind, paths)]
    with ThreadPoolExecutor(_FOOTER_THREADS) as pool:
        counted = list(pool.map(lambda part: _num_rows(part[0], storage), named))
    wrong = [
        f"{uri} has {found:,} rows instead of {number:,}"
        for (uri, number), found in zip(named, counted, strict=True)
        if found != number
    ]
    # A wrong part explains the mismatch, and names the file.
    if not wrong and sum(counted) != num_listed:
        wrong = [f"its parts have {sum(counted):,} rows, but {num_listed:,} images are listed"]
    return wrong


_FOOTER_THREADS = 16  # concurrent storage requests


def _named(manifest: Mapping[str, Any], kind: str, paths: RunPaths) -> list[tuple[str, Mapping[str, Any]]]:
    return [(join(_folder(kind, paths), entry["file"]), entry) for entry in manifest[kind]]


def _folder(kind: str, paths: RunPaths) -> str:
    return paths.rows if kind == "rows" else paths.errors


def _name(uri: str) -> str:
    return uri.rpartition("/")[2]


def _listed(folder: str, storage: Storage) -> list[tuple[str, int | None]]:
    """Returns the URI, as formatted by `join`, and size in bytes of all files below ``folder``."""
    if storage.kind(folder) is None:
        return []
    listed = [row for batch in storage.list(folder) for row in batch.to_pylist()]
    return [(join(folder, name_below(folder, row["uri"])), row["size"]) for row in listed]


def _num_rows(uri: str, storage: Storage) -> int:
    """Returns the number of rows from the footer; zero if the file is damaged."""
    with storage.open(uri) as file:
        try:
            return int(pq.read_metadata(file).num_rows)
        except Exception as error:
            if is_damage(error):
                return 0
            raise
