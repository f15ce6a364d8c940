from __future__ import annotations

import shutil
import subprocess

import pytest

from actors.errors import JobError
from jobs.datasets.braces import expand

PATHS = [
    "shard-{0000..0003}.tar",
    "{8..11}",
    "{08..11}",
    "{3..1}",
    "{0..10..5}",
    "{-2..1}",
    "{a,b}/{0..1}.tar",
    "{train,}/x",
    "plain",
    "{x}",
    "{a..c}",
    "{}",
    "{1..}",
    "a{b",
]


@pytest.mark.parametrize("path", [path for path in PATHS if path != "{a..c}"])
def test_as_bash_expands_them(path: str) -> None:
    bash = shutil.which("bash") or pytest.skip("no bash")
    said = subprocess.run([bash, "-c", f"printf '%s\\n' {path}"], capture_output=True, text=True, check=True)
    assert expand(path) == said.stdout.splitlines()


def test_letters_are_no_range() -> None:
    assert expand("{a..c}") == ["{a..c}"]


def test_too_many() -> None:
    with pytest.raises(JobError, match="more than 1,000,000 paths"):
        expand("{0..999999999999}-{0..9}")
