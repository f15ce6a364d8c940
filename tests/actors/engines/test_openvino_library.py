from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from actors.engines.openvino_library import load_openvino, plain_errors

SAYS_NOTHING = """
import sys
from actors.engines.openvino_library import load_openvino
devices = load_openvino().Core().available_devices
assert load_openvino() is sys.modules["openvino"]
print(devices, *[name for name in sys.modules if "telemetry" in name or name.startswith("openvino.tools")])
"""
MISSING = """
import sys
sys.modules["openvino"] = None
from actors.engines.base import load_engine
from actors.engines.configs import OpenVinoEngineConfig
from actors.errors import JobError
from actors.models.spec import Model
try:
    load_engine(OpenVinoEngineConfig(), Model(checkpoint="a.onnx"))
except JobError as error:
    print(error)
"""


def run(code: str, home: Path) -> str:
    environment = {"HOME": str(home), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    return done.stdout


def test_nothing_is_reported_and_nothing_left_in_the_home(tmp_path: Path) -> None:
    assert run(SAYS_NOTHING, tmp_path) == "['CPU']\n"
    assert list(tmp_path.iterdir()) == []


def test_a_missing_package_is_reported_with_the_fix(tmp_path: Path) -> None:
    said = run(MISSING, tmp_path)
    assert said.startswith("engine=openvino: OpenVINO cannot be imported: import of openvino halted")
    assert "fix: pip install openvino" in said


def test_errors_say_what_is_wrong_and_not_where_in_openvino() -> None:
    with pytest.raises(RuntimeError) as caught, plain_errors():
        load_openvino().Core().get_property("CPU", "NO_SUCH_THING")
    assert str(caught.value.__cause__).startswith("Exception from src/")
    assert str(caught.value).endswith("NO_SUCH_THING")
    assert "src/" not in str(caught.value)


@pytest.mark.parametrize(
    ("said", "line"),
    [
        ("Exception from src/a.cpp:1:\nCheck 'x' failed at src/b.cpp:2:\nNo such\n  thing\n\n", "No such thing"),
        ("Exception from src/a.cpp:1:\n\n", "Exception from src/a.cpp:1"),
        ("Infer Request is busy", "Infer Request is busy"),
        ("x" * 301, "x" * 299 + "…"),
    ],
)
def test_what_is_left_is_one_line(said: str, line: str) -> None:
    with pytest.raises(RuntimeError) as caught, plain_errors():
        raise RuntimeError(said)
    assert str(caught.value) == line


def test_other_errors_go_through_as_they_are() -> None:
    error = MemoryError("x")
    with pytest.raises(MemoryError) as caught, plain_errors():
        raise error
    assert caught.value is error
