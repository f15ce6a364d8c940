from __future__ import annotations

from pathlib import Path

from compared import classified, compared, publish_run
from places import local_place

from jobs.comparison.flips import MAX_FLIPS, NUM_EXAMPLES


def test_pairs_and_examples_are_bounded_and_the_most_frequent_come_first(tmp_path: Path) -> None:
    place = local_place(tmp_path)
    pairs = [(f"{i}", f"before {i % (MAX_FLIPS + 50)}", f"after {i % (MAX_FLIPS + 50)}") for i in range(2 * MAX_FLIPS)]
    pairs += [(f"often {i}", "often", "seldom") for i in range(2 * NUM_EXAMPLES)]
    a = publish_run(place, "a", classified([(image, before, 0.5) for image, before, _ in pairs]))
    b = publish_run(place, "b", classified([(image, after, 0.5) for image, _, after in pairs]))
    changes = compared(a, b).changes
    assert changes.num_flips == len(pairs)
    assert len(changes.flips) == len(changes.classes) == MAX_FLIPS
    first = changes.flips[0]
    assert (first.before, first.after, first.num, len(first.examples)) == ("often", "seldom", 12, NUM_EXAMPLES)
    assert changes.classes[0]["class"] == "often"
