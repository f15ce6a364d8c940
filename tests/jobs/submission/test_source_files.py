from __future__ import annotations

import os
from pathlib import Path

import pytest

from jobs.submission.source_files import source_files

KEY = "-----BEGIN OPENSSH PRIVATE KEY-----\nhush\n"

# One file of each kind with the reason why it stays; None if it is sent.
FILES = {
    "package/__init__.py": None,
    "package/weights.bin": None,
    "package/environment.py": None,
    ".env": "hidden",
    ".env.production": "hidden",
    "package/prod.env": "key or password",
    ".git": "hidden",  # a file in a worktree
    ".aws/credentials": "hidden",
    ".ssh/id_ed25519": "hidden",
    "notebooks/.ipynb_checkpoints/a-checkpoint.ipynb": "hidden",
    "package/ID_RSA": "key or password",
    "package/server.PEM": "key or password",
    "package/credentials.json": "key or password",
    "package/deploy": "key or password",  # by its content
    "package/account.json": "key or password",
    "package/aws.ini": "key or password",
    "env/pyvenv.cfg": "virtual environment",
    "data/rows.csv": "listed in an ignore file",
    "package/notes/draft.txt": "listed in an ignore file",
    "package/scratch/x.tmp": "listed in an ignore file",
    "package/scratch/kept.tmp": None,
}
CONTENTS = {
    "package/deploy": KEY,
    "package/account.json": '{"private_key": "-----BEGIN PRIVATE KEY-----\\nhush"}',
    "package/aws.ini": "[default]\naws_secret_access_key = hush\n",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "theirs"
    for name in FILES:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(CONTENTS.get(name, "x"))
    (folder / ".rayignore").write_text("data/\n*.txt\n")
    (folder / "package" / "scratch" / ".gitignore").write_text("*.tmp\n!kept.tmp\n")
    (folder / "package" / "__pycache__").mkdir()
    (folder / "package" / "__pycache__" / "x.pyc").write_text("x")
    return folder


def test_every_file_travels_or_has_a_reason_to_stay(folder: Path) -> None:
    found = source_files(folder)
    assert set(found.sent) == {name for name, reason in FILES.items() if reason is None}
    for name, reason in FILES.items():
        if reason is not None:
            said = [
                why
                for left, why in found.left_out.items()
                if name == left or (left.endswith("/") and name.startswith(left))
            ]
            assert said == [reason], name
    assert not [name for name in found.left_out if "__pycache__" in name]


def test_links_lead_nowhere_else(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "passwords.txt").write_text("hush")
    links = {
        "out.cfg": "../passwords.txt",
        "inner/up.cfg": "../../passwords.txt",
        "home": "..",
        "loop": "loop",
        "same.bin": "package/weights.bin",
        "disguised.cfg": ".env",
        "again": "package",
    }
    (folder / "inner").mkdir()
    for name, target in links.items():
        (folder / name).symlink_to(target)
    os.mkfifo(folder / "pipe")
    found = source_files(folder)
    assert set(links) & set(found.sent) == {"same.bin"}
    for name in ("out.cfg", "inner/up.cfg", "home", "loop", "again"):
        assert found.left_out[name] == "link to something other than a file of this folder"
    assert found.left_out["disguised.cfg"] == "hidden"
    assert found.left_out["pipe"] == "not a regular file"


def test_a_folder_that_is_a_link_itself_travels(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(folder)
    assert source_files(tmp_path / "link").sent == source_files(folder).sent
