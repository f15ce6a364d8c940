from __future__ import annotations

import io
import zipfile

import pytest

from actors.models.archives import COMPILED, PROGRAM, SCRIPT, kind_of, read_kind


@pytest.mark.parametrize(
    ("names", "kind"),
    [
        (["a/data.pkl", "a/version"], None),
        (["a/data.pkl", "a/constants.pkl"], SCRIPT),
        (["a/archive_format", "a/models/model.json"], PROGRAM),
        (["serialized_exported_program.json"], PROGRAM),
        (["a/archive_format", "a/data/aotinductor/model/a.so"], COMPILED),
    ],
)
def test_names_tell_the_kind(names: list[str], kind: str | None) -> None:
    assert kind_of(names) == kind


def test_compressed_and_damaged_archives_are_refused() -> None:
    for compression, damage in ((zipfile.ZIP_DEFLATED, False), (zipfile.ZIP_STORED, True)):
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w", compression) as archive:
            archive.writestr("a/data.pkl", b"content" * 9)
        data = file.getvalue().replace(b"content", b"context", 1) if damage else file.getvalue()
        with pytest.raises(zipfile.BadZipFile):
            read_kind(io.BytesIO(data))
