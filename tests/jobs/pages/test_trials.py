from __future__ import annotations

from pages import facts_of

from jobs.pages.trials import engine_choice


def test_each_trial_has_its_speed_agreement_and_result() -> None:
    found = engine_choice(facts_of())
    assert found is not None
    assert (found.engine, found.why, found.num_images) == ("openvino bf16", "the fastest of 2", 256)
    assert [(one.engine, one.agreement, one.result) for one in found.trials] == [
        ("torch fp32", "the reference", ""),
        ("openvino bf16", "score difference 0.01", "chosen"),
        ("torch bf16", "flips 3", "refused: 3 flips"),
    ]


def test_a_run_of_nothing_has_no_engine() -> None:
    assert engine_choice(facts_of(execution=None)) is None
