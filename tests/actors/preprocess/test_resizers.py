from __future__ import annotations

import platform
from typing import Any

import numpy as np
import pytest
from cykooz_resizer import CpuExtensions
from cykooz_resizer.rust_lib import RustResizer
from photos import photo

from actors.preprocess import Interpolation, Preprocess, fit, resizers

SIZES = [(375, 500), (31, 47), (600, 190), (1, 1), (40, 1500), (300, 3001)]


@pytest.mark.skipif(not resizers._HAS_SIMD or platform.machine() != "x86_64", reason="instruction sets of x86")
@pytest.mark.parametrize("interpolation", Interpolation)
def test_every_instruction_set_gives_the_same_pixels(
    interpolation: Interpolation, monkeypatch: pytest.MonkeyPatch
) -> None:
    def resizer() -> Any:
        resizer = RustResizer()
        resizer.set_cpu_extensions(extensions.value)
        return resizer

    monkeypatch.setattr("actors.preprocess.resizers.RustResizer", resizer)
    best = RustResizer().get_cpu_extensions()
    for size in SIZES:
        found = set()
        for extensions in CpuExtensions.none, CpuExtensions.sse4_1, CpuExtensions.avx2:
            if extensions.value <= best:
                found.add(
                    fit(
                        np.asarray(
                            photo(3, height=max(size[0], 9), width=max(size[1], 9)).crop((0, 0, size[1], size[0]))
                        ),
                        Preprocess(interpolation=interpolation),
                    ).tobytes()
                )
        assert len(found) == 1
