"""Impossible limits and devices are rejected."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from actors.decoding.config import Decode, DecodeDevice, has_nvimgcodec
from actors.errors import JobError

LIMITS = Decode()


@pytest.mark.parametrize("limits", [Decode(max_pixels=0), Decode(max_bytes=-1)])
def test_a_limit_that_no_image_can_meet_is_the_job_s_mistake(limits: Decode) -> None:
    with pytest.raises(JobError, match=r"decode\.max_(pixels|bytes)=(0|-1)"):
        limits.check()
    LIMITS.check()


@pytest.mark.parametrize("is_installed", [True, False])
def test_a_gpu_needs_nvimgcodec(is_installed: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:  # noqa: FBT001
    for name in [name for name in sys.modules if name.partition(".")[0] == "nvidia"]:
        monkeypatch.delitem(sys.modules, name)
    (tmp_path / "nvidia" / "nvimgcodec").mkdir(parents=True)
    (tmp_path / "nvidia" / "__init__.py").touch()
    (tmp_path / "nvidia" / "nvimgcodec" / "__init__.py").write_text("raise AssertionError('imported')")
    monkeypatch.setattr(sys, "path", [str(tmp_path)] if is_installed else [str(tmp_path / "nowhere")])
    assert has_nvimgcodec() == is_installed
    if is_installed:
        Decode(device=DecodeDevice.gpu).check()
    else:
        with pytest.raises(JobError, match=r"decode\.device=gpu: .* not installed\n.*shardlens\[nvimgcodec\]"):
            Decode(device=DecodeDevice.gpu).check()
        Decode(device=DecodeDevice.auto).check()
