"""Rereads images of a published run through its inventory. Runs on the driver."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from actors.columns import ROW, SHARD, URI, VERSION
from actors.decoding.config import Decode
from actors.messages import read_error
from actors.reading.container_versions import changed
from actors.reading.fetcher import Fetcher
from actors.reading.shards import Layout, Shards
from actors.row_ranges import Piece, row_ranges
from actors.storage.allowlist import Allowlist
from actors.storage.retries import Retry
from actors.storage.store import Storage

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence

    from actors.errors import ImageError
    from actors.outputs import PublishedRun
    from actors.reading.image_bytes import Image
    from actors.row_ranges import Identity


@dataclass(frozen=True)
class SourceImages:
    """Locations and decoding limits of a run's images."""

    shards: Shards
    storage: Storage
    """Storage of the images, not of the inventory."""
    limits: Decode

    def read(self, identities: Sequence[Identity], batch_size: int) -> Generator[dict[Identity, Image]]:
        """Yields the bytes of images in batches, in the order of the inventory. An image that cannot be read, or has
        changed since it was listed, yields an error instead. A caller that stops early must close the generator.

        Raises:
            CredentialsError: the store refuses all of them.
            OSError, ValueError: the inventory cannot be read.
        """
        found = sorted(identities)
        ranges = row_ranges(pa.table({SHARD: [shard for shard, _ in found], ROW: [row for _, row in found]}))
        pieces = [Piece(shard, tuple(runs)) for shard, runs in ranges.items()]
        listed = pa.concat_tables([self.shards.load_piece(piece) for piece in pieces])
        fetcher = Fetcher(
            self.shards,
            self.storage,
            max_bytes=self.limits.max_bytes,
            concurrency=_THREADS,
            batch_bytes=_BATCH_BYTES,
        )
        with closing(fetcher.batches(listed, batch_size)) as batches:
            for batch, images in batches:
                ids = zip(batch[SHARD].to_pylist(), batch[ROW].to_pylist(), strict=True)
                problems = self._problems(batch)
                checked = [problem or image for problem, image in zip(problems, images, strict=True)]
                yield dict(zip(ids, checked, strict=True))

    def _problems(self, batch: pa.Table) -> list[ImageError | None]:
        """Returns an error for each image that has changed since it was listed; other layouts detect this
        themselves.
        """
        versions = batch[VERSION].to_pylist()
        if self.shards.layout is not Layout.FILES or not any(versions):
            return [None] * len(batch)

        def problem(uri: str, version: str | None) -> ImageError | None:
            try:
                now = version and self.storage.describe(uri)[1]
            except Exception as error:  # noqa: BLE001  the per-image guard
                return read_error(error)
            return None if now in {version, None} else changed()

        with ThreadPoolExecutor(_THREADS) as pool:
            return list(pool.map(problem, batch[URI].to_pylist(), versions))


def source_images(run: PublishedRun, image_storage: Storage | None = None, retry: Retry | None = None) -> SourceImages:
    """Returns the images of a run.

    Args:
        run: a published run.
        image_storage: storage of the images; by default from its config, which holds no secrets.
        retry: read retries; by default as in a job.

    Raises:
        OSError, ValueError: the inventory cannot be read.
    """
    shards = Shards.open(run.storage, run.paths.inventory).without_sizes()
    storage = image_storage or _image_storage(run.config)
    return SourceImages(shards, storage.with_retry(retry or Retry()), _limits(run.config))


_THREADS = 16  # concurrent storage requests
_BATCH_BYTES = 64 << 20
_TIMEOUTS = {"timeout": "20s", "read_timeout": "10s"}
_HIDDEN = "***"


def _image_storage(config: Mapping[str, Any]) -> Storage:
    dataset = config["dataset"]
    options = {name: value for name, value in dataset["storage_options"].items() if value != _HIDDEN}
    allow = dataset.get("allow")
    return Storage({**_TIMEOUTS, **options}, allow=Allowlist.parse(allow) if allow else None)


def _limits(config: Mapping[str, Any]) -> Decode:
    """Returns the limits of the job."""
    given = {name: value for name, value in config.get("decode", {}).items() if name in ("max_pixels", "max_bytes")}
    return Decode(**given)
