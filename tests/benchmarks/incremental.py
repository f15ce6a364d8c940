"""Measures seconds, memory and temporary disk space for finding the new images in a dataset that is listed again.

    python tests/benchmarks/incremental.py --images 10_000_000

Writes the inventories of two runs with that many images in total. In a separate process, lists them again with 1 % more
and writes the inventory of the new ones. Entries come in tables of 1000, the page size of object stores. The time to
generate them is reported separately.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from actors.columns import SIZE, URI, VERSION
from actors.reading.shards import Layout, Shards
from actors.storage.store import LISTING_ROWS, Storage
from jobs.datasets.kept_columns import entry_schema, entry_table
from jobs.runs.incremental import done_images, only_new
from jobs.runs.inventory import write_inventory

SCHEMA = entry_schema(has_target=False)
MADE_ROWS = 100 * LISTING_ROWS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=1_000_000)
    parser.add_argument("--listing", type=Path, help="internal: the folder in which to list again in this process")
    arguments = parser.parse_args()
    if arguments.listing:
        list_again(arguments.listing, arguments.images)
        return
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        half = arguments.images // 2
        write(root / "0", entries(0, half))
        write(root / "1", entries(half, arguments.images))
        print(json.dumps(measured(root, arguments.images), indent=1))


def measured(root: Path, num_images: int) -> dict[str, float]:
    """Returns the figures of `list_again` and its peak use of temporary disk space."""
    room = root / "room"
    room.mkdir()
    command = [sys.executable, __file__, "--images", str(num_images), "--listing", root]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "TMPDIR": str(room)})
    highest = [0]
    ended = threading.Event()
    sampler = threading.Thread(target=sample, args=(room, highest, ended))
    sampler.start()
    output, _ = process.communicate()
    ended.set()
    sampler.join()
    assert process.returncode == 0, process.returncode
    return {**json.loads(output), "temporary_mib": highest[0] >> 20, "left_over": len(list(room.iterdir()))}


def list_again(root: Path, num_images: int) -> None:
    num_new = num_images // 100
    clock = Clock()
    inventories = [Shards.open(Storage(), str(root / name)) for name in "01"]
    done = clock.until_end("read_done_s", done_images(inventories))
    listed = clock.until_end("list_s", clock.apart(entries(0, num_images + num_new)))
    new = only_new(listed, done)
    first, second = next(new), next(new)
    clock.lap("compare_s")
    shards = write(root / "new", chain([first, second], new))
    clock.lap("write_s")
    assert shards.num_rows == num_new, shards.num_rows
    total_s = sum(clock.seconds.values())
    figures = {
        "num_listed": num_images + num_new,
        "num_done": sum(inventory.num_rows for inventory in inventories),
        "num_new": shards.num_rows,
        **{name: round(seconds, 2) for name, seconds in clock.seconds.items()},
        "total_s": round(total_s, 2),
        "listed_per_s": round((num_images + num_new) / total_s),
        "apart_make_entries_s": round(clock.apart_s, 2),
        "cpu_s": round(time.process_time(), 2),
        "peak_rss_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10,
    }
    print(json.dumps(figures))


class Clock:
    """Seconds of each phase, excluding those spent in `apart`."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.apart_s = 0.0
        self._started = time.monotonic()

    def lap(self, name: str) -> None:
        now = time.monotonic() - self.apart_s
        self.seconds[name] = now - self._started
        self._started = now

    def until_end(self, name: str, items: Iterator) -> Iterator:
        yield from items
        self.lap(name)

    def apart(self, items: Iterator) -> Iterator:
        while True:
            started = time.monotonic()
            item = next(items, None)
            self.apart_s += time.monotonic() - started
            if item is None:
                return
            yield item


def entries(start: int, stop: int) -> Iterator[pa.Table]:
    """Yields entries like those of an object store, with URIs of about 85 characters and etags like S3's."""
    for first in range(start, stop, MADE_ROWS):
        numbers = np.arange(first, min(first + MADE_ROWS, stop), dtype=np.uint64)
        names, digests = hexadecimal(numbers * np.uint64(0x9E3779B97F4A7C15)), hexadecimal(numbers ^ np.uint64(1 << 60))
        days = pa.array(numbers // 100_000).cast(pa.string())
        parts = ["s3://company-image-archive/photos/incoming/day-", days, "/camera-0017/", names, ".jpg"]
        columns = {
            URI: pc.binary_join_element_wise(*parts, ""),
            SIZE: pa.array((numbers % 100_000).astype(np.int64)),
            VERSION: pc.binary_join_element_wise('"', digests, names, '"', ""),
        }
        table = entry_table(columns, SCHEMA)
        yield from (table.slice(row, LISTING_ROWS) for row in range(0, len(table), LISTING_ROWS))


def hexadecimal(numbers: np.ndarray) -> pa.Array:
    scattered = numbers * np.uint64(0xBF58476D1CE4E5B9)
    digits = np.frombuffer(scattered.astype(">u8").tobytes().hex().encode(), "S16")
    return pa.array(digits).cast(pa.string())


def write(folder: Path, tables: Iterator[pa.Table]) -> Shards:
    return write_inventory(
        tables, storage=Storage(), folder=str(folder), shard_size=512, layout=Layout.FILES, image_column=None
    )


def sample(folder: Path, highest: list[int], ended: threading.Event) -> None:
    while not ended.wait(0.1):
        highest[0] = max(highest[0], sum(allocated(path) for path in folder.rglob("*")))


def allocated(path: Path) -> int:
    try:
        return path.stat().st_blocks * 512
    except FileNotFoundError:  # deleted in the meantime
        return 0


if __name__ == "__main__":
    main()
