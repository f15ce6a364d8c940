"""A folder of images and a job over it, for tests of what a job finds in its output."""

from __future__ import annotations

from pathlib import Path

import pytest
from finished import add_photos, job_over

from jobs.job import Job


@pytest.fixture
def images(tmp_path: Path) -> Path:
    add_photos(tmp_path / "images", range(5))
    return tmp_path / "images"


@pytest.fixture
def job(images: Path, tmp_path: Path) -> Job:
    return job_over(images, tmp_path / "out")
