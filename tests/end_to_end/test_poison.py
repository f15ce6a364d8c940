"""Images that are the death of their worker, among good ones: they are isolated, and the others finish. Where it
is the model and not the images, the job ends.
"""

from __future__ import annotations

from pathlib import Path

import pyarrow.dataset as ds
import pytest
from dying import poison, save_picky
from photos import write_photos

NUM_GOOD = 60


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Photos, and one poison among them."""
    write_photos(tmp_path / "images", NUM_GOOD, width=40, height=30)
    poison().save(tmp_path / "images" / "class4" / "poison.png")
    save_picky(tmp_path / "picky.pt")
    return tmp_path


# A worker must load its model within three times the limit, on a busy machine too; what is held waits for it.
@pytest.mark.parametrize(("strike", "kind", "stall_s"), [("kill", "killed_worker", 60), ("hold", "stalled", 8)])
def test_one_image_that_its_worker_never_survives_is_quarantined(
    strike: str,
    kind: str,
    stall_s: int,
    folder: Path,
    batch_infer,  # noqa: ANN001
) -> None:
    done = batch_infer(
        "+dataset=images", "dataset.path=images", "run.shard_size=16", "batch_size=8", f"run.stall_s={stall_s}",
        "model.architecture=dying:Picky", "model.checkpoint=picky.pt", f"+model.kwargs.strike={strike}",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    output = folder / "outputs" / "images"
    assert len(ds.dataset(output / "rows").to_table()) == NUM_GOOD
    [error] = ds.dataset(output / "errors").to_table().to_pylist()
    assert (Path(error["uri"]).name, error["stage"], error["error"]) == ("poison.png", "predict", kind)
    assert "2 times with this image alone" in error["message"]
    assert f"quarantined: predict/{kind}" in done.stderr
    assert "image by image from row" in done.stderr


def test_a_model_that_kills_at_every_image_fails_the_job(folder: Path, batch_infer) -> None:  # noqa: ANN001
    done = batch_infer(
        "+dataset=images", "dataset.path=images", "run.id=deadly",
        "model.architecture=dying:Picky", "model.checkpoint=picky.pt", "+model.kwargs.at=all",
    )  # fmt: skip
    assert done.returncode == 1
    said = "WorkerKilledError: the model killed its worker at 3 images in turn, and none went through"
    assert said in done.stderr.strip().splitlines()[-2]
    assert "Traceback" not in done.stderr
    assert not (folder / "outputs/images/runs/deadly/_SUCCESS").exists()
