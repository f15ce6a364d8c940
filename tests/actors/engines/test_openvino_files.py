from __future__ import annotations

from pathlib import Path

import numpy as np
import openvino
import pytest
from digit_images import DIGITS, digit_pixels

from actors.engines.openvino_files import convert
from actors.errors import JobError
from actors.exporting.export_cache import exported


def answers(path: Path) -> np.ndarray:
    compiled = openvino.Core().compile_model(str(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return next(iter(compiled(digit_pixels(4)).values()))


def test_halves_are_half_the_size_and_answer_alike(tmp_path: Path) -> None:
    source, sizes = exported(DIGITS), {}
    for precision, allowed in (("fp32", 1e-4), ("fp16", 0.05), ("bf16", 0.5)):
        path = tmp_path / precision / "model.xml"
        convert(source, path, precision, {"task": "classify"}, where="it")
        assert np.abs(answers(path) - answers(source)).max() < allowed
        sizes[precision] = path.with_suffix(".bin").stat().st_size
    assert sizes["fp16"] < 0.52 * sizes["fp32"]
    assert sizes["bf16"] < 0.52 * sizes["fp32"]


def test_the_file_describes_itself(tmp_path: Path) -> None:
    convert(exported(DIGITS), tmp_path / "model.xml", "fp32", {"labels": '["zero"]'}, where="it")
    graph = openvino.Core().read_model(str(tmp_path / "model.xml"))
    assert graph.get_rt_info(["model_info", "labels"]).astype(str) == '["zero"]'
    assert graph.input().get_partial_shape()[0].is_dynamic


def test_the_same_graph_gives_the_same_bytes(tmp_path: Path) -> None:
    for precision in ("fp32", "bf16"):
        files = [tmp_path / f"{precision}{number}" / "model.xml" for number in range(2)]
        for path in files:
            convert(exported(DIGITS), path, precision, {}, where="it")
        for suffix in (".xml", ".bin"):
            first, second = (path.with_suffix(suffix).read_bytes() for path in files)
            assert first == second


def test_a_file_that_is_no_graph(tmp_path: Path) -> None:
    (tmp_path / "x.onnx").write_bytes(b"nothing")
    with pytest.raises(JobError, match=r"export\.formats=openvino: my\.pt: openvino cannot read its graph") as caught:
        convert(tmp_path / "x.onnx", tmp_path / "model.xml", "fp32", {}, where="my.pt")
    assert "\n" not in caught.value.problem
