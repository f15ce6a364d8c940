"""Batch inference as in the documentation and the benchmarks of Daft 0.7.26: a glob, download and decode as
expressions, the transform as a row-wise function, the model in a class, write_parquet.

    PYTHONPATH=tests/fixtures python tests/benchmarks/peers/daft_guide.py IMAGES_FOLDER WEIGHTS OUTPUT.parquet

Needs `pip install --no-deps daft==0.7.26`: Daft requires pyarrow below 26, but works with 26.
"""

from __future__ import annotations

import sys
from pathlib import Path

import daft
import numpy as np
import torch
from daft import DataType, ImageMode, Series, col
from PIL import Image
from recipe import BATCH, CROP, classify, load_network, transform

ANSWER = DataType.struct(
    {"top_label_ids": DataType.list(DataType.int64()), "top_scores": DataType.list(DataType.float32())}
)


def main(images: str, weights: str, output: str) -> None:
    classifier = Classifier(weights)
    (
        daft.from_glob_path(f"{Path(images).resolve()}/**/*.jpg")
        .with_column("image", col("path").download().decode_image(mode=ImageMode.RGB))
        .with_column("pixels", preprocess(col("image")))
        .select(col("path").alias("uri"), classifier(col("pixels")))
        .write_parquet(output)
    )


@daft.func(return_dtype=DataType.tensor(DataType.float32(), shape=(3, CROP, CROP)))
def preprocess(image_hwc: np.ndarray) -> np.ndarray:
    return transform(Image.fromarray(image_hwc)).numpy()


@daft.cls
class Classifier:
    def __init__(self, weights: str) -> None:
        self.network = load_network(weights)

    @daft.method.batch(return_dtype=ANSWER, unnest=True, batch_size=BATCH)
    def __call__(self, pixels: Series) -> list[dict]:
        ids, scores = classify(self.network, torch.from_numpy(np.array(pixels.to_pylist())))
        return [{"top_label_ids": i, "top_scores": s} for i, s in zip(ids.tolist(), scores.tolist(), strict=True)]


if __name__ == "__main__":
    main(*sys.argv[1:])
