"""Switches decoding from GPU to CPU during a run when a GPU decodes an image incorrectly, and discards its results. The
switch is recorded in the run's folder for later drivers. Runs on the driver.
"""

from __future__ import annotations

import json
import logging
import re
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from actors.decoding.config import DecodeDevice
from actors.messages import writing_to
from actors.storage.json_documents import read_object
from actors.storage.uris import join
from jobs.leases.slices import Slice

if TYPE_CHECKING:
    from collections.abc import Sequence

    from actors.errors import DecoderMismatchError
    from actors.storage.store import Storage
    from actors.writing.parts import Part
    from actors.writing.run_paths import RunPaths
    from jobs.runs.commit import Outcome
    from jobs.runs.opening import Run

LOG = logging.getLogger("shardlens")


@dataclass(frozen=True)
class DecodeSwitch:
    """One driver's switch to the CPU. Parts of its shards decoded on a GPU are invalid, whenever they appear."""

    part: Slice
    """Slice of the driver."""
    seen: str
    """The difference that caused the switch, with the image and its shard."""
    num_images: int
    """Number of images in parts already written, which are redone."""
    shards: str
    """Shards of these images, such as ``0 to 3, 7``."""

    def __str__(self) -> str:
        where = f"{'shard' if self.shards.isdigit() else 'shards'} {self.shards}"
        again = f"; redoing {self.num_images:,} images of {where}" if self.num_images else ""
        return f"switched from GPU to CPU: {self.seen}{again}"


def switch_to_cpu(run: Run, outcome: Outcome, error: DecoderMismatchError) -> Run:
    """Records and logs the switch. Returns ``run`` with decoding on the CPU; its `Run.collect` omits the invalid parts.

    Args:
        run: continues after the switch.
        outcome: valid parts of the run.
        error: the difference found.
    """
    distrusted = [
        part.receipt
        for part in (*outcome.rows, *outcome.errors)
        if part.receipt and part.is_by_gpu and outcome.coverage.concerns(part.receipt.ranges)
    ]
    shards = sorted({shard for receipt in distrusted for shard in receipt.ranges})
    num_images = sum(receipt.summary.num_images for receipt in distrusted)
    switch = DecodeSwitch(run.part, error.seen, num_images, _in_words(shards))
    LOG.error("decoding %s", switch)
    # The time is informational; nothing compares it.
    content = {**asdict(switch), "at": datetime.now(UTC).isoformat(timespec="milliseconds")}
    with writing_to(run.paths.run):
        run.storage.write(_uri(run.paths, run.part), json.dumps(content, indent=1).encode())
    return _on_cpu(run)


def as_switched(run: Run) -> Run:
    """Returns ``run``, with decoding on the CPU if an earlier driver has switched any of its shards."""
    num_shards = len(run.shards.sizes)
    switched = switched_shards(read_switches(run.paths, run.storage), num_shards)
    if not (switched & run.part.owns(num_shards)).any():
        return run
    LOG.warning("run %s: a GPU decoded images wrongly earlier; decoding on the CPU", run.record.run_id)
    return _on_cpu(run)


def read_switches(paths: RunPaths, storage: Storage) -> list[DecodeSwitch]:
    """Reads the switches of all drivers of a run. A damaged file still counts as a switch."""
    folder = paths.decode_switches
    if storage.kind(folder) is None:
        return []
    uris = sorted(uri for batch in storage.list(folder) for uri in batch["uri"].to_pylist())
    found = [(uri, _NAME.fullmatch(uri.rpartition("/")[2])) for uri in uris]
    return [_read(uri, Slice(int(name[1]), int(name[2])), storage) for uri, name in found if name]


def switched_shards(switches: Sequence[DecodeSwitch], num_shards: int) -> np.ndarray:
    """Returns a mask of the shards for which a driver has switched decoding: bool (num_shards)."""
    switched = np.zeros(num_shards, np.bool_)
    for switch in switches:
        switched |= switch.part.owns(num_shards)
    return switched


def is_withdrawn(part: Part, switched: np.ndarray) -> bool:
    """True if a GPU decoded the part and any of its shards is ``switched``."""
    if not part.is_by_gpu or part.receipt is None:
        return False
    return any(switched[shard] for shard in part.receipt.ranges if 0 <= shard < len(switched))


_NAME = re.compile(r"(\d{1,6})-of-([1-9]\d{0,5})\.json")


def _uri(paths: RunPaths, part: Slice) -> str:
    return join(paths.decode_switches, f"{part.index}-of-{part.count}.json")


def _read(uri: str, part: Slice, storage: Storage) -> DecodeSwitch:
    try:
        content: dict[str, Any] = read_object(uri, storage)
        return DecodeSwitch(part, str(content["seen"]), int(content["num_images"]), str(content["shards"]))
    except (LookupError, TypeError, ValueError) as error:
        LOG.warning("%s: damaged (%s): the reason for decoding on the CPU is lost", uri, error)
        return DecodeSwitch(part, "the reason is lost", 0, "")


def _on_cpu(run: Run) -> Run:
    return replace(run, job=replace(run.job, decode=replace(run.job.decode, device=DecodeDevice.cpu)))


def _in_words(shards: Sequence[int]) -> str:
    """Formats ascending numbers as ``0 to 3, 7``."""
    # -2 is adjacent to no shard, so the first shard starts a range and the last one ends one.
    starts = [shard for before, shard in pairwise([-2, *shards]) if shard != before + 1]
    stops = [shard for shard, after in pairwise([*shards, -2]) if after != shard + 1]
    return ", ".join(
        str(start) if start == stop else f"{start} to {stop}" for start, stop in zip(starts, stops, strict=True)
    )
