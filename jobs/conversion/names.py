"""Image names in converted files: relative to a folder, and safe as output paths."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from actors.storage.uris import absolute, is_file, join, local_path

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


class Names:
    """Image names relative to the first of ``bases`` that contains an id.

    Other ids lose only their scheme and leading slashes, so that no name is absolute.
    """

    def __init__(self, bases: Iterable[str]) -> None:
        self._prefixes = [join(_folder(base), "") for base in bases if _folder(base)]

    def __call__(self, image_id: str) -> str:
        for prefix in self._prefixes:
            if image_id.startswith(prefix) and len(image_id) > len(prefix):
                return image_id.removeprefix(prefix).lstrip("/") or image_id
        return _SCHEME.sub("", image_id).lstrip("/") or image_id


def safe_path(name: str) -> str:
    """Returns a relative path with the folders of ``name`` that is never empty, absolute, or outside its base.

    Control characters, backslashes and colons are percent-encoded, and long components are truncated and end in a
    digest.
    """
    parts = [_safe_part(part) for part in name.split("/") if part]
    return "/".join(parts) or "_"


def file_names(name: str, suffix: str) -> Iterator[str]:
    """Returns candidates for the file of an image, best first: with ``suffix`` replacing the image's, then appended to
    it, then with a digest of the name, for images whose names differ only in their suffix.
    """
    whole = safe_path(name)
    path = PurePosixPath(whole)
    yield str(path.with_suffix("")) + suffix
    yield whole + suffix
    yield f"{whole}~{hashlib.sha256(name.encode()).hexdigest()[:16]}{suffix}"


_SCHEME = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]*:/{1,3}")
_GLOB = re.compile(r"[*?\[{]")
_UNSAFE = re.compile(r"[\x00-\x1f\x7f\\:]")
_MAX_PART_BYTES = 180  # file systems allow 255; suffixes and digests are added to it


def _folder(base: str) -> str:
    """Returns the folder of a `dataset.path`, up to its first wildcard."""
    if found := _GLOB.search(base):
        base = base[: found.start()].rpartition("/")[0]
    return os.fsdecode(local_path(base)) if is_file(base) else absolute(base) if base else ""


def _safe_part(part: str) -> str:
    if set(part) <= {"."}:  # the folder itself, or the one above
        return "%2E" * len(part)
    part = _UNSAFE.sub(lambda found: f"%{ord(found[0]):02X}", part)
    if len(part.encode()) <= _MAX_PART_BYTES:
        return part
    suffix = PurePosixPath(part).suffix[:10]
    kept = part.encode()[: _MAX_PART_BYTES - 30].decode(errors="ignore")
    return f"{kept}~{hashlib.sha256(part.encode()).hexdigest()[:16]}{suffix}"
