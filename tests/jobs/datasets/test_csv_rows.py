from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from actors.errors import JobError
from actors.storage.store import Storage
from jobs.datasets.csv_rows import Csv, CsvFile, PathsFile
from jobs.datasets.passed_over import PassedOver
from jobs.datasets.text_files import TextFile

KEYS = {"uri": "uri_column", "c": "keep_columns"}


def read(
    path: Path, data: str | bytes, *, is_tsv: bool = False, keys: dict[str, str] = KEYS, **settings: object
) -> pa.Table:
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    file = CsvFile(TextFile(str(path), Storage()), Csv(**settings), is_tsv)  # type: ignore[arg-type]
    return pa.concat_tables(file.tables(keys, PassedOver()))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "x.csv"


def test_values_are_the_text_that_stands_there(path: Path) -> None:
    values = ["007", "1.10", "0x1F", "+49", "1e3", "NA", "null", "true", "18446744073709551615", " x ", "2024-01-01"]
    table = read(path, "uri,c\n" + "".join(f"a.jpg,{value}\n" for value in [*values, ""]))
    assert table["c"].to_pylist() == [*values, None]


def test_a_caption_that_begins_with_a_quote_swallows_no_line(path: Path) -> None:
    text = 'uri\tc\n0.png\t"a man walks\n1.png\ttwo dogs\n2.png\tsaid "hi" twice\n3.png\tlast\n'
    assert read(path, text, is_tsv=True)["c"].to_pylist() == ['"a man walks', "two dogs", 'said "hi" twice', "last"]


@pytest.mark.parametrize(
    ("data", "settings"),
    [
        ("uri;c\na.jpg;ü\n", {"delimiter": ";"}),
        ("uri\tc\na.jpg\tü\n", {"delimiter": "tab"}),
        ("uri,c\na.jpg,'ü'\n", {"quote": "'"}),
        ("uri,c\r\na.jpg,ü\r\n".encode("cp1252"), {"encoding": "cp1252"}),
        ("uri,c\na.jpg,ü\n".encode("utf-16"), {"encoding": "utf-16"}),
        ("uri,c\na.jpg,ü\n".encode("utf-8-sig"), {}),
        ("c,x,uri\nü,,a.jpg\n", {}),
    ],
)
def test_the_settings_say_how_it_is_written(data: str | bytes, settings: dict[str, object], path: Path) -> None:
    assert read(path, data, **settings).to_pylist() == [{"uri": "a.jpg", "c": "ü"}]


def test_without_a_header_columns_are_numbered_and_the_first_line_is_an_image(path: Path) -> None:
    table = read(path, "a.jpg,x\nb.jpg,y\n", header=False, keys={"1": "uri_column", "2": "keep_columns"})
    assert table.to_pylist() == [{"1": "a.jpg", "2": "x"}, {"1": "b.jpg", "2": "y"}]


@pytest.mark.parametrize(
    ("data", "settings", "problem", "fix"),
    [
        ("", {}, "the file is empty", "omit it with dataset.exclude"),
        ("\n\n", {}, "the file is empty", "omit it with dataset.exclude"),
        ("a.jpg,x\n", {}, "has no such column", "dataset.csv.header=false dataset.uri_column=1"),
        ("uri;c\na.jpg;x\n", {}, "has no such column", "\"dataset.csv.delimiter=';'\""),
        ("uri\tc\na.jpg\tx\n", {}, "has no such column", '"dataset.csv.delimiter=tab"'),
        ("uri,c,c\na,b,c\n", {}, "has two columns of that name", "its columns are uri, c, c"),
        ("uri,c\na.jpg\nb.jpg,1,2\n", {}, "line 2: 1 fields", "correct that line"),
        ("uri,c\n" + "a,b\n" * 400_000 + "a\nb,c,d\n", {}, "line 400002: 1 fields", "correct that line"),
        (b"uri,c\na,\xff\n", {}, "line 2: not utf-8", "dataset.csv.encoding"),
        ("uri,c\na,ü\n".encode("utf-16"), {}, "line 1: not utf-8", "utf-16"),
    ],
)
def test_what_does_not_fit_is_refused(
    data: str | bytes, settings: dict[str, object], problem: str, fix: str, path: Path
) -> None:
    with pytest.raises(JobError, match=problem) as caught:
        read(path, data, **settings)
    assert fix in caught.value.fix


@pytest.mark.parametrize("setting", [{"delimiter": "::"}, {"quote": "no"}, {"encoding": "utf-9"}])
def test_settings_that_cannot_be(setting: dict[str, str]) -> None:
    with pytest.raises(JobError, match=f"dataset.csv.{next(iter(setting))}="):
        Csv(**setting).check()


def test_blank_lines_are_told(path: Path) -> None:
    path.write_text("uri,c\n\na,b\n" + "\n" * 9)
    passed_over = PassedOver()
    tables = CsvFile(TextFile(str(path), Storage()), Csv(), is_tsv=False).tables(KEYS, passed_over)
    assert sum(map(len, tables)) == 1
    assert passed_over.counts == {"blank line": 10}
    assert passed_over.examples["blank line"][:2] == [f"{path}, line 2", f"{path}, line 4"]


def test_a_list_of_paths_has_every_line(path: Path) -> None:
    path.write_text('a b.jpg\n"q",.jpg\r\n\n#c.jpg\nlast.jpg')
    passed_over = PassedOver()
    table = pa.concat_tables(PathsFile(TextFile(str(path), Storage())).tables("uri", passed_over))
    assert table["uri"].to_pylist() == ["a b.jpg", '"q",.jpg', "#c.jpg", "last.jpg"]
    assert passed_over.examples == {"blank line": [f"{path}, line 3"]}


def test_a_list_of_paths_with_a_header_is_a_table(path: Path) -> None:
    path.write_text("uri,label\na.jpg,cat\n")
    with pytest.raises(JobError, match="line 1: it names the column uri") as caught:
        list(PathsFile(TextFile(str(path), Storage())).tables("uri", PassedOver()))
    assert "dataset.format=csv" in caught.value.fix
