"""The table of extras in docs/getting-started.md matches pyproject.toml, including what they install."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
TABLE = re.findall(
    r"^\| `(\w+)` \| (.*?) \| (.*?) \|$",
    (ROOT / "docs" / "getting-started.md")
    .read_text(encoding="utf-8")
    .partition("| Extra | Brings |")[2]
    .partition("\n\n")[0],
    re.MULTILINE,
)


def test_the_table_has_every_extra_once() -> None:
    assert sorted(name for name, _, _ in TABLE) == sorted(EXTRAS)


def test_the_table_says_what_each_extra_brings() -> None:
    for name, brings, needed_for in TABLE:
        packages = {Requirement(line).name for line in EXTRAS[name]}
        named = set(brings.removesuffix(" and more").split(", "))
        assert named == packages or (brings.endswith(" and more") and named < packages), name
        assert len(needed_for) > 10, name


def test_extras_that_messages_and_pages_name_are_there() -> None:
    texts = [file for folder in ("jobs", "actors", "docs", "k8s") for file in (ROOT / folder).rglob("*.[pm][yd]")]
    found = {
        extra
        for text in [*texts, ROOT / "README.md"]
        for extras in re.findall(r"(?:shardlens|-e '?\.)\[([\w,]+)\]", text.read_text(encoding="utf-8"))
        for extra in extras.split(",")
    }
    assert {"heif", "eval", "timm"} < found
    assert found <= set(EXTRAS)
