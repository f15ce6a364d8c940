from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator

import pytest

from jobs.serving.bodies import RequestError, images_of, read_body

FORM = "multipart/form-data; boundary=line"
BINARY = bytes(range(256)) + b"\r\n--lin\r\n\r\n"


async def chunks(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


def form(*files: bytes, end: bytes = b"--line--\r\n") -> bytes:
    fields = b"".join(
        b'--line\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n' + file + b"\r\n"
        for file in files
    )
    return fields + end


def document(*images: bytes) -> bytes:
    return json.dumps({"instances": [{"b64": base64.b64encode(image).decode()} for image in images]}).encode()


def test_a_body_is_read_up_to_its_limit() -> None:
    assert asyncio.run(read_body(chunks(b"ab", b"", b"c"), 3)) == b"abc"
    with pytest.raises(RequestError) as raised:
        asyncio.run(read_body(chunks(b"ab", b"cd", b"never read"), 3))
    assert raised.value.status == 413


@pytest.mark.parametrize("content_type", ["", "image/png", "application/octet-stream"])
def test_any_other_body_is_one_image(content_type: str) -> None:
    assert images_of(content_type, BINARY, 4, None) == ([BINARY], False)


def test_json_gives_its_images_in_order() -> None:
    assert images_of("application/json; charset=utf-8", document(b"a", BINARY), 2, None) == ([b"a", BINARY], True)


def test_a_uri_is_fetched_where_that_is_allowed() -> None:
    body = json.dumps({"instances": [{"uri": "s3://bucket/a"}]}).encode()
    assert images_of("application/json", body, 2, str.encode).images == [b"s3://bucket/a"]
    with pytest.raises(RequestError, match=r"serve\.allow"):
        images_of("application/json", body, 2, None)


def test_a_form_gives_its_files_and_no_other_fields() -> None:
    other = b'--line\r\nContent-Disposition: form-data; name="filename=x"\r\n\r\ntext\r\n'
    assert images_of(FORM, form(BINARY), 4, None) == ([BINARY], False)
    assert images_of(FORM, other + form(BINARY, b""), 4, None) == ([BINARY, b""], True)
    assert images_of('multipart/form-data; boundary="line"', form(b"a"), 4, None).images == [b"a"]


@pytest.mark.parametrize(
    ("content_type", "body", "status"),
    [
        ("application/json", b"", 400),
        ("application/json", b"\xff", 400),
        ("application/json", b"[" * 200_000, 400),
        ("application/json", b"[]", 400),
        ("application/json", b"{}", 400),
        ("application/json", b'{"instances": []}', 400),
        ("application/json", b'{"instances": [1]}', 400),
        ("application/json", b'{"instances": [{}]}', 400),
        ("application/json", b'{"instances": [{"b64": 1}]}', 400),
        ("application/json", b'{"instances": [{"b64": "***"}]}', 400),
        ("application/json", b'{"instances": [{"b64": "\xc3\xa4"}]}', 400),
        ("application/json", b'{"instances": [{"uri": 1}]}', 400),
        ("application/json", document(*[b"a"] * 5), 413),
        ("multipart/form-data", form(b"a"), 400),
        (FORM, b"", 400),
        (FORM, form(), 400),
        (FORM, form(b"a", end=b""), 400),
        (FORM, b"--line\r\nno header--line--", 400),
        (FORM, b"--line\r\nno end of the head\r\n--line--", 400),
        (FORM, form(*[b"a"] * 5), 413),
        (FORM, form(*[b"a"] * 500), 400),
    ],
)
def test_a_malformed_body_is_refused(content_type: str, body: bytes, status: int) -> None:
    with pytest.raises(RequestError) as raised:
        images_of(content_type, body, 4, None)
    assert raised.value.status == status
