from __future__ import annotations

from pathlib import Path

import pytest

from jobs.submission.key_files import is_key


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("id_ed25519", "x", True),
        ("Server.PEM", "x", True),
        ("credentials.json", "{}", True),
        ("deploy", "-----BEGIN EC PRIVATE KEY-----", True),
        ("aws.ini", "AWS_SECRET_ACCESS_KEY = hush", True),
        ("late.txt", " " * 50_000 + "-----BEGIN PRIVATE KEY-----", True),
        ("keys.py", "-----BEGIN PRIVATE KEY-----", False),
        ("keyboard.txt", "public", False),
        ("cert.crt", "-----BEGIN CERTIFICATE-----", False),
    ],
)
def test_keys_are_told_by_name_or_content(tmp_path: Path, name: str, content: str, expected: bool) -> None:  # noqa: FBT001
    (tmp_path / name).write_text(content)
    assert is_key(tmp_path / name) == expected
