from __future__ import annotations

from dataclasses import replace

from measured import FIGURES, variant

from jobs.benchmarking.table import notes_of, rates_of, unlike
from jobs.cli.terminal import aligned


def test_a_line_for_each_rate() -> None:
    assert aligned(rates_of(FIGURES)) == [
        "                       images/s",
        "listing                 9,000.0",
        "reading                 5,000.0",
        "decoding                  700.0",
        "transfer         too few images",
        "model                     250.0",
        "writing                40,000.0",
        "without model             650.0",
        "without writing           185.0",
        "whole                     180.0",
        "limit                     200.0",
        "decoding limit            720.0",
        "share of limit            90.0%",
    ]
    assert notes_of(FIGURES) == [
        ("images", "2,000 of 33.3 kB, 3 of them errors"),
        ("whole", "20.0 s including actor start-up, 100.0 images/s"),
        ("limit", "plain loop, 1 process of 2 threads; decoding alone, 2 processes"),
        ("bound by", "model"),
        ("engine", "openvino bf16"),
    ]


def test_an_earlier_benchmark_adds_its_rates_and_the_ratio() -> None:
    faster = replace(FIGURES, variants={**FIGURES.variants, "whole": variant(198.0)})
    table = {name: cells for name, *cells in rates_of(faster, FIGURES)}
    assert table[""] == ["images/s", "before", "ratio"]
    assert table["whole"] == ["198.0", "180.0", "1.10"]
    assert table["reading"] == ["5,000.0", "5,000.0", "1.00"]
    assert table["share of limit"] == ["99.0%", "90.0%", "1.10"]
    assert table["transfer"] == ["too few images"] * 2 + [""]  # without a ratio


def test_differences_in_the_conditions_are_listed() -> None:
    assert unlike(FIGURES, FIGURES) == []
    other = replace(
        FIGURES,
        engine="torch fp32",
        plan={"workers": 2, "batch_size": 64},
        machine={**FIGURES.machine, "cpus": 4.0, "version_openvino": "1"},
        mean_image_bytes=33_333.2,
    )
    assert unlike(FIGURES, other) == [
        "engine was torch fp32, now openvino bf16",
        "plan.batch_size was 64, now 32",
        "machine.cpus was 4.0, now 2.0",
        "machine.version_openvino was 1, now None",
    ]


def test_the_steps_of_a_batch_are_told_apart() -> None:
    steps = {"batch_size": 32, "preprocess_ms": 1.2345, "inference_ms": 25.0, "postprocess_ms": 0.0123}
    assert dict(notes_of(replace(FIGURES, steps=steps)))["steps"] == (
        "pre-processing 1.23 ms, inference 25 ms, post-processing 0.0123 ms an image, one after the other in "
        "batches of 32"
    )
