"""The Dockerfile, checked without building it."""

from __future__ import annotations

import fnmatch
import tomllib

import pytest
from dockerfile_parse import DockerfileParser
from manifests import K8S, pods, render

ROOT = K8S.parent
COMPILERS = ("build-essential", "gcc", "g++", "clang", "make", "python3-dev", "cmake")


@pytest.fixture(scope="module")
def steps(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[str, str]]:
    copy = tmp_path_factory.mktemp("image") / "Dockerfile"  # the parser opens it for writing
    copy.write_text((K8S / "Dockerfile").read_text())
    found = DockerfileParser(str(copy)).structure
    return [(step["instruction"], step["value"]) for step in found if step["instruction"] != "COMMENT"]


def last_stage(steps: list[tuple[str, str]]) -> list[tuple[str, str]]:
    start = max(index for index, (instruction, _) in enumerate(steps) if instruction == "FROM")
    return steps[start:]


def test_the_base_is_an_argument(steps: list[tuple[str, str]]) -> None:
    assert steps[0][0] == "ARG"
    assert steps[0][1].startswith("BASE=")
    assert [value for instruction, value in steps if instruction == "FROM"] == [
        "${BASE} AS base",
        "base AS build",
        "base",
    ]


def test_it_ends_as_the_user_that_the_manifests_name(steps: list[tuple[str, str]]) -> None:
    (user,) = [value for instruction, value in last_stage(steps) if instruction == "USER"]
    for obj in render(K8S / "overlays/nightly-cpu"):
        for _, pod in pods(obj):
            security = pod["spec"]["securityContext"]
            assert user == f"{security['runAsUser']}:{security['runAsGroup']}"


def test_it_installs_the_pinned_versions_and_extras_that_exist(steps: list[tuple[str, str]]) -> None:
    (install,) = [value for instruction, value in steps if instruction == "RUN" and "pip install" in value]
    assert "-c constraints.txt" in install
    (extras,) = [value for instruction, value in steps if instruction == "ARG" and value.startswith("EXTRAS=")]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert set(extras.removeprefix("EXTRAS=").split(",")) <= set(project["optional-dependencies"])


def test_it_holds_no_compiler_and_no_secret(steps: list[tuple[str, str]]) -> None:
    words = " ".join(value for _, value in steps).replace("=", " ").split()
    assert not set(words) & set(COMPILERS)
    assert not [word for word in words if word.upper() in ("TOKEN", "PASSWORD", "AWS_SECRET_ACCESS_KEY")]
    (copied,) = [value for instruction, value in last_stage(steps) if instruction == "COPY"]
    assert copied.startswith("--from=build ")


def test_what_is_sent_to_the_build_is_what_the_wheel_is_made_of() -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    assert lines[1] == "*"
    sent = [line.removeprefix("!") for line in lines if line.startswith("!")]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    packages = project["tool"]["setuptools"]["packages"]["find"]["include"]
    assert {name for name in sent if (ROOT / name).is_dir()} == {package.rstrip("*") for package in packages}
    needed = [project["project"]["readme"], *project["project"]["license-files"], "pyproject.toml", "constraints.txt"]
    for name in needed:
        assert any(fnmatch.fnmatch(name, pattern) for pattern in sent), name
    assert all((ROOT / name).exists() for name in sent)
