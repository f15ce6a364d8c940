from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from fetched import QUICK, plain
from places import Place
from web import serve_folder

from actors.errors import ImageError
from actors.reading.image_bytes import checked, padded, read_image
from actors.storage.store import Storage


def test_no_message_tells_a_signature(tmp_path: Path) -> None:
    with serve_folder(tmp_path) as (url, _):
        for uri in (f"{url}/none.jpg?sig=SECRET", "http://127.0.0.1:1/x.jpg?sig=SECRET"):
            error = read_image(uri, storage=Storage(retry=QUICK))
            assert isinstance(error, ImageError)
            assert "SECRET" not in error.message
            assert "\n" not in error.message


def test_one_image_alone(place: Place) -> None:
    storage = Storage(place.options)
    uri = place.put("a.jpg", b"data")
    assert read_image(uri, storage=storage) == b"data"
    assert plain(read_image(uri, storage=storage, max_bytes=3)) == "read/too_large"
    assert plain(read_image(uri, storage=storage, max_bytes=3, size=2)) == "read/too_large"
    assert plain(read_image("", storage=storage)) == "read/missing_uri"


def test_images_are_checked_against_the_limit_and_for_bytes() -> None:
    assert checked(b"data", 4) == b"data"
    assert checked(b"data", None) == b"data"
    assert plain(checked(b"data", 3)) == "read/too_large"
    assert plain(checked(b"", 3)) == "read/empty"


def test_a_reader_that_breaks_off_is_padded_with_its_error() -> None:
    def images() -> Iterator[bytes]:
        yield b"first"
        raise FileNotFoundError("gone")

    assert [plain(image) for image in padded(images(), 3)] == [b"first", "read/not_found", "read/not_found"]
    assert [plain(image) for image in padded(iter([b"first"]), 2)] == [b"first", "read/io_error"]
    assert list(padded(iter([b"1", b"2"]), 2)) == [b"1", b"2"]
