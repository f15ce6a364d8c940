"""Images that kill or hang their worker, among good ones: they are isolated, and the others finish."""

from __future__ import annotations

from pathlib import Path

import pyarrow.dataset as ds
from dying import glue, poison, save_picky
from photos import write_photos

NUM_GOOD = 60


def test_images_that_their_worker_never_survives_are_quarantined(batch_infer, tmp_path: Path) -> None:  # noqa: ANN001
    images = tmp_path / "images"
    write_photos(images, NUM_GOOD, width=40, height=30)
    poison().save(images / "class1" / "poison.png")
    glue().save(images / "class4" / "glue.png")
    save_picky(tmp_path / "picky.pt")
    done = batch_infer(
        "+dataset=images", "dataset.path=images", "run.shard_size=16", "batch_size=8", "run.stall_s=8",
        "model.architecture=dying:Picky", "model.checkpoint=picky.pt",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    output = tmp_path / "outputs" / "images"
    assert len(ds.dataset(output / "rows").to_table()) == NUM_GOOD
    errors = {Path(error["uri"]).name: error for error in ds.dataset(output / "errors").to_table().to_pylist()}
    assert errors.keys() == {"poison.png", "glue.png"}
    for name, kind in (("poison.png", "killed_worker"), ("glue.png", "stalled")):
        assert (errors[name]["stage"], errors[name]["error"]) == ("predict", kind)
        assert "2 times with this image alone" in errors[name]["message"]
        assert f"quarantined: predict/{kind}" in done.stderr
    assert "image by image from row" in done.stderr
