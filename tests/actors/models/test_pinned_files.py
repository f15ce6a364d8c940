from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest

from actors.errors import JobError
from actors.models.pinned_files import check_bytes, check_content, check_pin, check_pinned, pin
from actors.models.spec import Model

if TYPE_CHECKING:
    from pathlib import Path


def test_a_pin_may_be_written_as_tools_write_it() -> None:
    digest = hashlib.sha256(b"content").hexdigest()
    for text in (digest, digest.upper(), f"sha256:{digest}", f" {digest}\n"):
        model = Model(checkpoint="a.pt", sha256=text)
        check_pin(model)
        check_bytes(model, b"content")
        assert pin(model) == digest
    check_pin(Model(checkpoint="a.pt"))


@pytest.mark.parametrize("text", ["abc", "g" * 64, "0" * 63, "md5:" + "0" * 64])
def test_what_is_no_digest_is_told_how_to_get_one(text: str) -> None:
    with pytest.raises(JobError, match=r"model\.sha256=.*\n.*`sha256sum a\.pt`"):
        check_pin(Model(checkpoint="folder/a.pt", sha256=text))


def test_a_form_that_can_hold_code_needs_a_pin() -> None:
    check_pinned(Model(checkpoint="a.pt2", sha256="0" * 64), "a .pt2 archive")
    with pytest.raises(JobError, match=r"a \.pt2 archive can hold code(.|\n)*`sha256sum 'my model\.pt2'`"):
        check_pinned(Model(checkpoint="my model.pt2"), "a .pt2 archive")


def test_files_are_digested_one_after_the_other(tmp_path: Path) -> None:
    paths = [tmp_path / "a", tmp_path / "b"]
    for path in paths:
        path.write_text(path.name)
    check_content(Model(checkpoint="a", sha256=hashlib.sha256(b"ab").hexdigest()), paths)
    check_content(Model(checkpoint="a"), paths)
    with pytest.raises(JobError, match=r"`cat a b \| sha256sum`"):
        check_content(Model(checkpoint="a", sha256=hashlib.sha256(b"ba").hexdigest()), paths)
