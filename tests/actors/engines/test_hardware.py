from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from actors.engines.hardware import Hardware, _cpu, hardware

XEON = """processor\t: 0
model name\t: Intel(R) Xeon(R) Platinum 8488C
flags\t\t: fpu avx2 avx512f avx512_bf16 amx_bf16 amx_tile

processor\t: 1
model name\t: another
flags\t\t: fpu
"""
ARM = "processor\t: 0\nFeatures\t: fp asimd bf16 i8mm\n"


def made(*features: str, capability: tuple[int, int] | None = None) -> Hardware:
    return Hardware("some", features, "a GPU" if capability else None, capability, (("torch", "2.13.0"),))


def test_the_first_processor_is_described(tmp_path: Path) -> None:
    (tmp_path / "xeon").write_text(XEON)
    assert _cpu(tmp_path / "xeon") == (
        "Intel(R) Xeon(R) Platinum 8488C",
        ("avx2", "avx512f", "avx512_bf16", "amx_bf16"),
    )
    (tmp_path / "arm").write_text(ARM)
    assert _cpu(tmp_path / "arm")[1] == ("bf16",)
    assert _cpu(tmp_path / "none")[1] == ()


@pytest.mark.skipif(torch.cuda.is_available(), reason="has a GPU")
def test_a_gpu_that_pytorch_cannot_use_is_none() -> None:
    assert hardware(with_gpu=True) == hardware(with_gpu=False)


@pytest.mark.parametrize(
    ("found", "is_fast"),
    [
        (made("avx2"), False),
        (made("avx512_bf16"), False),
        (replace(made("avx512_bf16"), cpu="AMD EPYC 9655"), True),
        (replace(made("avx512f"), cpu="AMD EPYC 7543"), False),
        (made("amx_bf16"), True),
        (made("bf16"), True),
        (made("amx_bf16", capability=(7, 5)), False),
        (made("avx2", capability=(8, 0)), True),
        (made(capability=(9, 0)), True),
    ],
)
def test_bf16_is_fast_where_the_processor_multiplies_matrices_in_it(found: Hardware, *, is_fast: bool) -> None:
    assert found.has_fast_bf16 is is_fast


def test_int8_saturates_where_x86_lacks_vnni() -> None:
    assert made("avx2").saturates_int8
    assert not made("avx2", "avx_vnni").saturates_int8
    assert not made("avx2", "avx512_vnni").saturates_int8
    assert not made("bf16").saturates_int8


def test_this_machine_has_a_processor_and_torch() -> None:
    here = hardware(with_gpu=False)
    assert here.cpu
    assert here.gpu is None
    assert here.has("torch")
    assert not here.has("tensorflow")
    assert here == hardware(with_gpu=False)


@pytest.mark.parametrize(
    ("limit", "most"),
    [
        ("AVX2", {"avx2"}),
        ("avx512_core_vnni", {"avx2", "avx512f", "avx512_vnni"}),
        ("AVX512_CORE_BF16", {"avx2", "avx512f", "avx512_vnni", "avx512_bf16"}),
    ],
)
def test_instructions_that_onednn_may_not_use_are_left_out(
    limit: str, most: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ONEDNN_MAX_CPU_ISA", raising=False)
    found = hardware(with_gpu=False).cpu_features
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", limit)
    assert hardware(with_gpu=False).cpu_features == tuple(name for name in found if name in most)
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "DEFAULT")
    assert hardware(with_gpu=False).cpu_features == found
