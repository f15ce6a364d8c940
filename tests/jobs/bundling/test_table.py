from __future__ import annotations

from jobs.bundling.parity import FormParity
from jobs.bundling.table import NUM_TEXTS, failures_of, table_of
from jobs.cli.terminal import aligned

ROWS = [
    FormParity("onnx", "fp32", "onnxruntime", "cpu", 64, 9.54e-6, 1.18e-6, 0, 12_635.2),
    FormParity("openvino", "int8", "openvino", "cpu", 1024, 2.5, 0.25, 3, 20.0, breaches=["image a.jpg is off by 0.2"]),
    FormParity("pt2", "fp32", "-", breaches=["cannot be exported: ValueError: no"]),
]


def test_a_line_per_form_and_the_reason_for_each_that_failed() -> None:
    assert aligned(table_of(ROWS), num_texts=NUM_TEXTS) == [
        "form      precision  engine       images  largest diff  mean diff  flips  images/s  passed",
        "onnx      fp32       onnxruntime      64       9.5e-06    1.2e-06      0    12,635     yes",
        "openvino  int8       openvino      1,024           2.5       0.25      3        20      no",
        "pt2       fp32       -                 0             -          -      -         -      no",
    ]
    assert failures_of(ROWS) == [
        "openvino int8 failed: image a.jpg is off by 0.2",
        "pt2 fp32 failed: cannot be exported: ValueError: no",
    ]


def test_rates_can_be_left_out() -> None:
    (head, _) = table_of(ROWS[:1], with_rates=False)
    assert head == ["form", "precision", "engine", "images", "largest diff", "mean diff", "flips", "passed"]
