"""What a URI means, written as users write it: never percent-decoded, save `file://` and `http(s)://`, where the
standards say so. Used wherever something is named.
"""

from __future__ import annotations

import os
from urllib.parse import unquote_to_bytes, urlsplit


def is_remote(uri: str) -> bool:
    """Whether ``uri`` names something outside the local file system."""
    return "://" in uri and not uri.startswith("file://")


def local_path(uri: str) -> bytes:
    """The path of a local URI, as the bytes that the system knows it by."""
    if uri.startswith("file://"):
        return unquote_to_bytes(urlsplit(uri.replace("#", "%23").replace("?", "%3F")).path)
    return os.fsencode(uri)


def join(base: str, *names: str) -> str:
    """The URI of something below ``base``."""
    return "/".join([base.rstrip("/") or "", *names])


def name_below(base: str, uri: str) -> str:
    """What is to be joined to ``base`` to name ``uri``, whichever way a local one is written."""
    if is_remote(base):
        return uri.removeprefix(join(base, ""))
    return os.fsdecode(local_path(uri)).removeprefix(join(os.fsdecode(local_path(base)), ""))


def absolute(uri: str) -> str:
    """``uri`` with a relative local path, or one below ``~/``, made absolute, as every worker must take it."""
    if is_remote(uri) or uri.startswith("file://"):
        return uri
    return os.path.abspath(os.path.expanduser(uri) if uri.startswith("~/") else uri)  # noqa: PTH100, PTH111


def split(uri: str) -> tuple[str, str]:
    """The root of a remote URI, which one client serves, and the key below it."""
    scheme, _, rest = uri.partition("://")
    host, _, key = rest.partition("/")
    if scheme in {"http", "https"}:
        if "?" in key:  # a signed URL: its query belongs to the request, so it is a root of its own
            return uri, ""
        return f"{scheme}://{host}", unquote_to_bytes(key).decode()
    return f"{scheme}://{host}", key
