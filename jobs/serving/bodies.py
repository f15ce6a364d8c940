"""Reads request bodies up to a limit, and extracts images from JSON and multipart forms. Runs in the ingress."""

from __future__ import annotations

import base64
import binascii
import json
import re
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from actors.reading.image_bytes import Image

    Fetch = Callable[[str], Image]


class RequestError(Exception):
    """The whole request is invalid.

    Args:
        status: HTTP status of the answer.
        message: the problem and its fix.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(status, message)
        self.status = status
        self.message = message


class Images(NamedTuple):
    """Images of a request, with an error in place of each image that could not be fetched."""

    images: list[Image]
    is_list: bool
    """True if the answer is a list of predictions."""


async def read_body(chunks: AsyncIterator[bytes], max_bytes: int) -> bytes:
    """Reads a body, regardless of its declared length.

    Raises:
        RequestError: 413, as soon as more than ``max_bytes`` have arrived.
    """
    body = bytearray()
    async for chunk in chunks:
        body += chunk
        if len(body) > max_bytes:
            raise RequestError(413, f"the body has more than serve.max_body_bytes={max_bytes} bytes")
    return bytes(body)


def images_of(content_type: str, body: bytes, max_images: int, fetch: Fetch | None) -> Images:
    """Returns the images of a body: JSON, a multipart form, or otherwise the body itself.

    Args:
        content_type: Content-Type header of the request.
        body: at most `serve.max_body_bytes`.
        max_images: maximum number of images.
        fetch: reads the image at a URI; None rejects URIs.

    Raises:
        RequestError: 400 for a malformed body, 413 for too many images.
    """
    kind = content_type.partition(";")[0].strip().lower()
    if kind == "application/json":
        found = Images(_instances(parse_json(body), max_images, fetch), is_list=True)
    elif kind == "multipart/form-data":
        files = _files(content_type, body, max_images)
        found = Images([*files], is_list=len(files) > 1)
    else:
        found = Images([body], is_list=False)
    if not found.images:
        raise RequestError(400, "the request has no image")
    return found


def parse_json(body: bytes) -> Any:
    """Parses JSON. Raises `RequestError` (400) if ``body`` is not JSON."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise RequestError(400, "the body is not JSON") from None


def from_base64(text: object) -> bytes:
    """Decodes base64. Raises `RequestError` (400) if ``text`` is not base64."""
    try:
        if isinstance(text, str):
            return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        pass
    raise RequestError(400, "an image is not base64")


def check_count(count: int, max_images: int) -> None:
    """Raises `RequestError` (413) if there are too many images."""
    if count > max_images:
        raise RequestError(413, f"the request has more than serve.max_images={max_images} images")


def _instances(document: Any, max_images: int, fetch: Fetch | None) -> list[Image]:
    instances = document.get("instances") if isinstance(document, dict) else None
    if not isinstance(instances, list):
        raise RequestError(400, 'give {"instances": [{"b64": "..."}]}')
    check_count(len(instances), max_images)
    return [_instance(instance, fetch) for instance in instances]


def _instance(instance: Any, fetch: Fetch | None) -> Image:
    if not isinstance(instance, dict) or len(instance) != 1:
        raise RequestError(400, 'an instance is {"b64": "..."} or {"uri": "..."}')
    if "b64" in instance:
        return from_base64(instance["b64"])
    uri = instance.get("uri")
    if not isinstance(uri, str):
        raise RequestError(400, 'an instance is {"b64": "..."} or {"uri": "..."}')
    if fetch is None:
        raise RequestError(400, "no URI is allowed: serve.allow names no prefix")
    return fetch(uri)


def _files(content_type: str, body: bytes, max_images: int) -> list[bytes]:
    """Returns the files of a form (RFC 7578), in order; other fields are skipped."""
    boundary = _BOUNDARY.search(content_type)
    if boundary is None:
        raise RequestError(400, "the multipart form has no boundary")
    delimiter = b"\r\n--" + (boundary[1] or boundary[2]).encode("latin-1", "replace")
    parts = (b"\r\n" + body).split(delimiter, max_images + _OTHER_FIELDS)
    if len(parts) < 2 or not parts[-1].startswith(b"--"):  # noqa: PLR2004  preamble and end
        raise RequestError(400, "the multipart form is malformed, ends early or has too many fields")
    files = []
    for part in parts[1:-1]:
        head, found, content = part.partition(b"\r\n\r\n")
        if not found:
            raise RequestError(400, "a field of the multipart form is malformed")
        if _FILE_NAME.search(head):
            files.append(content)
    check_count(len(files), max_images)
    return files


_BOUNDARY = re.compile(r'boundary=(?:"([^"]{1,70})"|([^\s;"]{1,70}))', re.IGNORECASE)
_FILE_NAME = re.compile(rb"^content-disposition:[^\r\n]*;\s*filename\*?=", re.IGNORECASE | re.MULTILINE)
_OTHER_FIELDS = 16  # allowed in a form besides its files
