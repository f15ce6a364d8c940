"""Measures the gain from copying the next batch to the GPU while the current one runs: a ResNet-50 in one process, from
uint8 images in host memory to outputs in host memory.

    PYTHONPATH=tests/fixtures:. python tests/benchmarks/overlap.py --precision bf16 fp16 --batch 64 256

Runs blocks of a few batches, as an actor of a job receives them: one batch after another (``in_turn``), with the next
copy in flight (``overlapped``), and only the network, on pixels already on the device (``device_only``). The idle share
is the difference from the last rate. Needs neither Ray nor Hydra, prints JSON, and exits with status 2 without a GPU.
With --device cpu it only shows that the results are the same.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import networks
import numpy as np
import torch

from actors.engines.base import describe, load_engine
from actors.engines.configs import Device, Precision, TorchEngineConfig
from actors.engines.torch_engine import TorchEngine, _exact_convolutions
from actors.models.spec import Model
from actors.predicting.adaptive_batches import ElasticBatches
from actors.preprocess import Preprocess

if TYPE_CHECKING:
    from collections.abc import Callable

SIDE = 224


def main() -> None:
    arguments = parse()
    if arguments.device == "cuda" and not torch.cuda.is_available():
        print(f"PyTorch {torch.__version__} finds no GPU: try --device cpu", file=sys.stderr)
        raise SystemExit(2)
    found = []
    for precision in arguments.precision:
        engine = load(precision, arguments)
        for batch_size in arguments.batch:
            found.append(measure(engine, batch_size, arguments))
            print(found[-1], file=sys.stderr)
    print(json.dumps({"network": arguments.network, "measured": found}, indent=1))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--precision", nargs="+", choices=["fp32", "bf16", "fp16"], default=["bf16", "fp16"])
    parser.add_argument("--batch", nargs="+", type=int, default=[64, 128, 256], help="images per batch")
    parser.add_argument("--batches", type=int, default=4, help="batches per block, the unit that an actor gets")
    parser.add_argument("--network", choices=["resnet50", "resnet18", "tiny"], default="resnet50")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="minimum seconds of each way in each round")
    return parser.parse_args()


def load(precision: str, arguments: argparse.Namespace) -> TorchEngine:
    """Loads the model with random weights, which take the same time as any others."""
    torch.manual_seed(0)
    config = TorchEngineConfig(
        device=Device(arguments.device), precision=Precision(precision), compile=arguments.compile
    )
    with tempfile.TemporaryDirectory() as folder:
        weights = Path(folder) / "weights.pt"
        torch.save(getattr(networks, arguments.network)().state_dict(), weights)
        preprocess = Preprocess(resize=SIDE, crop=SIDE)
        model = Model(f"networks:{arguments.network}", checkpoint=str(weights), preprocess=preprocess)
        return cast("TorchEngine", load_engine(config, model))


def measure(engine: TorchEngine, batch_size: int, arguments: argparse.Namespace) -> dict[str, Any]:
    """Returns the images per second of each way: medians of alternating rounds."""
    shape = (arguments.batches, batch_size, SIDE, SIDE, 3)
    chunks = list(np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8))
    block = Block(engine, chunks)
    ways = {"in_turn": block.in_turn, "overlapped": block.overlapped, "device_only": block.device_only}
    first, second = block.in_turn(), block.overlapped()  # also the warm-up
    block.device_only()
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(arguments.rounds):
        for name, way in ways.items():
            rates[name].append(block.num_images / seconds(way, arguments.seconds))
    images_per_s = {name: statistics.median(rate) for name, rate in rates.items()}
    return {
        **describe(engine),
        "batch_size": batch_size,
        "batches_a_block": arguments.batches,
        "images_per_s": {name: round(rate, 1) for name, rate in images_per_s.items()},
        "idle_share": {
            name: round(1 - images_per_s[name] / images_per_s["device_only"], 3) for name in ("in_turn", "overlapped")
        },
        "gain": round(images_per_s["overlapped"] / images_per_s["in_turn"], 3),
        "rounds": {name: [round(rate, 1) for rate in rate_of] for name, rate_of in rates.items()},
        "same_answers": all(np.array_equal(first[name], second[name]) for name in first),
        "finite": all(bool(np.isfinite(values).all()) for values in first.values()),
    }


class Block:
    """Batches that an engine receives together, and the ways to run them."""

    def __init__(self, engine: TorchEngine, chunks: list[np.ndarray]) -> None:
        self.engine = engine
        self.chunks = chunks
        self.num_images = sum(map(len, chunks))
        self.sent = [engine._transfers.send(chunk, len(chunk)) for chunk in chunks]
        self.batches = ElasticBatches(engine, len(chunks[0]))

    def in_turn(self) -> dict[str, np.ndarray]:
        self.engine.overlaps = False
        return self._run()

    def overlapped(self) -> dict[str, np.ndarray]:
        self.engine.overlaps = True
        return self._run()

    def device_only(self) -> None:
        """Runs the network on pixels already on the device; outputs stay there."""
        with torch.inference_mode(), _exact_convolutions():
            for pixels in self.sent:
                for piece in pixels.split(self.engine._piece_size or len(pixels)):
                    self.engine._run(piece)
        if self.engine.device == "cuda":
            torch.cuda.synchronize()

    def _run(self) -> dict[str, np.ndarray]:
        outputs, errors = self.batches(self.chunks, np.arange(self.num_images))
        assert not errors, errors
        return outputs


def seconds(way: Callable[[], object], at_least: float) -> float:
    """Returns the mean seconds of a call of ``way``, over calls that take ``at_least`` seconds in total."""
    started, number = time.perf_counter(), 0
    while not number or time.perf_counter() - started < at_least:
        way()
        number += 1
    return (time.perf_counter() - started) / number


if __name__ == "__main__":
    main()
