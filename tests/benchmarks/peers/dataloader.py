"""Batch inference as in PyTorch's documentation: a map-style dataset, a DataLoader with two workers that decode with
Pillow, and an eager loop in inference mode. Its results are the reference of the benchmark.

    PYTHONPATH=tests/fixtures python tests/benchmarks/peers/dataloader.py IMAGES_FOLDER WEIGHTS OUTPUT.parquet
"""

from __future__ import annotations

import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from PIL import Image
from recipe import BATCH, classify, load_network, transform
from torch.utils.data import DataLoader, Dataset


def main(images: str, weights: str, output: str) -> None:
    network = load_network(weights)
    tables = []
    for pixels_nchw, uris in DataLoader(Photos(images), batch_size=BATCH, num_workers=2):
        ids, scores = classify(network, pixels_nchw)
        tables.append(pa.table({"uri": uris, "top_label_ids": ids.tolist(), "top_scores": list(scores)}))
    pq.write_table(pa.concat_tables(tables), output)


class Photos(Dataset):
    def __init__(self, folder: str) -> None:
        self.paths = sorted(Path(folder).rglob("*.jpg"))

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, place: int) -> tuple[torch.Tensor, str]:
        with Image.open(self.paths[place]) as image:
            return transform(image.convert("RGB")), str(self.paths[place])


if __name__ == "__main__":
    main(*sys.argv[1:])
