from __future__ import annotations

from jobs.cluster.taken_resources import _taken


def test_what_is_lacking_is_said_in_words() -> None:
    """`test_resources` tests it on a cluster."""
    assert _taken({"CPU": 1.0, "GPU": 0}, {"CPU": 1.5}) == ""
    assert _taken({"CPU": 1.0, "GPU": 0}, {"CPU": 0.5}) == "CPUs (0.5 free, a worker takes 1)"
    assert _taken({"CPU": 1.0, "GPU": 1.0}, {}) == (
        "CPUs (0 free, a worker takes 1) and GPUs (0 free, a worker takes 1)"
    )
