from __future__ import annotations

import bz2
import gzip
import io
import lzma
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from actors.errors import JobError
from actors.storage.store import Storage
from jobs.datasets.text_files import LineError, TextFile, blocks, count_lines, lines_of

PACKERS: dict[str, Callable[[bytes], bytes]] = {
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": lambda data: pa.compress(data, codec="zstd", asbytes=True),
}
TEXT = "uri\n" + "日本.jpg\n" * 50_000


@pytest.mark.parametrize("suffix", PACKERS)
def test_compressed_files_are_read_as_often_as_wanted(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"x.csv{suffix}"
    path.write_bytes(PACKERS[suffix](TEXT.encode()))
    file = TextFile(str(path), Storage())
    for _ in range(2):
        with file.open_text() as text:
            assert text.read() == TEXT


@pytest.mark.parametrize("suffix", PACKERS)
@pytest.mark.parametrize("damage", ["cut", "plain"])
def test_damaged_files_raise(suffix: str, damage: str, tmp_path: Path) -> None:
    path = tmp_path / f"x.csv{suffix}"
    path.write_bytes(PACKERS[suffix](TEXT.encode())[:-12] if damage == "cut" else TEXT.encode())
    with pytest.raises((OSError, EOFError)), TextFile(str(path), Storage()).open_text() as text:
        text.read()


@pytest.mark.parametrize(("encoding", "data"), [("utf-8", TEXT.encode("utf-8-sig")), ("utf-16", TEXT.encode("utf-16"))])
def test_a_byte_order_mark_is_no_character(encoding: str, data: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_bytes(data)
    with TextFile(str(tmp_path / "x.csv"), Storage()).open_text(encoding) as text:
        assert text.read(3) == "uri"


def test_bytes_that_are_not_in_the_encoding_are_named_by_line(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_bytes("é\n".encode() * 700_000 + b"\xe9.jpg\n")
    file = TextFile(str(tmp_path / "x.csv"), Storage())
    with (
        pytest.raises(JobError, match=r"x\.csv, line 700001: not utf-8"),
        file.naming_lines(),
        file.open_text() as text,
    ):
        list(blocks(text))


def test_a_wrong_line_is_named_with_its_file(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_bytes(b"")
    with pytest.raises(JobError) as caught, TextFile(str(tmp_path / "x.csv"), Storage()).naming_lines():
        raise LineError(7, "odd", "even it")
    assert str(caught.value) == f"dataset.path={tmp_path}/x.csv, line 7: odd\n  fix: even it"


def test_blocks_are_whole_lines_with_their_numbers() -> None:
    text = "".join(f"{number}\r\n" for number in range(1, 400_001)) + "end"
    found = list(blocks(io.StringIO(text, newline="")))
    assert len(found) > 1
    assert "".join(block.text for block in found) == text
    assert all(block.text.startswith(f"{block.line}\r\n") for block in found)


@pytest.mark.parametrize("text", ["", "a", "a\n", "a\n\nb", "a\rb\r", "a\r\nb\rc\n\r"])
def test_lines_end_as_in_csv(text: str) -> None:
    assert "".join(lines_of(text)) == text
    assert count_lines(text) == len(lines_of(text)) or not text


def test_nul_characters_and_endless_lines_are_refused() -> None:
    with pytest.raises(LineError, match="line 3: it holds a NUL"):
        list(blocks(io.StringIO("a\nb\nc\0\n")))
    with pytest.raises(LineError, match="line 1: it has no end"):
        list(blocks(io.StringIO("x" * (20 << 20))))
