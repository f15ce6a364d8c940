"""Writes ``report.html`` of a published run: at the end of the job, and by `python -m jobs.report`. Runs on the
driver.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from actors.messages import one_line, redacted
from actors.outputs import open_output
from jobs.pages.facts import read_facts
from jobs.pages.gallery import Gallery, make_gallery
from jobs.pages.page import MAX_BYTES, make_page

if TYPE_CHECKING:
    from actors.outputs import PublishedRun
    from actors.storage.store import Storage
    from jobs.job import Job

LOG = logging.getLogger("shardlens")


def write_page(
    run: PublishedRun, *, pictures: int, seconds: float | None = None, image_storage: Storage | None = None
) -> str:
    """Makes the page of ``run``, replaces an earlier one, and returns its URI.

    Args:
        run: the run.
        pictures: the most images that are read again.
        seconds: time after which no further one is read; None for no limit.
        image_storage: see `make_gallery`.

    Raises:
        ValueError: a document of the run is damaged.
        OSError, obstore.exceptions.BaseError: storage does not give a document, or refuses the page.
    """
    facts = read_facts(run)
    gallery = (
        make_gallery(run, limit=pictures, seconds=seconds, image_storage=image_storage) if pictures else Gallery({})
    )
    run.storage.write(run.paths.page, make_page(facts, gallery).encode())
    return run.paths.page


def read_page(run: PublishedRun, image_storage: Storage | None = None) -> bytes:
    """Returns the page of ``run``, or makes one that is not kept where the run has none. Raises like `write_page`."""
    try:
        return run.storage.read(run.paths.page, max_bytes=_MAX_READ_BYTES)
    except FileNotFoundError:
        gallery = make_gallery(run, seconds=_READ_S, image_storage=image_storage)
        return make_page(read_facts(run), gallery).encode()


def add_page(job: Job, root: str, run_id: str, elapsed_s: float) -> None:
    """Writes the page of a run that was just published, in a small part of the ``elapsed_s`` seconds that it took.

    Never raises: the rows are published, and a page can be made at any time.

    Args:
        job: of the run.
        root: `output.path`, absolute.
        run_id: names the run.
        elapsed_s: time of the run.
    """
    since = time.monotonic()
    try:
        published = open_output(root, job.output.storage_options).run(run_id)
        images, seconds = job.dataset.image_storage, max(_MIN_S, elapsed_s * _SHARE)
        uri = write_page(published, pictures=job.report.pictures, seconds=seconds, image_storage=images)
        LOG.info("report: %s (%.2f s)", redacted(uri), time.monotonic() - since)
    except Exception as error:  # noqa: BLE001  whatever it is, the run is published
        where = f"output.path={redacted(root)} run.id={run_id}"
        LOG.warning("report.html was not written: %s; python -m jobs.report %s creates it", one_line(error), where)


_SHARE, _MIN_S = 0.01, 0.2  # limits the wait for pictures, which usually takes less
_READ_S = 10.0  # for pictures, while somebody waits
_MAX_READ_BYTES = 4 * MAX_BYTES  # any file may lie there
