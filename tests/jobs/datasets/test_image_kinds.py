from __future__ import annotations

import io
from importlib.util import find_spec

import pytest
from PIL import Image

from actors.decoding.config import Decode
from actors.decoding.decode import decode
from jobs.datasets.image_kinds import EXTENSIONS, extra_extensions, unsupported_suffixes


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_the_decoder_reads_what_is_listed(extension: str) -> None:
    Image.init()
    formats = {"jif": "JPEG", "dib": "DIB", "j2c": "JPEG2000", "jpc": "JPEG2000", "jpx": "JPEG2000", "jpf": "JPEG2000"}
    sink = io.BytesIO()
    Image.new("1" if extension == "pbm" else "RGB", (32, 32)).save(
        sink, formats.get(extension) or Image.EXTENSION[f".{extension}"]
    )
    assert decode(sink.getvalue(), Decode()).shape == (32, 32, 3)


def test_each_kind_is_read_or_not() -> None:
    assert (
        (find_spec("pillow_heif") is not None)
        == ("heic" in extra_extensions())
        == (".heic" not in unsupported_suffixes())
    )
    assert ".psd" in unsupported_suffixes()
    assert not {f".{extension}" for extension in (*EXTENSIONS, *extra_extensions())} & set(unsupported_suffixes())
