from __future__ import annotations

import pytest
from PIL.Image import DecompressionBombError

from actors.decoding.decode_errors import image_error


@pytest.mark.parametrize(
    ("error", "data", "kind"),
    [
        (MemoryError(), b"x", "out_of_memory"),
        (DecompressionBombError("huge"), b"x", "too_large"),
        (EOFError("end"), b"x", "truncated"),
        (NotImplementedError("no"), b"x", "unsupported"),
        (OSError("image file is truncated (3 bytes not processed)"), b"x", "truncated"),
        (ValueError("unknown raw mode for given image mode"), b"II*\0", "unsupported"),
        (SyntaxError("unknown pixel mode"), b"II*\0", "unsupported"),
        (ValueError("Decompressed data too large"), b"x", "too_large"),
        (OSError("broken data stream"), b"RIFF\xff\xff\0\0WEBP", "truncated"),
        (OSError("broken data stream"), b"\xff\xd8\xff", "corrupt"),
    ],
)
def test_each_cause_has_its_kind(error: Exception, data: bytes, kind: str) -> None:
    found = image_error(error, data)
    assert (found.stage, found.kind) == ("decode", kind)
    assert type(error).__name__ in found.message
