"""URIs and local paths as users write them: only `file://` and `http(s)://` are percent-decoded, as their standards
require. Used on driver and workers.
"""

from __future__ import annotations

import os
import posixpath
import re
from urllib.parse import quote, unquote_to_bytes, urlsplit

import pyarrow as pa
import pyarrow.compute as pc


def is_remote(uri: str) -> bool:
    """Returns True if ``uri`` is outside the local file system."""
    return "://" in uri and not is_file(uri)


def is_http(uri: str) -> bool:
    """Returns True for an http or https URL."""
    return _HTTP.match(uri) is not None


def is_file(uri: str) -> bool:
    """Returns True for the URI of a local path: ``file:///x``, or ``file:/x`` as Java writes it."""
    return _FILE.match(uri) is not None


def local_path(uri: str) -> bytes:
    """Returns the path of a local URI or path, as the system's bytes."""
    if is_file(uri):  # urlsplit would cut a name at # or ?; no local file has a query
        return unquote_to_bytes(urlsplit(uri.replace("#", "%23").replace("?", "%3F")).path)
    return os.fsencode(uri)


def join(base: str, *names: str) -> str:
    """Returns the URI of ``names`` below ``base``."""
    return "/".join([base.rstrip("/"), *names])


def name_below(base: str, uri: str) -> str:
    """Returns the name of ``uri`` below ``base``, the inverse of `join`. Local ones may be paths or URIs."""
    if is_remote(base):
        return uri.removeprefix(join(base, ""))
    return os.fsdecode(local_path(uri)).removeprefix(join(os.fsdecode(local_path(base)), ""))


def absolute(uri: str) -> str:
    """Makes a local path absolute and expands ``~``; returns URIs unchanged."""
    if is_remote(uri) or is_file(uri):
        return uri
    # Not Path.resolve, which follows links: outputs and inventories keep the names given by users.
    return os.path.abspath(os.path.expanduser(uri) if uri == "~" or uri.startswith("~/") else uri)  # noqa: PTH100, PTH111


def resolve(file: str, name: str) -> str:
    """Resolves a name found in ``file``, relative to the file's folder."""
    if name.startswith("/") or is_file(name) or _SCHEME.match(name):
        return name
    if name.startswith("~/") and not is_remote(file):  # as in dataset.path
        return absolute(name)
    if is_file(file):  # percent-encoded
        name = quote(name)
    folder = (file.partition("?")[0] if is_http(file) else file).rpartition("/")[0]
    path = f"{folder}/{name}"
    if is_remote(file) and _DOTS.search(name):  # the system resolves the dots of a local path, after its links
        scheme, _, rest = path.partition("://")
        host, _, key = rest.partition("/")
        return f"{scheme}://{host}{posixpath.normpath(f'/{key}')}"
    return path


def split(uri: str) -> tuple[str, str]:
    """Splits an object store URI into its root, which one client serves, and the key below."""
    scheme, _, rest = uri.partition("://")
    host, _, key = rest.partition("/")
    return f"{scheme.lower()}://{host}", key


def redacted(text: str) -> str:
    """Removes user names, passwords and queries from the URLs in ``text``: a signed URL grants access."""
    return _QUERY.sub(r"\1?…", _USER.sub(r"\1\2…@", text))


def text_without_users(text: str) -> str:
    """Removes user names and passwords from the URLs in ``text``."""
    return _USER.sub(r"\1\2", text)


def without_users(uris: pa.ChunkedArray) -> pa.ChunkedArray:
    """Removes user names and passwords from a column of URIs, for publication. Queries stay: they may distinguish
    images.
    """
    if not pc.any(pc.match_substring(uris, "@")).as_py():
        return uris
    return pc.replace_substring_regex(uris, _USER_OF_URI, r"\1\2")


_HTTP = re.compile(r"https?://", re.IGNORECASE)
_FILE = re.compile(r"file:/", re.IGNORECASE)
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_DOTS = re.compile(r"(^|/)\.{1,2}/")
# In schemes other than http, a part without a colon stays: az://container@account has no user. A password may contain
# characters not allowed in a URL, such as a slash; an apparent port is then part of it.
_USER_OF_URI = r"(?i)(https?://)(?:[^/?#]*|[^/?#@:\[]*:[0-9]*[^0-9/?#@][^@]{0,200})@|([a-z][a-z0-9+.\-]{0,15}://)[^/?#@:]*:[^/?#]*@"
_USER = re.compile(_USER_OF_URI.replace("[^", r"[^\s"))
# Bounded, so that time stays linear for a text with many URL prefixes.
_QUERY = re.compile(r"(https?://[^\s?]{1,4096})\?[^\s]+", re.IGNORECASE)
