"""Counts duplicate image ids while an inventory is written. Runs on the driver.

Everything that grows with the number of images is kept on disk.
"""

from __future__ import annotations

import logging
from contextlib import ExitStack
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Self

import numpy as np

from actors.columns import IMAGE_ID
from actors.errors import JobError
from actors.messages import one_line, redacted
from actors.storage.uris import without_users
from jobs.runs.image_keys import ImageIds

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import pyarrow as pa

    from actors.reading.shards import Shards

LOG = logging.getLogger("shardlens")


class RepeatedIds:
    """Ids listed so far; uses 24 bytes per image in the temporary folder.

    The count is only a warning. If that folder is full, or more than ``max_rows`` images are listed, it logs that and
    gives up.
    """

    def __init__(self, *, memory_bytes: int = 128 << 20, max_rows: int = 100_000_000) -> None:
        self._memory_bytes = memory_bytes
        self._max_rows = max_rows
        self._stack = ExitStack()
        self._ids: ImageIds | None = None
        self._num_rows = 0

    def __enter__(self) -> Self:
        try:
            folder = self._stack.enter_context(TemporaryDirectory(prefix="shardlens-"))
            self._ids = self._stack.enter_context(ImageIds(folder, self._memory_bytes))
        except (OSError, JobError) as error:
            self._give_up(one_line(error))
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def watch(self, entries: Iterable[pa.Table]) -> Iterator[pa.Table]:
        """Yields ``entries`` unchanged and records their ids."""
        for table in entries:
            self._add(table)
            yield table

    def log_count(self, shards: Shards) -> int:
        """Returns the number of images with the id of an earlier image, and logs the first such ids."""
        try:
            count, numbers = self._ids.repeated(_NUM_EXAMPLES) if self._ids else (0, [])
        except JobError as error:
            self._give_up(error.problem)
            return 0
        if count:
            ids = redacted(", ".join(repr(_id_of(number, shards)) for number in numbers))
            LOG.warning("images with a duplicate image_id: %s, such as %s", f"{count:,}", ids)
            LOG.warning("  their rows differ by uri; to take ids from another column, set dataset.id_column")
        return count

    def _add(self, images: pa.Table) -> None:
        self._num_rows += len(images)
        if self._ids is None:
            return
        # 100 million ids take 2.4 GB of the temporary folder, which `only_new` needs.
        if self._num_rows > self._max_rows:
            self._give_up(f"more than {self._max_rows:,} images")
            return
        try:
            self._ids.add(without_users(images[IMAGE_ID]))  # as in the output
        except JobError as error:
            self._give_up(error.problem)

    def _give_up(self, why: str) -> None:
        LOG.warning("%s: skipping the check for duplicate image_ids", why)
        self._ids = None


_NUM_EXAMPLES = 5  # number of ids in the warning; each is looked up in its shard


def _id_of(number: int, shards: Shards) -> str:
    ends = np.cumsum(shards.sizes, dtype=np.int64)
    shard = int(np.searchsorted(ends, number, side="right"))
    return str(shards.load(shard)[IMAGE_ID][number - int(ends[shard])].as_py())  # negative: counted from its end
