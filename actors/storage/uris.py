"""What a URI means, written as users write it: never percent-decoded, save `file://` and `http(s)://`, where the
standards say so. Used wherever something is named.
"""

from __future__ import annotations

import os
import posixpath
import re
from urllib.parse import quote, unquote_to_bytes, urlsplit

import pyarrow as pa
import pyarrow.compute as pc


def is_remote(uri: str) -> bool:
    """Whether ``uri`` names something outside the local file system."""
    return "://" in uri and not is_file(uri)


def is_http(uri: str) -> bool:
    """Whether ``uri`` is the address of something on a web server."""
    return _HTTP.match(uri) is not None


def is_file(uri: str) -> bool:
    """Whether ``uri`` is a local path by URI: ``file:///x``, or ``file:/x`` as Java writes it."""
    return _FILE.match(uri) is not None


def local_path(uri: str) -> bytes:
    """The path of a local URI, as the bytes that the system knows it by."""
    if is_file(uri):
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
    if is_remote(uri) or is_file(uri):
        return uri
    return os.path.abspath(os.path.expanduser(uri) if uri.startswith("~/") else uri)  # noqa: PTH100, PTH111


def resolve(file: str, name: str) -> str:
    """The URI that ``name`` refers to where it stands in ``file``: a relative name starts at the file's folder."""
    if name.startswith("/") or is_file(name) or _SCHEME.match(name):
        return name
    if name.startswith("~/") and not is_remote(file):  # as dataset.path takes it
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
    """The root of a URI in an object store, which one client serves, and the key below it."""
    scheme, _, rest = uri.partition("://")
    host, _, key = rest.partition("/")
    return f"{scheme.lower()}://{host}", key


def redacted(text: str) -> str:
    """``text`` with user names, passwords and queries of URLs left out: a signed URL opens what it names."""
    return _QUERY.sub(r"\1?…", _USER.sub(r"\1\2…@", text))


def text_without_users(text: str) -> str:
    """``text`` without the users and passwords of the URLs in it."""
    return _USER.sub(r"\1\2", text)


def without_users(uris: pa.ChunkedArray) -> pa.ChunkedArray:
    """A column of URIs without the users and passwords in them, as anybody may see it. Queries stay: they are part of
    what tells images apart.
    """
    if not pc.any(pc.match_substring(uris, "@")).as_py():
        return uris
    return pc.replace_substring_regex(uris, _USER_OF_URI, r"\1\2")


_HTTP = re.compile(r"https?://", re.IGNORECASE)
_FILE = re.compile(r"file:/", re.IGNORECASE)
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_DOTS = re.compile(r"(^|/)\.{1,2}/")
# Schemes other than http keep what has no colon: az://container@account names no user. A password may hold what a URL
# must not, such as a slash: then what looks like a port is none.
_USER_OF_URI = r"(?i)(https?://)(?:[^/?#]*|[^/?#@:\[]*:[0-9]*[^0-9/?#@][^@]{0,200})@|([a-z][a-z0-9+.\-]{0,15}://)[^/?#@:]*:[^/?#]*@"
_USER = re.compile(_USER_OF_URI.replace("[^", r"[^\s"))
# Bounded, so that a text which begins many URLs and ends none takes no time that grows with its square.
_QUERY = re.compile(r"(https?://[^\s?]{1,4096})\?[^\s]+", re.IGNORECASE)
