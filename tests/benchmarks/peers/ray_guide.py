"""Batch inference as in the guides of Ray Data 2.60: read_images, a row-wise transform, one actor with the model,
write_parquet. Starts its own Ray.

    PYTHONPATH=tests/fixtures python tests/benchmarks/peers/ray_guide.py IMAGES_FOLDER WEIGHTS OUTPUT.parquet

Uses one actor, not two as in the guides: on two CPUs, two actors would leave none for the read tasks, and the job would
hang. Ray Data runs the transform in that actor.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import ray
import torch
from PIL import Image
from recipe import BATCH, classify, load_network, transform


def main(images: str, weights: str, output: str) -> None:
    ray.init(address="local")  # otherwise it would join a running cluster
    (
        ray.data.read_images(str(Path(images).resolve()), mode="RGB", include_paths=True)
        .map(preprocess)
        .map_batches(
            Classifier,
            fn_constructor_args=(str(Path(weights).resolve()),),
            compute=ray.data.ActorPoolStrategy(size=1),
            batch_size=BATCH,
        )
        .write_parquet(str(Path(output).resolve()))
    )


def preprocess(row: dict[str, Any]) -> dict[str, Any]:
    return {"uri": row["path"], "pixels": transform(Image.fromarray(row["image"])).numpy()}


class Classifier:
    def __init__(self, weights: str) -> None:
        self.network = load_network(weights)

    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        ids, scores = classify(self.network, torch.from_numpy(batch["pixels"]))
        return {"uri": batch["uri"], "top_label_ids": ids, "top_scores": scores}


if __name__ == "__main__":
    main(*sys.argv[1:])
