from __future__ import annotations

from collections import Counter
from dataclasses import replace
from types import SimpleNamespace

import pytest

from actors.columns import DECODE_S
from actors.trials.throughput import End
from jobs.benchmarking.measuring import _images_per_s_in, _transfer_images_per_s
from jobs.benchmarking.meter import Meter
from jobs.benchmarking.variants import Variant


def test_a_stage_is_measured_by_the_seconds_of_the_rows() -> None:
    meter = Meter(totals=Counter({DECODE_S: 2.0}), num_images=500)
    assert _images_per_s_in(DECODE_S, Variant(90.0, meter), 1) == 250
    assert _images_per_s_in(DECODE_S, Variant(90.0, meter), 4) == 1000
    assert _images_per_s_in(DECODE_S, Variant(90.0, replace(meter, totals=Counter())), 1) is None


def test_transfer_is_counted_where_it_arrives() -> None:
    batches = [End(100.0 + number, 10, "actor") for number in range(11)]
    portions = [End(200.0 + 2 * number, 50) for number in range(4)]
    variant = Variant(90.0, Meter(ends=batches, arrivals=portions))
    apart, fused = (SimpleNamespace(plan=SimpleNamespace(is_fused=is_fused)) for is_fused in (False, True))
    assert _transfer_images_per_s(variant, apart) == pytest.approx(10)
    assert _transfer_images_per_s(variant, fused) == pytest.approx(25)
    few = Variant(90.0, Meter(ends=batches, arrivals=portions[:3]))
    assert _transfer_images_per_s(few, fused) is None
