"""Batch inference as in PyTorch's documentation: a map-style dataset, a DataLoader with two workers that decode with
Pillow, and a loop in inference mode. Its results in eager fp32 are the reference of the benchmark.

    PYTHONPATH=tests/fixtures python tests/benchmarks/peers/dataloader.py IMAGES_FOLDER WEIGHTS OUTPUT.parquet \
        --compile --precision bf16

--task embed writes the inputs of the last layer instead of classes; --task detect writes the boxes of a YOLO network,
in pixels of its input.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from PIL import Image
from plain_boxes import boxes_of
from recipe import BATCH, classify, load_network, stretch, transform
from torch.utils.data import DataLoader, Dataset

from actors.tasks.detect import Detect


def main() -> None:
    arguments = parse()
    network = load_network(arguments.weights)
    if arguments.task == "embed":
        without_head(network)
    columns_of = {"classify": answers, "detect": detect, "embed": embed}[arguments.task]
    prepare = stretch if arguments.task == "detect" else transform
    if arguments.compile:
        network = torch.compile(network.to(memory_format=torch.channels_last))
    tables = []
    for pixels_nchw, uris in DataLoader(Photos(arguments.images, prepare), batch_size=BATCH, num_workers=2):
        pixels = pixels_nchw.to(memory_format=torch.channels_last) if arguments.compile else pixels_nchw
        with torch.autocast("cpu", torch.bfloat16, enabled=arguments.precision == "bf16"):
            columns = columns_of(network, pixels)
        tables.append(pa.table({"uri": uris, **columns}))
    pq.write_table(pa.concat_tables(tables), arguments.output)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images")
    parser.add_argument("weights")
    parser.add_argument("output")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="fp32")
    parser.add_argument("--task", choices=["classify", "detect", "embed"], default="classify")
    return parser.parse_args()


def answers(network: torch.nn.Module, pixels_nchw: torch.Tensor) -> dict[str, list]:
    ids, scores = classify(network, pixels_nchw)
    return {"top_label_ids": ids.tolist(), "top_scores": list(scores)}


def embed(network: torch.nn.Module, pixels_nchw: torch.Tensor) -> dict[str, list]:
    with torch.inference_mode():
        return {"embedding": list(network(pixels_nchw).float().numpy())}


def detect(network: torch.nn.Module, pixels_nchw: torch.Tensor) -> dict[str, list]:
    with torch.inference_mode():
        outputs = network(pixels_nchw).float().numpy()
    return {"detections": [boxes_of(output.T, Detect()) for output in outputs]}


def without_head(network: torch.nn.Module) -> None:
    name = [name for name, layer in network.named_modules() if isinstance(layer, torch.nn.Linear)][-1]
    network.set_submodule(name, torch.nn.Identity())


class Photos(Dataset):
    def __init__(self, folder: str, prepare: Callable[[Image.Image], torch.Tensor]) -> None:
        self.paths = sorted(Path(folder).rglob("*.jpg"))
        self.prepare = prepare

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, place: int) -> tuple[torch.Tensor, str]:
        with Image.open(self.paths[place]) as image:
            return self.prepare(image.convert("RGB")), str(self.paths[place])


if __name__ == "__main__":
    main()
