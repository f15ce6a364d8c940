"""The project follows the rules in `rules`, and each rule fails on a made-up source that breaks it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from rules import (
    import_breaches,
    median_breaches,
    mirror_breaches,
    name_breaches,
    opening_breaches,
    pin_breaches,
    room_breaches,
    size_breaches,
    text_breaches,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).parents[1]
PUBLISHED = ("jobs", "actors", "conf", "tests", "k8s", "docs", ".ci")  # and the files next to them

# Modules without their own test file, and why.
UNTESTED: dict[str, str] = {}


def read_sources(*folders: str) -> dict[str, str]:
    files = [file for folder in folders for file in sorted((ROOT / folder).rglob("*.py"))]
    return {file.relative_to(ROOT).as_posix(): file.read_text(encoding="utf-8") for file in files}


def read_texts() -> Iterator[tuple[str, str]]:
    """Yields the name and content of every published text file."""
    below = [file for folder in PUBLISHED for file in (ROOT / folder).rglob("*") if file.is_file()]
    beside = (file for file in ROOT.iterdir() if file.is_file() and file.name != ".git")  # a file in a worktree
    for file in [*below, *beside]:
        data = file.read_bytes()
        if b"\0" not in data:
            yield file.relative_to(ROOT).as_posix(), data.decode("utf-8")


MODULES = read_sources("jobs", "actors")


def hold(breaches: list[str]) -> None:
    if breaches:
        pytest.fail("\n".join(breaches), pytrace=False)


@pytest.mark.parametrize("find_breaches", [import_breaches, size_breaches])
def test_every_module_keeps_the_rule(find_breaches: Callable[[str, str], list[str]]) -> None:
    hold([breach for path, source in MODULES.items() for breach in find_breaches(path, source)])


def test_rooms_import_downwards_only_and_no_circle_is_among_the_modules() -> None:
    hold(room_breaches(MODULES))


def test_the_project_is_made_of_short_files_and_functions() -> None:
    hold(median_breaches(MODULES.values()))


def test_every_module_has_its_tests_at_the_mirrored_path() -> None:
    tests = {path: text for path, text in read_sources("tests/jobs", "tests/actors").items() if "/test_" in path}
    hold(mirror_breaches(MODULES, tests, UNTESTED))


def test_file_names_say_what_is_in_them() -> None:
    files = [file for folder in PUBLISHED for file in (ROOT / folder).rglob("*") if file.suffix != ".pyc"]
    hold([breach for file in files for breach in name_breaches(file.relative_to(ROOT).as_posix())])


def test_docstrings_begin_with_a_verb_or_a_noun() -> None:
    sources = MODULES | read_sources("tests")
    hold([breach for path, source in sources.items() for breach in opening_breaches(path, source)])


def test_published_texts_hold_no_machine_path_and_no_registry() -> None:
    hold([breach for path, text in read_texts() for breach in text_breaches(path, text)])


def test_constraints_pin_every_requirement() -> None:
    constraints, pyproject = ((ROOT / name).read_text() for name in ("constraints.txt", "pyproject.toml"))
    hold(pin_breaches(constraints, pyproject))


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("actors/decoding/decode.py", "import jobs"),
        ("actors/decoding/decode.py", "from jobs.config import Job"),
        ("actors/engines/base.py", "from ...jobs import config"),
        ("actors/decoding/decode.py", "def f():\n    import jobs.config"),
        ("actors/decoding/decode.py", "if TYPE_CHECKING:\n    from jobs.config import Job"),
        ("jobs/planning/planner.py", "from omegaconf import DictConfig"),
        ("jobs/planning/planner.py", "if TYPE_CHECKING:\n    from omegaconf import DictConfig"),
        ("jobs/batch_infer.py", "from omegaconf import DictConfig"),
        ("jobs/batch_infer.py", "import hydra\n@hydra.main()\ndef main(config): ..."),
        ("jobs/batch_infer.py", "import hydra as h"),
        ("jobs/batch_infer.py", "from hydra import compose"),
        ("jobs/batch_infer.py", "import hydra.utils"),
        ("actors/decoding/decode.py", "import hydra.core.config_store"),
        ("actors/predictor.py", "import ray"),
        ("actors/reading/reader.py", "import ray.data"),
        ("actors/predictor.py", "if TYPE_CHECKING:\n    from ray.data import Dataset"),
        ("jobs/config.py", "import torch.nn as nn"),
        ("actors/decoding/decode.py", "try:\n    import torch\nexcept ImportError:\n    torch = None"),
        ("actors/decoding/decode.py", "import importlib\ntorch = importlib.import_module('torch.nn')"),
        ("actors/decoding/decode.py", "torch = __import__('torch')"),
        ("actors/decoding/decode.py", "if typing.TYPE_CHECKING:\n    import numpy\nelse:\n    import torch"),
        ("actors/preprocess.py", "import onnxruntime"),
        ("actors/preprocess.py", "from safetensors import torch"),
        ("actors/models/spec.py", "import timm"),
        ("actors/models/spec.py", "import pandas as pd"),
        ("jobs/reporting/report.py", "from pandas import DataFrame"),
    ],
)
def test_a_forbidden_import_is_a_breach(path: str, source: str) -> None:
    assert len(import_breaches(path, source)) == 1


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("actors/decoding/decode.py", "import jobsite, raylib, torchless, onnxish\nfrom actors import ray, torch"),
        ("actors/decoding/decode.py", "if TYPE_CHECKING:\n    import torch\n    from onnx import ModelProto"),
        ("actors/tasks/base.py", "from . import torch\nfrom ..columns import URI"),
        ("actors/decoding/gpu_decoder.py", "import torch"),
        ("actors/engines/onnx_engine.py", "import onnx, onnxruntime, torch"),
        ("actors/models/checkpoints.py", "from safetensors.torch import load_file"),
        ("actors/models/checkpoints.py", "from safetensors import safe_open"),
        ("jobs/dataflow/pipeline.py", "import ray\nfrom actors.reading.reader import Reader\nfrom jobs import planner"),
        ("jobs/schemas.py", "from hydra.core.config_store import ConfigStore\nfrom omegaconf import OmegaConf"),
        ("jobs/batch_infer.py", "if TYPE_CHECKING:\n    from omegaconf import DictConfig"),
    ],
)
def test_an_allowed_import_is_none(path: str, source: str) -> None:
    assert import_breaches(path, source) == []


@pytest.mark.parametrize(
    ("sources", "breach"),
    [
        ({"actors/storage/store.py": "from actors.errors import JobError", "actors/errors.py": ""}, None),
        (
            {"actors/storage/store.py": "from actors.models import Model", "actors/models/__init__.py": ""},
            "actors/storage/store.py:1 imports actors.models, which is not below actors.storage",
        ),
        (
            {
                "jobs/runs/commit.py": "if TYPE_CHECKING:\n from jobs.reporting.report import Report",
                "jobs/reporting/report.py": "",
            },
            "jobs/runs/commit.py:2 imports jobs.reporting.report, which is not below jobs.runs",
        ),
        ({"jobs/config.py": "import jobs.submission.config", "jobs/submission/config.py": ""}, None),
        (
            {"jobs/config.py": "import jobs.submission.request", "jobs/submission/request.py": ""},
            "jobs/config.py:1 imports jobs.submission.request, which is not below jobs.config",
        ),
        (
            {
                "actors/tasks/raw.py": "def f():\n from actors.tasks.base import Task",
                "actors/tasks/base.py": "from actors.tasks import raw",
            },
            "a circle of imports: ",
        ),
        ({"actors/drawer/base.py": ""}, "actors/drawer/base.py: TIERS has no room actors.drawer"),
    ],
)
def test_an_import_that_leads_up_or_round_is_a_breach(sources: dict[str, str], breach: str | None) -> None:
    breaches = room_breaches(sources)
    assert len(breaches) == (breach is not None)
    assert breach is None or breaches[0].startswith(breach)


LINES = "\n".join(["    x = 1"] * 59)


@pytest.mark.parametrize(
    ("source", "breach"),
    [
        ("x = 1\n" * 299, None),
        ("x = 1\n" * 300, "301 lines"),
        (f"def f():\n{LINES}", None),
        (f'def f():\n    """One\n\n    Two."""\n{LINES}', None),
        (f"async def f():\n{LINES}\n    x = 2", "61 lines"),
        (f"class A:\n  def f(self):\n{LINES}\n    x = 2", "61 lines"),
        ("class A:\n  def f(self, a, b, c, *, d, e, f): ...", None),
        ("def f(a, b, c, *, d, e, f, g): ...", "7 parameters"),
        ("def f(a, b, /, c, d, e, *rest, **more): ...", "7 parameters"),
        ("def f():\n if a:\n  for b in a:\n   with b: c", None),
        ("def f():\n if a:\n  for b in a:\n   with b:\n    while c: d", "4 levels of nesting"),
        ("def f():\n try: a\n except E:\n  if a:\n   if b:\n    if c: d", "4 levels of nesting"),
        ("def f():\n if a: b\n elif c: d\n elif e: f\n elif g: h\n else: i", None),
        ("def f():\n if a: b\n else:\n  if c: d\n  else:\n   if e: f\n   else:\n    if g: h", "4 levels"),
        ("def f():\n if a:\n  if b:\n   def g():\n    if c:\n     if d: e", None),
    ],
)
def test_what_is_too_large_is_a_breach(source: str, breach: str | None) -> None:
    breaches = size_breaches("actors/decoding/decode.py", f'"""A role card."""\n{source}')
    assert len(breaches) == (breach is not None)
    assert breach is None or breach in breaches[0]


@pytest.mark.parametrize("card", ["", '"""1\n2\n3\n4\n5"""'])
def test_a_role_card_is_one_to_four_lines(card: str) -> None:
    assert len(size_breaches("actors/decoding/decode.py", f"{card}\nx = 1")) == 1
    assert size_breaches("actors/decoding/decode.py", "") == []  # an empty __init__.py


def test_medians_count_modules_and_functions() -> None:
    def module(*, functions: int, lines: int) -> str:
        return ("def f():\n" + "    x = 1\n" * (lines - 1)) * functions

    assert median_breaches([module(functions=10, lines=10), "", ""]) == []
    assert median_breaches([module(functions=3, lines=10), module(functions=4, lines=11)]) == [
        "median lines of a function: 11, above 10"
    ]
    assert median_breaches([module(functions=23, lines=5)] * 2 + [module(functions=5, lines=5)]) == [
        "median lines of a module: 115, above 110"
    ]
    assert median_breaches([module(functions=5, lines=5)] * 8 + [module(functions=25, lines=9)]) == [
        "lines of 95 in 100 modules: 225, above 220"
    ]


def test_a_module_without_its_tests_is_a_breach() -> None:
    modules = ["actors/tasks/raw.py", "actors/tasks/__init__.py", "jobs/serve.py"]
    test = {"tests/actors/tasks/test_raw.py": "def test_raw(): ..."}
    assert mirror_breaches(modules, test, ["jobs/serve.py"]) == []
    assert mirror_breaches(modules, test, []) == ["jobs/serve.py: no tests"]
    assert mirror_breaches(modules, {"tests/actors/tasks/test_raw.py": "x = 1"}, ["jobs/serve.py"]) == [
        "actors/tasks/raw.py: no tests"
    ]
    assert mirror_breaches(modules, {**test, "tests/jobs/test_old.py": ""}, ["jobs/serve.py"]) == [
        "tests/jobs/test_old.py: tests no module"
    ]
    assert mirror_breaches(modules, test, ["jobs/serve.py", "actors/tasks/raw.py", "jobs/gone.py"]) == [
        "actors/tasks/raw.py: needs no exception",
        "jobs/gone.py: needs no exception",
    ]


@pytest.mark.parametrize(
    ("source", "num_breaches"),
    [
        ('"""Whether it is done."""', 1),
        ('class A:\n    """Rows."""\n    x: int = 1\n    """Which of them."""', 1),
        ('def f():\n    """\n    How fast it is.\n    """', 1),
        ('"""Whatever comes. Where it lies."""\nx = """What"""\nprint("How")', 0),
    ],
)
def test_an_indirect_opening_is_a_breach(source: str, num_breaches: int) -> None:
    assert len(opening_breaches("actors/columns.py", source)) == num_breaches


@pytest.mark.parametrize("path", ["jobs/utils.py", "actors/common/x.py", "tests/image_helper.py", "conf/misc.yaml"])
def test_a_vague_name_is_a_breach(path: str) -> None:
    assert len(name_breaches(path)) == 1
    assert name_breaches("actors/community_client/miscellany.py") == []


@pytest.mark.parametrize(
    ("path", "text", "num_breaches"),
    [
        ("README.md", "see /ro" + "ot/x and `/wo" + "rk/main`", 1),
        ("tests/test_x.py", 'open("/tm' + 'p/x")', 1),
        ("k8s/ray.yaml", "mountPath: /tm" + "p/ray", 0),
        ("README.md", "s3://bucket/work, ~/work, {root}/tmp, a/tmp, /workers, /home-of-x, /data/x", 0),
        ("k8s/Dockerfile", "RUN pip install --index-" + "url=x y", 1),
        ("Makefile", "pip install -i https://py" + "pi.org/simple", 1),
        ("constraints.txt", "# from files.python" + "hosted.org\nx==1", 1),
        ("README.md", "pip install shardlens from the usual index", 0),
    ],
)
def test_a_machine_path_or_a_registry_is_a_breach(path: str, text: str, num_breaches: int) -> None:
    assert len(text_breaches(path, text)) == num_breaches


@pytest.mark.parametrize(
    ("constraints", "num_breaches"),
    [
        ("# why\nnumpy==2.4.6\nRuff==0.17.6", 0),
        ("numpy==1.26.4\nruff==0.17.6", 1),
        ("numpy==2.4.6", 1),
        ("numpy==2.4.6+cpu\nruff==0.17.6", 1),
        ("numpy==2.4.6\nruff==0.17.6\nx==1 --hash=sha256:0", 1),
        ("numpy>=2.4\nruff==0.17.6", 2),
    ],
)
def test_a_requirement_without_its_pin_is_a_breach(constraints: str, num_breaches: int) -> None:
    pyproject = """
        [project]
        dependencies = ["numpy>=2.1; python_version > '3'"]
        optional-dependencies = {test = ["ruff[x]>=0.14"]}
    """
    assert len(pin_breaches(constraints, pyproject)) == num_breaches
