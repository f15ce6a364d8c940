from __future__ import annotations

import numpy as np
from boxes import candidates


def test_taking_boxes_keeps_the_images() -> None:
    found = candidates([[(0, 0.5, (0, 0, 1, 1)), (3, 0.7, (1, 2, 3, 4))], [], [(1, 0.1, (0, 0, 9, 9))]])
    taken = found.take(np.array([2, 1]))
    assert (len(found), len(taken)) == (3, 2)
    assert taken.images.tolist() == [2, 0]
    assert taken.boxes_xyxy.tolist() == [[0, 0, 9, 9], [1, 2, 3, 4]]
    assert taken.label_ids.tolist() == [1, 3]
    assert taken.places.tolist() == [0, 1]
    assert len(taken.valid) == 3
    assert len(found.take(found.scores > 0.4)) == 2
