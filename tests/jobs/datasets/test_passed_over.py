from __future__ import annotations

from jobs.datasets.passed_over import NUM_EXAMPLES, PassedOver


def test_counts_by_reason_keep_a_few_examples_and_survive_json() -> None:
    passed_over = PassedOver()
    for number in range(100):
        passed_over.add("extension", f"{number}.heic")
    passed_over.add("hidden", ".git", number=3)
    assert passed_over.counts == {"extension": 100, "hidden": 3}
    assert passed_over.total == 103
    assert passed_over.examples == {"extension": [f"{n}.heic" for n in range(NUM_EXAMPLES)], "hidden": [".git"]}
    assert PassedOver.from_json(passed_over.to_json()) == passed_over
    passed_over.clear()
    assert passed_over.to_json() == {}
