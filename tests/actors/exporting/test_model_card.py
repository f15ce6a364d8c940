from __future__ import annotations

from dataclasses import replace

import pytest
import yaml

from actors.exporting.model_card import model_card
from actors.models.bundle_files import Bundle, FileDigest, FormRecord

FORM = FormRecord(
    {"model.onnx": FileDigest("0", 1)}, "fp32", "none", normalises=True,
    inputs=[{"name": "pixels_nhwc", "dtype": "uint8", "shape": [None, 32, 32, 3]}],
    outputs=[{"name": "output", "dtype": "float32", "shape": [None, 10]}],
)  # fmt: skip
BUNDLE = Bundle("", {"onnx": FORM}, "timm:resnet18", {}, {}, None, {"name": "classify"}, {}, "mabc", {})


@pytest.mark.parametrize(
    ("architecture", "task", "library", "pipeline"),
    [
        ("timm:resnet18", "classify", "timm", "image-classification"),
        ("my.module:Net", "embed", None, "image-feature-extraction"),
        (None, "raw", None, "image-feature-extraction"),
    ],
)
def test_the_front_matter_is_what_the_hub_reads(
    architecture: str | None, task: str, library: str | None, pipeline: str
) -> None:
    card = model_card(replace(BUNDLE, architecture=architecture, task={"name": task}), "a: b", ["form  passed"])
    front = yaml.safe_load(card.split("---\n")[1])
    assert (front.get("library_name"), front["pipeline_tag"]) == (library, pipeline)
    assert front["tags"] == ["shardlens", "onnx"]


def test_forms_and_the_table_are_in_it() -> None:
    card = model_card(BUNDLE, "digits", ["form  passed", "onnx  yes"])
    assert "# digits\n" in card
    assert "| `onnx` | fp32 | `model.onnx` | `pixels_nhwc` uint8 (n, 32, 32, 3) | `output` float32 (n, 10) |" in card
    assert "    onnx  yes\n" in card
