"""One set of photographs read through every dataset and from S3: the answers equal those of a plain PyTorch loop."""

from __future__ import annotations

import io
import json
import os
import tarfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
import torch
from fitted import reference_pixels, save_fitted
from networks import resnet18
from photos import NUM_CLASSES, write_photos
from PIL import Image

NUM_PHOTOS = int(os.environ.get("SHARDLENS_TEST_PHOTOS", "24"))


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the photographs in every format, the weights, and reference.npy."""
    root = tmp_path_factory.mktemp("photos")
    paths = write_photos(root / "images", NUM_PHOTOS)
    save_fitted(root / "resnet18.pt", num_photos=20)
    network = resnet18(num_classes=NUM_CLASSES).eval()
    network.load_state_dict(torch.load(root / "resnet18.pt"))
    with torch.inference_mode():
        logits = network(torch.stack([reference_pixels(Image.open(path)) for path in paths]))
        np.save(root / "reference.npy", torch.softmax(logits, 1).numpy())
    _write_containers(root, paths)
    return root


def _write_containers(root: Path, paths: list[Path]) -> None:
    names = [path.relative_to(root).as_posix() for path in paths]
    (root / "list.csv").write_text("file,name\n" + "".join(f"{name},{Path(name).stem}\n" for name in names))
    images = [{"bytes": path.read_bytes(), "path": None} for path in paths]
    table = pa.table({"image": images, "name": [path.stem for path in paths]})
    pq.write_table(table, root / "images.parquet", row_group_size=10)
    with tarfile.open(root / "images.tar", "w") as tar:
        for path in paths:
            for suffix, data in (("jpg", path.read_bytes()), ("json", json.dumps({"name": path.stem}).encode())):
                member = tarfile.TarInfo(f"shard/{path.stem}.{suffix}")
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))


SOURCES = {  # besides images, which are read from S3
    "manifest": (
        "+dataset=manifest",
        "dataset.path={root}/list.csv",
        "dataset.uri_column=file",
        "dataset.id_column=name",
    ),
    "parquet": ("+dataset=parquet", "dataset.path={root}/images.parquet", "dataset.id_column=name"),
    "webdataset": ("+dataset=webdataset", "dataset.path={root}/images.tar"),
}


def model_overrides(root: Path) -> list[str]:
    return [
        "model.architecture=networks:resnet18",
        f"+model.kwargs.num_classes={NUM_CLASSES}",
        f"model.checkpoint={root}/resnet18.pt",
        f"task.top_k={NUM_CLASSES}",
        "run.shard_size=10",
        "batch_size=5",
    ]


def check(output: Path, printed: str, reference: np.ndarray) -> None:
    """Compares the rows with the answers of the loop, and checks the run whose folder the job printed."""
    run = output / "runs" / Path(printed).name
    assert (run / "_SUCCESS").is_file()
    report = json.loads((run / "report.json").read_text())
    assert (report["num_listed"], report["num_ok"], report["num_errors"]) == (NUM_PHOTOS, NUM_PHOTOS, 0)
    rows = ds.dataset(f"{output}/rows", partitioning="hive").to_table().to_pylist()
    assert len(rows) == len(reference)
    for row in rows:
        number = int(Path(row["image_id"]).stem.partition(".")[0])
        expected = reference[number]
        assert row["label_id"] == expected.argmax()
        scores = np.zeros(NUM_CLASSES)
        scores[row["top_label_ids"]] = row["top_scores"]
        np.testing.assert_allclose(scores, expected, atol=1e-3)


@pytest.mark.parametrize("source", SOURCES)
def test_each_dataset_gives_the_answers_of_a_plain_loop(source: str, photos: Path, infer, tmp_path: Path) -> None:  # noqa: ANN001
    overrides = [text.format(root=photos) for text in SOURCES[source]]
    *_, run = infer(*overrides, *model_overrides(photos), f"output.path={tmp_path}/out")
    check(tmp_path / "out", run, np.load(photos / "reference.npy"))


def test_s3_in_and_out(photos: Path, infer, s3, tmp_path: Path) -> None:  # noqa: ANN001
    for path in (photos / "images").rglob("*.jpg"):
        s3.put(f"in/{path.relative_to(photos / 'images').as_posix()}", path.read_bytes())
    s3.put("weights/resnet18.pt", (photos / "resnet18.pt").read_bytes())
    root = f"s3://{s3.bucket}"
    options = [
        f"+{node}.storage_options.{key}={value}"
        for node in ("dataset", "model", "output")
        for key, value in s3.options.items()
    ]
    *_, run = infer(
        "+dataset=images",
        f"dataset.path={root}/in",
        *model_overrides(photos),
        f"model.checkpoint={root}/weights/resnet18.pt",
        f"output.path={root}/out",
        *options,
    )
    _download(s3, f"{root}/out", tmp_path / "copy")
    assert run.startswith(f"{root}/out/runs/")
    check(tmp_path / "copy", run, np.load(photos / "reference.npy"))
    config = next((tmp_path / "copy" / "runs").rglob("config.yaml")).read_text()
    assert s3.options["secret_access_key"] not in config


def _download(s3, prefix: str, folder: Path) -> None:  # noqa: ANN001
    from actors.storage.store import Storage  # noqa: PLC0415

    storage = Storage(s3.options)
    for batch in storage.list(prefix):
        for uri in batch["uri"].to_pylist():
            target = folder / uri.removeprefix(f"{prefix}/")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(storage.read(uri))
