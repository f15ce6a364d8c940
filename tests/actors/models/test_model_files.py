"""Errors in reading model files, in terms of the config key."""

from __future__ import annotations

import pytest

from actors.errors import JobError, UnreachableError
from actors.models.model_files import file_name, reading, sibling


@pytest.mark.parametrize(
    ("uri", "name"),
    [
        ("weights/Net.PT", "net.pt"),
        ("https://host/a/net.onnx?signature=x/y.pt", "net.onnx"),
        ("s3://bucket/what?.pt", "what?.pt"),
    ],
)
def test_a_name_is_lower_case_without_the_query_of_a_web_address(uri: str, name: str) -> None:
    assert file_name(uri) == name


@pytest.mark.parametrize(
    ("uri", "name", "wanted"),
    [
        ("https://host/a/i.json?sig=x/y", "b.bin", "https://host/a/b.bin?sig=x/y"),
        ("HTTPS://host/a/i.json?sig=1", "data/b.bin", "HTTPS://host/a/data/b.bin?sig=1"),
        ("https://host/i.json", "50% #1?.bin", "https://host/50%25%20%231%3F.bin"),
        ("file:///a/i.json", "50%20.bin", "file:///a/50%2520.bin"),
        ("s3://bucket/a/i?.json", "50%20.bin", "s3://bucket/a/50%20.bin"),
        ("/a?b/i.json", "b.bin", "/a?b/b.bin"),
        ("i.json", "b.bin", "b.bin"),
        ("https://host/i.json", "\ud800.bin", "https://host/%3F.bin"),
    ],
)
def test_a_sibling_is_in_the_same_folder_under_the_same_query(uri: str, name: str, wanted: str) -> None:
    assert sibling(uri, name) == wanted


@pytest.mark.parametrize(
    ("error", "raised", "text"),
    [
        (FileNotFoundError("x"), JobError, "no such file"),
        (PermissionError("x"), JobError, "may not be read"),
        (IsADirectoryError("x"), JobError, "give a regular file"),
        (ConnectionResetError("x"), UnreachableError, "unexpected response from the server"),
    ],
)
def test_an_error_names_the_key_and_whose_fault_it_is(error: Exception, raised: type, text: str) -> None:
    with pytest.raises(raised, match=text) as told, reading("model.checkpoint=net.pt"):
        raise error
    assert str(told.value).startswith("model.checkpoint=net.pt: ")
