"""`python -m jobs.browse output.path=...`: serves the report and a table of all images of a run to a browser."""

from __future__ import annotations

import logging
import secrets
import socket
import sys
import time
from typing import TYPE_CHECKING

from obstore.exceptions import BaseError

from actors.errors import JobError
from actors.messages import one_line, redacted
from actors.outputs import open_output
from actors.storage.store import Storage
from jobs.browsing.app import Browser, make_server
from jobs.browsing.config import Browsing
from jobs.browsing.image_table import image_table
from jobs.browsing.pictures import Pictures
from jobs.cli.entry import ExitStatus, end_with, run_verb
from jobs.cli.shutdown import Shutdown, StoppedError
from jobs.cli.terminal import show
from jobs.cli.verb_main import verb_main
from jobs.config import to_object
from jobs.pages.gallery import image_source
from jobs.pages.page_file import read_page
from jobs.pages.wording import images as count_of

if TYPE_CHECKING:
    from omegaconf import DictConfig

LOG = logging.getLogger("shardlens")


@verb_main("browse")
def main(config: DictConfig) -> None:
    verbose, log_format = bool(config.verbose), config.log.format
    end_with(lambda: browse(to_object(config, Browsing)), verbose=verbose, resumes=False, log_format=log_format)


def browse(wanted: Browsing) -> ExitStatus:
    """Serves until Ctrl-C or SIGTERM. The address is the first line on standard output, printed once the server is
    ready.

    Raises:
        JobError: there is no such run, it is damaged, the port is taken, or the temporary folder is full.
    """
    Shutdown(grace_s=0).install()
    wanted.browse.check()
    try:
        with _listening(wanted.browse.port) as listener:
            _browse(wanted, listener)
    except StoppedError:
        LOG.info("stopped")
    return ExitStatus.DONE


def _browse(wanted: Browsing, listener: socket.socket) -> None:
    output = open_output(wanted.output.path, wanted.output.storage_options)
    run = output.run(wanted.run.id, key="run.id") if wanted.run.id else output.runs()[0]
    given, since = wanted.dataset.storage_options, time.monotonic()
    images = Storage(given) if given else None
    try:
        with image_table(run, wanted.browse.max_memory_bytes) as table:
            LOG.info("%s: %s (%.1f s)", run.run_id, count_of(table.num_images), time.monotonic() - since)
            pictures = Pictures(image_source(run, images), run.storage)
            _serve(Browser(run, table, pictures, read_page(run, image_storage=images)), listener)
    except (OSError, BaseError, ValueError) as error:
        raise JobError(
            f"{redacted(run.paths.run)}: cannot be read: {one_line(error)}",
            fix=f"python -m jobs.verify output.path=… run.id={run.run_id} names all that is wrong",
        ) from error


def _listening(port: int) -> socket.socket:
    """Returns a socket that listens on the loopback address only."""
    try:
        return socket.create_server(("127.0.0.1", port))
    except OSError as error:
        raise JobError(f"browse.port={port}: {one_line(error)}", fix="browse.port=0 takes any free port") from error


def _serve(browser: Browser, listener: socket.socket) -> None:
    token, port = secrets.token_urlsafe(32), listener.getsockname()[1]
    server = make_server(browser.app(token, port))
    show(f"http://127.0.0.1:{port}/?token={token}")  # the socket already accepts requests
    sys.stdout.flush()
    server.run([listener])  # on a signal, it returns and raises the signal again


if __name__ == "__main__":
    run_verb(main)
