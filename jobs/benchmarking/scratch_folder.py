"""Temporary output folder of a benchmark, removed when it ends, even with an error. Used on the driver."""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
import uuid
from contextlib import contextmanager
from typing import TYPE_CHECKING

from obstore.exceptions import BaseError

from actors.errors import JobError
from actors.messages import one_line
from actors.storage.uris import absolute, is_remote, join, local_path

if TYPE_CHECKING:
    from collections.abc import Iterator

    from actors.storage.store import Storage

LOG = logging.getLogger("shardlens")


@contextmanager
def scratch(folder: str | None, storage: Storage) -> Iterator[str]:
    """Yields the URI of a new folder or prefix, and removes it on exit.

    Args:
        folder: parent folder or prefix; None for the system's temporary folder.
        storage: storage that reaches ``folder``.

    Raises:
        JobError: the folder cannot be written.
    """
    root = join(absolute(folder or tempfile.gettempdir()), f"{_PREFIX}{uuid.uuid4().hex[:8]}")
    # Done before any measurement: an unwritable location would otherwise be noticed minutes later, in the last pass.
    try:
        storage.write(join(root, "empty"), b"")
    except (OSError, BaseError) as error:
        raise JobError(
            f"benchmark.scratch={folder}: cannot be written: {one_line(error)}",
            fix="use a writable folder or prefix, and set its region and credentials in output.storage_options",
        ) from error
    try:
        yield root
    finally:
        _remove(root, storage)


_PREFIX = "shardlens-benchmark-"  # names the owner of a folder left behind by a killed benchmark


def _remove(root: str, storage: Storage) -> None:
    """Removes ``root``. Only logs a failure: the figures must not be lost."""
    try:
        # In object stores, folders vanish with their last object. Listing a local folder would leave the folder itself.
        if is_remote(root):
            for batch in storage.list(root):
                storage.delete(batch["uri"].to_pylist())
        else:
            shutil.rmtree(os.fsdecode(local_path(root)))
    except (OSError, BaseError) as error:
        LOG.warning("%s cannot be removed: %s", root, one_line(error))
