from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from bundles import export_job, tiny_on_photos

from actors.errors import JobError
from actors.preprocess import fit
from jobs.bundling.images import draw_images


def test_images_come_encoded_named_and_decoded_in_one_order(tmp_path: Path) -> None:
    job = export_job(*tiny_on_photos(tmp_path), "export.path=b")
    (tmp_path / "photos" / "class0" / "broken.jpg").write_bytes(b"\xff\xd8\xff nothing")
    drawn = draw_images(job, 8)
    assert len(drawn.encoded) == len(drawn.names) == 7  # one of the eight is broken
    assert drawn.pixels_nhwc.shape == (7, 32, 32, 3)
    from actors.decoding.decode import decode  # noqa: PLC0415  of this check alone

    for encoded, name, pixels in zip(drawn.encoded, drawn.names, drawn.pixels_nhwc, strict=True):
        assert Path(name).read_bytes() == encoded
        assert np.array_equal(fit(decode(encoded, job.decode), job.model.preprocess), pixels)
    assert drawn.names != sorted(drawn.names)
    assert draw_images(job, 8).names == drawn.names
    assert drawn.first(3).names == drawn.names[:3]


def test_there_may_be_fewer_than_asked_for(tmp_path: Path) -> None:
    job = export_job(*tiny_on_photos(tmp_path), "export.path=b")
    assert len(draw_images(job, 500).names) == 12
    limited = replace(job, dataset=replace(job.dataset, limit=3))
    assert len(draw_images(limited, 500).names) == 3


def test_a_dataset_of_which_nothing_can_be_decoded(tmp_path: Path) -> None:
    job = export_job(*tiny_on_photos(tmp_path), "export.path=b")
    for path in (tmp_path / "photos").rglob("*.jpg"):
        path.write_bytes(b"\xff\xd8\xff nothing")
    with pytest.raises(JobError, match=r"dataset\.path=.*none of the first 12 images can be decoded"):
        draw_images(job, 8)
