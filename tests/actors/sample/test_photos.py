from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from actors.sample.photo import NUM_CLASSES, jpeg, photo

COMMAND = [sys.executable, "-m", "actors.sample.photos"]
SMALL = ["--width", "48", "--height", "36"]


def pixels(number: int, **look: float) -> np.ndarray:
    return np.asarray(photo(number, **{"width": 96, "height": 72, **look}), np.float64)


def test_an_image_follows_from_its_number_and_the_seed() -> None:
    assert np.array_equal(pixels(3), pixels(3, seed=0))
    images = {pixels(number, seed=seed).tobytes() for number in (3, 13, 23) for seed in (0, 1, 3, 13)}
    assert len(images) == 12


def test_without_a_seed_the_noise_is_that_of_the_number_alone() -> None:
    alone, with_seed = np.random.default_rng(1_000_007), np.random.default_rng([1_000_007, 0])
    assert np.array_equal(alone.normal(size=100), with_seed.normal(size=100))


def test_images_of_a_class_look_alike() -> None:
    colours = np.array([pixels(number).mean(axis=(0, 1)) for number in range(2 * NUM_CLASSES)])
    distances = np.linalg.norm(colours[:NUM_CLASSES, None] - colours[None, NUM_CLASSES:], axis=2)
    assert distances.argmin(axis=1).tolist() == list(range(NUM_CLASSES))
    assert distances.diagonal().max() < 3


def test_contrast_is_the_spread_of_grey_levels() -> None:
    greys = pixels(0, contrast=20.0)[:, :, 1]  # far from black and white, so that nothing is clipped
    assert greys.std() == pytest.approx(20, abs=0.5)


def test_the_command_writes_these_images(tmp_path: Path) -> None:
    done = subprocess.run([*COMMAND, tmp_path / "out", "--images", "12", *SMALL], check=True, capture_output=True)
    paths = sorted((tmp_path / "out").rglob("*.jpg"))
    assert {path.relative_to(tmp_path / "out").as_posix() for path in paths} == {
        f"class{number % NUM_CLASSES}/{number:06d}.jpg" for number in range(12)
    }
    assert all(path.read_bytes() == jpeg(int(path.stem), width=48, height=36) for path in paths)
    assert b"12 images" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--images", "0"], "error: --images 0: not from 1"),
        (["--images", "3", "--seed", "1"], "holds other photographs"),
        (["--images", "many"], "invalid int value"),
    ],
)
def test_what_is_wrong_ends_with_status_2(arguments: list[str], said: str, tmp_path: Path) -> None:
    (tmp_path / "photos.json").write_text("{}")
    done = subprocess.run([*COMMAND, tmp_path, *arguments], check=False, capture_output=True, text=True)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
