from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from actors.errors import JobError
from jobs.submission.working_dir import OUR_PACKAGES, gather_code


def packed(target: Path, *py_modules: Path) -> set[str]:
    assert gather_code([str(path) for path in py_modules]).write(target) == target.stat().st_size
    return set(zipfile.ZipFile(target).namelist())


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "code.zip"


@pytest.fixture
def theirs(tmp_path: Path) -> Path:
    for name in ("plain/single.py", "plain/inner/__init__.py", "plain/__pycache__/x.pyc", "package/__init__.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("NAME = __name__\n")
    return tmp_path


def test_our_own_code_runs_from_the_parcel(target: Path, tmp_path: Path) -> None:
    names = packed(target)
    assert {"jobs/batch_infer.py", "actors/sample/digits.parquet", "conf/dataset/images.yaml"} <= names
    assert all(name.split("/")[0] in OUR_PACKAGES or ".dist-info/" in name for name in names)
    assert not [name for name in names if "__pycache__" in name]
    zipfile.ZipFile(target).extractall(tmp_path / "there")
    ask = "import conf, jobs.submission.entrypoint as a; print(a.__file__, conf.__file__)"
    said = subprocess.run(
        [sys.executable, "-c", ask], cwd=tmp_path / "there", capture_output=True, text=True, check=True
    )
    assert said.stdout.count(str(tmp_path / "there")) == 2


def test_the_same_code_is_the_same_parcel(target: Path, theirs: Path, tmp_path: Path) -> None:
    packed(target, theirs / "plain")
    (theirs / "plain" / "single.py").touch()
    packed(tmp_path / "again.zip", theirs / "plain")
    assert target.read_bytes() == (tmp_path / "again.zip").read_bytes()
    (theirs / "plain" / "single.py").write_text("NAME = 2\n")
    packed(target, theirs / "plain")
    assert target.read_bytes() != (tmp_path / "again.zip").read_bytes()


def test_folders_and_files_of_the_user_travel(target: Path, theirs: Path) -> None:
    names = packed(target, theirs / "plain", theirs / "package", theirs / "plain" / "single.py")
    assert {"single.py", "inner/__init__.py", "package/__init__.py"} <= names
    assert "plain/single.py" not in names


def test_a_wheel_is_unpacked(target: Path, theirs: Path) -> None:
    wheel = theirs / "w-1-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name in ("w/__init__.py", "w-1.data/purelib/v.py", "w-1.data/scripts/run", "w-1.dist-info/METADATA"):
            archive.writestr(name, "x = 1\n")
    names = packed(target, wheel)
    assert {"w/__init__.py", "v.py", "w-1.dist-info/METADATA"} <= names
    assert not [name for name in names if "scripts/" in name]


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("nowhere", "no such file or folder"),
        ("notes.txt", "neither a folder nor"),
        ("broken.whl", "not a wheel"),
        ("empty", "no Python module"),
        ("jobs", "exists already"),
        ("other", "exists already"),
    ],
)
def test_what_cannot_travel_is_named(name: str, problem: str, theirs: Path) -> None:
    (theirs / "notes.txt").write_text("x")
    (theirs / "broken.whl").write_text("x")
    (theirs / "empty").mkdir()
    for package, text in (("jobs", "1"), ("other", "2")):
        (theirs / package).mkdir()
        (theirs / package / ("__init__.py" if package == "jobs" else "single.py")).write_text(text)
    with pytest.raises(JobError, match=problem) as caught:
        gather_code([str(theirs / "plain"), str(theirs / name)])
    assert f"cluster.py_modules={theirs / name}" in str(caught.value)


def test_what_is_too_large_is_refused_with_its_largest_files(target: Path, theirs: Path) -> None:
    (theirs / "package" / "weights.bin").write_bytes(bytes(range(256)) * 4096)
    with pytest.raises(JobError, match=r"Ray accepts at most 0.1 MiB") as caught:
        gather_code([str(theirs / "package")]).write(target, max_bytes=100_000)
    assert "package/weights.bin (1.0 MiB)" in str(caught.value)


def test_the_list_has_what_travels_and_what_stays(theirs: Path) -> None:
    (theirs / "package" / ".env").write_text("TOKEN=hush")
    lines = list(gather_code([str(theirs / "package")]).lines())
    assert "          16  package/__init__.py" in lines
    assert [line for line in lines if ".env" in line] == [f"    left out  {theirs}/package/.env: hidden"]
