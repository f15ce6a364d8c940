from __future__ import annotations

import subprocess
import sys

import pytest

from actors.tracking.watchdog import limit

HEAD = """
import ctypes, time
from functools import partial
from actors.tracking import watchdog
watchdog._REPORT_S = 0.2
limit = partial(watchdog.limit, report=lambda: print("told", flush=True))
"""
HOLDS_THE_GIL = "with limit(0.3):\n    ctypes.PyDLL(None).usleep(60_000_000)"  # PyDLL does not release it
WAITS = "with limit(0.3):\n    time.sleep(60)"
IN_TIME = "for _ in range(3):\n    with limit(0.3): time.sleep(0.01)\ntime.sleep(0.6)\nprint('alive')"
RAISES = "try:\n    with limit(0.3): raise ValueError\nexcept ValueError: pass\ntime.sleep(0.6)\nprint('alive')"
NO_LIMIT = "with limit(None): time.sleep(0.1)\nprint('alive')"


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", HEAD + code], capture_output=True, text=True, timeout=30, check=False)


@pytest.mark.parametrize(("code", "told"), [(HOLDS_THE_GIL, ""), (WAITS, "told\n")])
def test_what_stalls_ends_its_process_and_says_where(code: str, told: str) -> None:
    done = run(code)
    assert (done.returncode, done.stdout) == (1, told)
    assert "Timeout (0:00:00.500000)!" in done.stderr
    assert 'File "<string>", line 8' in done.stderr


@pytest.mark.parametrize("code", [IN_TIME, RAISES, NO_LIMIT])
def test_what_comes_back_in_time_lives_on(code: str) -> None:
    assert run(code).stdout == "alive\n"


def test_standard_error_may_be_no_file(capsys: pytest.CaptureFixture[str]) -> None:
    with limit(60, lambda: None):
        pass
    assert capsys.readouterr().err == ""
