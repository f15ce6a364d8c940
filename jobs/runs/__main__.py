"""`python -m jobs.runs output.path=...`: lists the runs of an output, the last committed first."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

from actors.escapes import printable
from actors.outputs import open_output
from jobs.cli.entry import ExitStatus, end_with, run_verb
from jobs.cli.terminal import show
from jobs.cli.verb_main import verb_main
from jobs.config import to_object
from jobs.runs.config import ListFormat, RunList
from jobs.runs.overview import overviews

if TYPE_CHECKING:
    from collections.abc import Sequence

    from omegaconf import DictConfig

    from jobs.runs.overview import Overview


@verb_main("runs")
def main(config: DictConfig) -> None:
    verbose, log_format = bool(config.verbose), config.log.format
    end_with(lambda: list_runs(to_object(config, RunList)), verbose=verbose, resumes=False, log_format=log_format)


def list_runs(wanted: RunList) -> ExitStatus:
    """Prints the runs as a table as wide as the terminal, or as JSON, one object per line.

    Raises:
        JobError: there are no runs, or they cannot be read from storage.
    """
    found = overviews(open_output(wanted.output.path, wanted.output.storage_options))
    if wanted.runs.format is ListFormat.json:
        show(*(json.dumps(asdict(one)) for one in found))
    else:
        _show_table(found)
    return ExitStatus.DONE


def _show_table(runs: Sequence[Overview]) -> None:
    from rich import box  # noqa: PLC0415  takes a tenth of a second, which scripts need not wait for
    from rich.console import Console  # noqa: PLC0415  as above
    from rich.table import Table  # noqa: PLC0415  as above
    from rich.text import Text  # noqa: PLC0415  as above

    table = Table(box=box.SIMPLE_HEAD, show_lines=False, padding=(0, 1, 1, 0))
    table.add_column("run\nmodel\ndataset", overflow="fold", ratio=1)
    table.add_column("state\nfingerprint", overflow="fold")
    table.add_column("opened (UTC)\ncommitted", no_wrap=True)
    table.add_column("ok\nerrors\nimages/s", justify="right", no_wrap=True)
    for one in runs:
        cells = (
            (one.run_id, one.model or "-", one.dataset or "-"),
            (one.state, one.fingerprint),
            (_minute(one.opened_at), _minute(one.committed_at)),
            (_number(one.num_ok), _number(one.num_errors), _number(one.images_per_s)),
        )
        table.add_row(*(Text("\n".join(map(printable, cell))) for cell in cells))  # `Text`: names may contain markup
    Console(file=sys.stdout, highlight=False).print(table)


def _minute(time: str | None) -> str:
    """Formats an ISO 8601 time to the minute, in UTC as recorded."""
    return time[:16].replace("T", " ") if time else "-"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:,.1f}" if isinstance(value, float) else f"{value:,}"


if __name__ == "__main__":
    run_verb(main)
