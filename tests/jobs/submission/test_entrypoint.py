from __future__ import annotations

import io
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from jobs.submission.entrypoint import PYTHON, REQUIREMENTS, STDOUT, MarkedLines, missing_requirements

ROOT = Path(__file__).parents[3]


def arrive(*arguments: str, flags: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *flags, "-m", "jobs.submission.entrypoint", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)


def test_it_asks_for_what_the_project_asks_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked: dict[str, Version] = {}
    for requirement in map(Requirement, project["dependencies"]):
        if requirement.name == "cykooz.resizer" and requirement.marker and not requirement.marker.evaluate():
            continue  # no wheel for this platform
        least = [Version(one.version) for one in requirement.specifier if one.operator == ">="]
        asked[canonicalize_name(requirement.name)] = least[0]
    del asked["openvino"]  # a job runs without it
    assert {name: Version(".".join(map(str, least))) for name, (_, least) in REQUIREMENTS.items()} == asked
    assert project["requires-python"] == f">={PYTHON[0]}.{PYTHON[1]}"


def test_this_interpreter_lacks_nothing() -> None:
    assert missing_requirements(sys.version_info[:2]) is None


def test_an_old_python_is_named() -> None:
    assert missing_requirements((3, 10)) == "too old; 3.11 or newer is needed"


def test_packages_that_are_missing_or_old_are_named() -> None:
    needed = {"one": ("no_such_module", (1,)), "two": ("no_such.module", (1,)), "numpy": ("numpy", (999, 1))}
    said = missing_requirements(PYTHON, needed)
    assert said is not None
    assert "no_such_module (of the package one), no_such.module (of the package two)" in said
    assert "numpy 999.1 or newer (it is " in said


def test_without_site_packages_it_says_what_is_missing_and_runs_nothing() -> None:
    ended = arrive("verify", "output.path=x", flags=("-S",))
    assert ended.returncode == 2
    assert f"the cluster's python, {sys.executable} (3." in ended.stderr
    assert "lacks ray (of the package ray), torch" in ended.stderr
    assert "fix:" in ended.stderr
    assert not ended.stdout


def test_the_verb_ends_as_it_ends_and_its_output_is_marked(tmp_path: Path) -> None:
    ended = arrive("verify", f"output.path={tmp_path}")
    assert ended.returncode == 2
    assert "there are no runs below it" in ended.stderr
    ended = arrive("verify", "output.path=x", "--cfg", "job")
    assert ended.returncode == 0
    assert all(line.startswith(STDOUT) for line in ended.stdout.splitlines())
    assert f"{STDOUT}  path: x\n" in ended.stdout


def test_lines_are_marked_whole() -> None:
    stream = io.StringIO()
    marked = MarkedLines(stream)
    for text in ("a", "", "b\nc\n\nd"):
        print(text, end="", file=marked)
    assert stream.getvalue() == f"{STDOUT}ab\n{STDOUT}c\n{STDOUT}\n"
    marked.end()
    marked.end()
    assert stream.getvalue().endswith(f"{STDOUT}d\n")
    assert not marked.isatty()


@pytest.mark.parametrize("module", ["jobs/__init__.py", "jobs/submission/__init__.py", "jobs/submission/entrypoint.py"])
def test_it_parses_on_an_old_python(module: str) -> None:
    import ast  # noqa: PLC0415

    ast.parse((ROOT / module).read_text(), feature_version=(3, 7))
