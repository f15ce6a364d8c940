"""Names of model files, and read errors that name the config key."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote, urlsplit

from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError

from actors.errors import JobError, UnreachableError
from actors.messages import one_line
from actors.storage.retries import transient_kind
from actors.storage.uris import is_file, is_http

if TYPE_CHECKING:
    from collections.abc import Iterator


def file_name(uri: str) -> str:
    """Returns the part after the last slash, in lower case, without the query of a signed URL."""
    return _last_part(uri).lower()


def base_name(uri: str) -> str:
    """Returns the name of the file at ``uri``, percent-decoded, as `sibling` expects it."""
    last = _last_part(uri)
    return unquote(last).replace("/", "_") if is_http(uri) or is_file(uri) else last


def _last_part(uri: str) -> str:
    # Elsewhere, a question mark is part of the name.
    return (urlsplit(uri).path if is_http(uri) else uri).rpartition("/")[2]


def sibling(uri: str, name: str) -> str:
    """Returns the URI of the file ``name``, a relative path, in the folder of ``uri``.

    Keeps the query of a URL: a SAS token or a signed policy for the folder also covers the sibling. A signature for a
    single object, as in S3, does not, and the server refuses it.
    """
    address, separator, query = uri.partition("?") if is_http(uri) else (uri, "", "")
    folder, slash, _ = address.rpartition("/")
    if is_http(uri) or is_file(uri):  # percent-decoded by their readers, unlike paths and keys of object stores
        name = quote(name, errors="replace")
    return f"{folder}{slash}{name}{separator}{query}"


def lfs_pointer(data: bytes, where: str) -> JobError | None:
    """Returns the error for ``data`` that is a Git LFS pointer instead of the file; None for all other bytes."""
    if not data.startswith(b"version https://git-lfs"):  # https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md
        return None
    return JobError(f"{where}: is a Git LFS pointer, not the file itself", fix="fetch the file: git lfs pull")


@contextmanager
def reading(where: str) -> Iterator[None]:
    """Converts errors from reading a configured file to a `JobError` that starts with ``where``, or to an
    `UnreachableError` if the server is at fault.
    """
    try:
        yield
    except FileNotFoundError:
        raise JobError(f"{where}: no such file", fix="correct the path; every worker must be able to read it") from None
    except (PermissionError, PermissionDeniedError, UnauthenticatedError) as error:
        raise JobError(
            f"{where}: may not be read: {one_line(error)}",
            fix="grant this user read access, or pass credentials in model.storage_options",
        ) from None
    except (BaseError, OSError, ValueError) as error:  # ValueError: a path with a null byte
        if not isinstance(error, BaseError) and transient_kind(error) is None:
            raise JobError(f"{where}: cannot be read: {one_line(error)}", fix="give a regular file") from None
        raise UnreachableError(
            f"{where}: unexpected response from the server: {one_line(error)}\n"
            "  fix: correct the address, or start the job again once the server is reachable from here"
        ) from error
