from __future__ import annotations

import io
import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image
from safetensors.torch import load_file
from sklearn.datasets import load_digits

from actors.sample.network import Net
from actors.sample.train import DATA, FOLDER, LABELS, accuracy, make_data, read_split

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow

NUM_HELD_OUT = 599
NUM_RIGHT = 592  # the README states 98.8 %


def test_the_checkpoint_has_the_accuracy_that_the_readme_states() -> None:
    net = Net().eval()
    net.load_state_dict(load_file(FOLDER / "digits.safetensors"))
    held_out = read_split(DATA, "test")
    assert len(held_out.targets) == NUM_HELD_OUT
    assert accuracy(net, held_out) == NUM_RIGHT / NUM_HELD_OUT


def test_the_images_are_the_digits_of_the_set() -> None:
    table = pq.read_table(DATA)
    digits = load_digits()
    images = [Image.open(io.BytesIO(image["bytes"])) for image in table["image"].to_pylist()]
    assert {(image.format, image.mode, image.size) for image in images} == {("PNG", "L", (8, 8))}
    sixteenths = np.stack([np.asarray(image) for image in images]) * (16 / 255)
    assert np.abs(sixteenths - digits.images).max() < 0.04  # rounding to 256 grey levels loses less than half a step
    assert table["digit"].to_pylist() == [str(target) for target in digits.target]


def test_only_held_out_rows_carry_a_test_label() -> None:
    rows = pq.read_table(DATA, columns=["digit", "split", "test_label"]).to_pylist()
    assert [row["split"] for row in rows[:4]] == ["train", "train", "test", "train"]
    assert {row["split"] for row in rows} == {"train", "test"}
    assert all(row["test_label"] == (row["digit"] if row["split"] == "test" else None) for row in rows)


def test_the_files_are_small_and_their_names_unique() -> None:
    names = [image["path"] for image in pq.read_table(DATA)["image"].to_pylist()]
    assert len(set(names)) == len(names) == 1797
    assert pq.ParquetFile(DATA).metadata.row_group(0).num_rows == 256
    assert sum(file.stat().st_size for file in FOLDER.iterdir() if file.is_file()) < 2_000_000


def test_the_data_can_be_made_again(tmp_path: Path) -> None:
    again, once_more = tmp_path / "deeper" / "digits.parquet", tmp_path / "digits.parquet"
    make_data(again)
    make_data(once_more)
    assert again.read_bytes() == once_more.read_bytes()
    assert pq.read_table(again).equals(pq.read_table(DATA))


@pytest.fixture(scope="module")
def short_runs(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Path, str]]:
    """Runs the command twice; returns the folder and output of each run."""
    folders = [tmp_path_factory.mktemp("run") for _ in range(2)]
    command = [sys.executable, "-m", "actors.sample.train", "--epochs", "3", "--output"]
    return [
        (folder, subprocess.run([*command, folder], check=True, capture_output=True, text=True).stdout)
        for folder in folders
    ]


def test_a_second_training_gives_the_same_bytes(short_runs: list[tuple[Path, str]]) -> None:
    (first, said_first), (second, said_second) = short_runs
    assert (first / "digits.safetensors").read_bytes() == (second / "digits.safetensors").read_bytes()
    assert said_first.replace(str(first), "") == said_second.replace(str(second), "")


def test_training_learns_and_says_how_well(short_runs: list[tuple[Path, str]]) -> None:
    folder, said = short_runs[0]
    net = Net().eval()
    net.load_state_dict(load_file(folder / "digits.safetensors"))
    reached = accuracy(net, read_split(DATA, "test"))
    assert reached > 0.5  # guessing would reach 0.1
    assert f"{reached:.4f} on 599 held-out images" in said


def test_the_labels_are_one_a_line(short_runs: list[tuple[Path, str]]) -> None:
    folder, _ = short_runs[0]
    assert (folder / "labels.txt").read_bytes() == (FOLDER / "labels.txt").read_bytes()
    assert (FOLDER / "labels.txt").read_text().splitlines() == list(LABELS)
