from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from compared import compared, publish_run
from places import local_place

from actors.errors import JobError
from actors.tasks.embed import Embed
from jobs.comparison.answers import Match
from jobs.comparison.vectors import cosine_distances


def embedded(vectors: np.ndarray) -> pa.Table:
    values = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), vectors.shape[1])
    return pa.table({"image_id": [str(number) for number in range(len(vectors))], "embedding": values})


def test_distances_of_float16_and_float32_embeddings(tmp_path: Path) -> None:
    place, draw = local_place(tmp_path), np.random.default_rng(0)
    a = draw.normal(size=(200, 16)).astype(np.float16)
    b = a.astype(np.float32)
    b[::2] += draw.normal(size=(100, 16)).astype(np.float32) * np.linspace(0.01, 2, 100)[:, None].astype(np.float32)
    runs = [publish_run(place, side, embedded(own), task=Embed()) for side, own in (("a", a), ("b", b))]
    found = compared(*runs).changes
    exact = a.astype(np.float64), b.astype(np.float64)
    norms = [np.linalg.norm(own, axis=1) for own in exact]
    distances = 1 - (exact[0] * exact[1]).sum(1) / norms[0] / norms[1]
    figures = found.figures["cosine_distance"]["embedding"]
    assert found.drift == figures["mean"] == pytest.approx(distances.mean())
    assert figures["largest"] == pytest.approx(distances.max())
    assert figures["median"] == pytest.approx(np.median(distances), abs=0.01)
    assert figures["num_images"] == 100
    worst = int(distances.argmax())
    assert found.examples["Largest distances of embedding"][0] == Match(worst, worst)
    assert found.num_flips is None
    other = publish_run(place, "c", embedded(np.ones((3, 8), np.float32)), task=Embed())
    with pytest.raises(JobError, match="column embedding has 16 values in run A and 8 in run B"):
        compared(runs[0], other)


def test_distances_of_equal_opposite_zero_and_huge_vectors() -> None:
    a = np.array([[1, 2], [1, 0], [0, 0], [0, 0], [1e300, 0], [1e-310, 0]])
    b = np.array([[1, 2], [-3, 0], [1, 0], [0, 0], [0, 1e300], [1e-310, 0]])
    assert cosine_distances(a, b).tolist() == [0, 2, 1, 0, 1, 0]
